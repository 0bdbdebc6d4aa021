//! [`Cluster::standby`]: a second cluster that follows the first one's changes.

use super::{
    Cluster, ClusterError, DATABASE, Durability,
    site::{Site, at},
};
use crate::places::{Places, hand_over};
use crate::run::run;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// What a standby calls itself, as in `synchronous_standby_names`.
pub const STANDBY: &str = "standby";

impl Cluster {
    /// Starts a hot standby that streams from this cluster. This cluster is stopped while its files are copied, because
    /// not every package of Postgres has `pg_basebackup`.
    ///
    /// # Errors
    /// If the files cannot be copied, or one of the two does not start.
    pub fn standby(&self) -> Result<Self, ClusterError> {
        let places = Places::of_this_workspace()?;
        let binaries = self.site.binaries.clone();
        let mut site = Site::reserve(binaries, Durability::ThrowAway, &places)?;
        site.password.clone_from(&self.site.password);
        self.stop()?;
        let copied = site.copy(&self.site);
        self.restart()?;
        copied?;
        site.follow(self.port())?;
        let running = Mutex::new(site.launch()?);
        Ok(Self { running, site })
    }

    /// The process id of Postgres' first process.
    pub fn pid(&self) -> i32 {
        self.running().postgres.pid()
    }
}

impl Site {
    /// Copies the files of a cluster that is stopped.
    fn copy(&self, other: &Self) -> Result<(), ClusterError> {
        let mut copy = self.command(Path::new("/bin/cp"));
        copy.arg("-Rp").arg(other.data()).arg(self.data());
        run(&mut copy).map_err(|source| ClusterError::Create {
            folder: self.folder.clone(),
            source,
        })?;
        Ok(())
    }

    /// Makes the next launch a standby of the cluster on this port.
    fn follow(&self, port: u16) -> Result<(), ClusterError> {
        let settings = self.data().join("postgresql.auto.conf");
        let line = format!(
            "\nprimary_conninfo = 'host=127.0.0.1 port={port} user={DATABASE} password={} application_name={STANDBY}'\n",
            self.password
        );
        OpenOptions::new()
            .append(true)
            .open(&settings)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(at(&settings))?;
        let signal = self.data().join("standby.signal");
        fs::write(&signal, "")
            .and_then(|()| hand_over(&signal))
            .map_err(at(&signal))
    }
}
