//! The measured Postgres, with a new database for each measurement. See [`BenchCluster`].

use super::BenchError;
use super::sql::{connect, execute, number};
use crate::places::Places;
use crate::postgres::{Cluster, Durability};
use crate::session;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TEMPLATE: &str = "bench_template";
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A temporary Postgres with default settings and fsync on.
pub(super) struct BenchCluster {
    pub(super) cluster: Cluster,
    pub(super) places: Places,
    databases: AtomicU32,
}

/// A database with our schema and no rows.
pub(super) struct BenchDatabase {
    pub(super) url: String,
    name: String,
    admin: String,
}

impl BenchCluster {
    pub(super) async fn start() -> Result<Self, BenchError> {
        let places = Places::of_this_workspace()?;
        let started = tokio::task::spawn_blocking(|| Cluster::start(Durability::Measured)).await;
        let cluster = started.expect("starting a cluster does not panic")?;
        let mut admin = connect(&cluster.url("postgres")).await?;
        execute(&mut admin, format!("create database {TEMPLATE}")).await?;
        session::migrate(&cluster.url(TEMPLATE)).await?;
        eprintln!(
            "{}: new cluster, fsync on, default settings; {} cores shared by Postgres and its clients",
            cluster.binaries(),
            std::thread::available_parallelism().map_or(0, usize::from)
        );
        Ok(Self {
            cluster,
            places,
            databases: AtomicU32::new(0),
        })
    }

    /// Creates a database, right after a checkpoint, so that none falls into the measurement by chance.
    pub(super) async fn new_database(&self) -> Result<BenchDatabase, BenchError> {
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
        Ok(BenchDatabase { url, name, admin })
    }
}

impl BenchDatabase {
    /// Waits until all other connections are closed: a backend's counters are complete only then.
    pub(super) async fn wait_until_unused(&self) -> Result<(), BenchError> {
        let mut connection = connect(&self.url).await?;
        let deadline = Instant::now() + DISCONNECT_TIMEOUT;
        let others = "select count(*) from pg_stat_activity where datname = current_database()
             and pid <> pg_backend_pid() and backend_type = 'client backend'";
        while number(&mut connection, others).await? > 0 {
            if Instant::now() > deadline {
                return Err(BenchError::Unsound("another connection stays open".into()));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Drops the database, so that its autovacuum and pages do not affect the next measurement.
    pub(super) async fn clear(self) -> Result<(), BenchError> {
        let mut connection = connect(&self.admin).await?;
        let drop = format!("drop database {} with (force)", self.name);
        Ok(execute(&mut connection, drop).await?)
    }
}
