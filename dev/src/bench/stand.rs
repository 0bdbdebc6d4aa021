//! The Postgres that is measured, and a fresh database on it for each measurement. See [`Stand`].

use super::BenchError;
use super::sql::{connect, execute, number};
use crate::places::Places;
use crate::postgres::{Cluster, Durability};
use crate::session;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TEMPLATE: &str = "bench_template";
const LEFT_IN: Duration = Duration::from_secs(10);

/// A throw-away Postgres with its own settings, fsync on.
pub(super) struct Stand {
    pub(super) cluster: Cluster,
    pub(super) places: Places,
    databases: AtomicU32,
}

/// A database with our schema and nothing in it.
pub(super) struct Bed {
    pub(super) url: String,
    name: String,
    admin: String,
}

impl Stand {
    pub(super) async fn start() -> Result<Self, BenchError> {
        let places = Places::of_this_workspace()?;
        let started = tokio::task::spawn_blocking(|| Cluster::start(Durability::Measured)).await;
        let cluster = started.expect("starting a cluster does not panic")?;
        let mut admin = connect(&cluster.url("postgres")).await?;
        execute(&mut admin, format!("create database {TEMPLATE}")).await?;
        session::migrate(&cluster.url(TEMPLATE)).await?;
        eprintln!(
            "{}: a fresh cluster, fsync on, Postgres' default settings, {} cores shared by it and its clients",
            cluster.binaries(),
            std::thread::available_parallelism().map_or(0, usize::from)
        );
        Ok(Self {
            cluster,
            places,
            databases: AtomicU32::new(0),
        })
    }

    /// A fresh database, right after a checkpoint: none falls into a measurement by chance.
    pub(super) async fn bed(&self) -> Result<Bed, BenchError> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = self.cluster.url("postgres");
        let mut connection = connect(&admin).await?;
        execute(
            &mut connection,
            format!("create database {name} template {TEMPLATE}"),
        )
        .await?;
        execute(&mut connection, "checkpoint").await?;
        let url = self.cluster.url(&name);
        Ok(Bed { url, name, admin })
    }
}

impl Bed {
    /// Waits until everybody else has left: a backend's counters are complete once it is gone.
    pub(super) async fn alone(&self) -> Result<(), BenchError> {
        let mut connection = connect(&self.url).await?;
        let deadline = Instant::now() + LEFT_IN;
        let others = "select count(*) from pg_stat_activity where datname = current_database()
             and pid <> pg_backend_pid() and backend_type = 'client backend'";
        while number(&mut connection, others).await? > 0 {
            if Instant::now() > deadline {
                return Err(BenchError::Unsound("somebody stays connected".into()));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Drops the database, so that its autovacuum and its pages do not weigh on the next measurement.
    pub(super) async fn clear(self) -> Result<(), BenchError> {
        let mut connection = connect(&self.admin).await?;
        let drop = format!("drop database {} with (force)", self.name);
        Ok(execute(&mut connection, drop).await?)
    }
}
