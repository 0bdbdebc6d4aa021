//! The real programs that the tests speak with, found or fetched: [`fetch_all`] before a run, [`dovecot`] and its like
//! in a test.
//!
//! Only [`fetch_all`] uses the network. A test finds what is there and otherwise names the command that fetches it.

mod debian;
mod dovecot;
pub mod left_out;
mod libfaketime;
mod pgbouncer;
mod prometheus;
mod python;
mod resolve;
pub mod source;

pub use dovecot::{Dovecot, Syntax};
pub use libfaketime::Libfaketime;
pub use pgbouncer::PgBouncer;
pub use prometheus::Prometheus;
pub use python::Servers;
pub use resolve::Missing;
pub use source::PeerSource;

use crate::config::Config;
use crate::fetch;
use crate::places::{PlaceError, Places};
use base::env::ConfigError;
use resolve::{Fetcher, Resolve};
use std::fmt;
use std::path::Path;

/// A program that tests speak with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// aiosmtpd and Radicale.
    PythonServers,
    Dovecot,
    PgBouncer,
    Prometheus,
    Libfaketime,
}

/// Which tests are to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Usual,
    /// With `--full`.
    Full,
}

impl Scope {
    /// The peers of these tests.
    pub fn peers(self) -> &'static [Peer] {
        match self {
            Self::Usual => &[Peer::PythonServers, Peer::Dovecot, Peer::PgBouncer],
            Self::Full => &[
                Peer::PythonServers,
                Peer::Dovecot,
                Peer::PgBouncer,
                Peer::Prometheus,
                Peer::Libfaketime,
            ],
        }
    }
}

impl Peer {
    /// What a test file contains that imports the peer's helper.
    fn imports(self) -> &'static [&'static str] {
        match self {
            Self::PythonServers => &["aiosmtpd::", "radicale::"],
            Self::Dovecot => &["dovecot::"],
            Self::PgBouncer => &["pgbouncer::"],
            Self::Prometheus => &["prometheus::{Prometheus"],
            Self::Libfaketime => &[],
        }
    }

    /// What happens in a test that can do without.
    fn otherwise(self) -> &'static str {
        match self {
            Self::Libfaketime => "the clocks of the chaos run are right",
            Self::PythonServers | Self::Dovecot | Self::PgBouncer | Self::Prometheus => {
                "none needs it"
            }
        }
    }

    /// Finds or fetches it and says where it is and which source it came from.
    fn fetch(
        self,
        fetcher: &Fetcher<'_>,
        forced: Option<PeerSource>,
    ) -> Result<(PeerSource, String), Missing> {
        fn shown<T: Resolve + fmt::Display>(
            fetcher: &Fetcher<'_>,
            forced: Option<PeerSource>,
        ) -> Result<(PeerSource, String), Missing> {
            resolve::fetch::<T>(fetcher, forced).map(|(source, found)| (source, found.to_string()))
        }
        match self {
            Self::PythonServers => shown::<Servers>(fetcher, forced),
            Self::Dovecot => shown::<Dovecot>(fetcher, forced),
            Self::PgBouncer => shown::<PgBouncer>(fetcher, forced),
            Self::Prometheus => shown::<Prometheus>(fetcher, forced),
            Self::Libfaketime => shown::<Libfaketime>(fetcher, forced),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PythonServers => "aiosmtpd and Radicale",
            Self::Dovecot => "Dovecot",
            Self::PgBouncer => "PgBouncer",
            Self::Prometheus => "Prometheus",
            Self::Libfaketime => "libfaketime",
        })
    }
}

/// Finds or fetches these peers, saying on standard error what it does, and returns those that it could
/// not get. `forced` is the one source to use for every peer that has it.
pub fn fetch_all(peers: &[Peer], cache: &Path, forced: Option<PeerSource>) -> Vec<Missing> {
    // Without the lock two runs may fetch the same; each fetches into a folder of its own.
    let lock = fetch::lock(cache);
    let fetcher = Fetcher::new(cache);
    let mut missing = Vec::new();
    for peer in peers {
        match peer.fetch(&fetcher, forced) {
            Ok((source, place)) => eprintln!("test: {peer}: {place} ({source})"),
            Err(error) => missing.push(error),
        }
    }
    drop(lock);
    missing
}

/// A test needs a peer that is not on this machine.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("{missing}. `cargo dev test{}` fetches it", if .missing.peer.is_usual() { "" } else { " --full" })]
    Missing { missing: Missing },
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Peer {
    fn is_usual(self) -> bool {
        Scope::Usual.peers().contains(&self)
    }
}

/// Dovecot, as `cargo dev test` left it.
///
/// # Errors
/// When it is not on this machine; the error names the command that fetches it.
pub fn dovecot() -> Result<Dovecot, PeerError> {
    find()
}

/// Python with aiosmtpd and Radicale, as `cargo dev test` left it.
///
/// # Errors
/// As for [`dovecot`].
pub fn python_servers() -> Result<Servers, PeerError> {
    find()
}

/// PgBouncer, as `cargo dev test` left it.
///
/// # Errors
/// As for [`dovecot`].
pub fn pgbouncer() -> Result<PgBouncer, PeerError> {
    find()
}

/// Prometheus, as `cargo dev test --full` left it.
///
/// # Errors
/// As for [`dovecot`].
pub fn prometheus() -> Result<Prometheus, PeerError> {
    find()
}

/// libfaketime, as `cargo dev test --full` left it.
///
/// # Errors
/// As for [`dovecot`].
pub fn libfaketime() -> Result<Libfaketime, PeerError> {
    find()
}

fn find<T: Resolve>() -> Result<T, PeerError> {
    let places = Places::of_this_workspace()?;
    let forced = Config::from_process()?.forced_peers;
    resolve::find(&places.cache, forced).map_err(|missing| PeerError::Missing { missing })
}
