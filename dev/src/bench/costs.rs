//! The costs of work from the counters of Postgres. See [`Costs`].

use super::BenchError;
use super::bench_cluster::BenchDatabase;
use super::sql::{connect, number};

/// Counters of one database, or the difference of two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Costs {
    /// Of the whole cluster, which does nothing else.
    pub(super) wal_bytes: i64,
    pub(super) commits: i64,
    /// Row versions that vacuum must remove: one per update and per delete.
    pub(super) dead_tuples: i64,
}

impl Costs {
    /// Reads the counters; those of backends that are still connected lag by up to a second.
    pub(super) async fn read(database: &BenchDatabase) -> Result<Self, BenchError> {
        let mut connection = connect(&database.url).await?;
        Ok(Self {
            wal_bytes: number(
                &mut connection,
                "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint",
            )
            .await?,
            commits: number(
                &mut connection,
                "select xact_commit from pg_stat_database where datname = current_database()",
            )
            .await?,
            dead_tuples: number(
                &mut connection,
                "select coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint from pg_stat_user_tables",
            )
            .await?,
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            wal_bytes: self.wal_bytes - before.wal_bytes,
            commits: self.commits - before.commits,
            dead_tuples: self.dead_tuples - before.dead_tuples,
        }
    }

    /// Returns WAL bytes, commits and dead tuples per job.
    pub(super) fn per(self, jobs: u64) -> [f64; 3] {
        [self.wal_bytes, self.commits, self.dead_tuples].map(|count| count as f64 / jobs as f64)
    }
}
