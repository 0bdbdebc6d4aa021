//! One running Postgres. See [`Cluster`].
//!
//! Listens on 127.0.0.1 only, on a port that was free, with a random password: other users of the machine cannot log
//! in. Runs under [`Supervised`](crate::supervised::Supervised), so it never outlives the process that started it.

mod site;
mod standby;

use super::{
    binaries::Binaries,
    resolve::{ResolveError, resolve},
};
use crate::config::Config;
use crate::places::{PlaceError, Places};
use crate::run::RunError;
use base::env::ConfigError;
use nix::sys::signal::Signal;
use site::{Running, Site};
pub use standby::STANDBY;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The superuser of our clusters, and the database that they have from the start.
pub const DATABASE: &str = "postroom";

const STOPPED_IN: Duration = Duration::from_secs(30);

/// What becomes of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Kept in this folder, one cluster for each major version, written through to the disk.
    Kept(PathBuf),
    /// Gone with the cluster. Survives a crash of Postgres, not one of the machine: fsync is off.
    ThrowAway,
    /// Gone with the cluster, but run as Postgres comes: its own settings, fsync on. For measuring.
    Measured,
}

/// A running Postgres of our own. Dropping it stops it.
pub struct Cluster {
    // Before `site`, whose folder can only be removed once Postgres has stopped.
    running: Mutex<Running>,
    site: Site,
}

/// A cluster cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("could not read or write {}", .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process of ours holds the lock.
    #[error("the database in {} is in use by another `cargo dev`: stop that one first", .folder.display())]
    Busy { folder: PathBuf },
    #[error("could not create the cluster in {}", .folder.display())]
    Create {
        folder: PathBuf,
        #[source]
        source: RunError,
    },
    #[error("could not start the supervisor of Postgres")]
    Spawn(#[source] io::Error),
    #[error("Postgres did not start; the end of its log: {log}")]
    NotReady { log: String },
    #[error("could not wait for the end of Postgres")]
    Stop(#[source] io::Error),
}

impl Cluster {
    /// Finds or fetches the binaries as the environment says, and starts a cluster with them.
    ///
    /// # Errors
    /// When there are no binaries, when another process uses the kept folder, or when Postgres does not start.
    pub fn start(durability: Durability) -> Result<Self, ClusterError> {
        let (config, places) = (Config::from_process()?, Places::of_this_workspace()?);
        let binaries = resolve(&config, &places)?;
        Self::start_with(binaries, durability, &places)
    }

    /// Starts a cluster with the given binaries.
    ///
    /// # Errors
    /// As for [`Cluster::start`].
    pub fn start_with(
        binaries: Binaries,
        durability: Durability,
        places: &Places,
    ) -> Result<Self, ClusterError> {
        let site = Site::prepare(binaries, durability, places)?;
        let running = Mutex::new(site.launch()?);
        Ok(Self { running, site })
    }

    /// The superuser's address of a database. Holds the password: not for logs.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres://{DATABASE}:{}@127.0.0.1:{}/{database}",
            self.site.password,
            self.port()
        )
    }

    /// The port it listens on; kept while it is stopped.
    pub fn port(&self) -> u16 {
        self.running().port
    }

    pub fn bin_dir(&self) -> &Path {
        &self.site.binaries.bin
    }

    pub fn binaries(&self) -> &Binaries {
        &self.site.binaries
    }

    /// Where its data, its password and its log lie.
    pub fn folder(&self) -> &Path {
        &self.site.folder
    }

    /// Cuts all connections, writes everything down and stops.
    ///
    /// # Errors
    /// When the end cannot be waited for.
    pub fn stop(&self) -> Result<(), ClusterError> {
        self.end(Signal::SIGINT)
    }

    /// Crashes it: no goodbye to the clients, no checkpoint; the next start recovers from the write-ahead log.
    ///
    /// # Errors
    /// When the end cannot be waited for.
    pub fn kill(&self) -> Result<(), ClusterError> {
        // SIGKILL would leave the backends behind, and with them shared memory that the next start trips over.
        self.end(Signal::SIGQUIT)
    }

    /// Starts it again on the port it had, after [`Cluster::stop`] or [`Cluster::kill`]; a running one is stopped first.
    ///
    /// # Errors
    /// When Postgres does not start, for example because the port was taken meanwhile.
    pub fn restart(&self) -> Result<(), ClusterError> {
        self.stop()?;
        let mut running = self.running();
        *running = self.site.launch_on(running.port)?;
        Ok(())
    }

    fn end(&self, signal: Signal) -> Result<(), ClusterError> {
        self.running()
            .postgres
            .end(signal, STOPPED_IN)
            .map(drop)
            .map_err(ClusterError::Stop)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("Cluster")
            .field("binaries", &self.site.binaries)
            .field("folder", &self.site.folder)
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}
