//! Postgres for a person's machine: found, or fetched, and run. See [`resolve`] and [`Cluster`].
//!
//! A fresh machine may have nothing but a Rust toolchain and package registries; the ways of getting Postgres are in
//! [`resolve`]. Speaks no SQL beyond creating the application's database.

mod apt;
mod binaries;
mod cluster;
mod npm;
mod pip;
mod resolve;
mod system;

pub use binaries::{Binaries, BinarySource};
pub use cluster::{Cluster, ClusterError, DATABASE, Durability, STANDBY};
pub use resolve::{ResolveError, resolve};

use std::sync::OnceLock;

/// One throw-away cluster for all tests of this process, started at the first call.
///
/// Statics are never dropped; the supervisor stops the cluster and removes its folder when this process ends,
/// however it ends.
///
/// # Errors
/// When no cluster can be started; every later call tells the same.
pub fn shared_for_tests() -> Result<&'static Cluster, &'static ClusterError> {
    static SHARED: OnceLock<Result<Cluster, ClusterError>> = OnceLock::new();
    SHARED
        .get_or_init(|| Cluster::start(Durability::ThrowAway))
        .as_ref()
}
