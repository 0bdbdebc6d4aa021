//! Retention: deletes finished jobs after their time.
//!
//! Rows are deleted by block range, see [`walk`]: a batch costs the same whatever else is left to delete.

pub mod walk;

use crate::interval::interval;
use async_trait::async_trait;
use sqlx::PgPool;
use std::{ops::Range, time::Duration};
use walk::AgedTable;

/// What is left to delete after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    None,
    /// The time of the run was up first.
    Some,
}

impl Backlog {
    /// The backlog of two runs together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// The finished jobs older than `keep`, with their attempts and events. Their external ids stay in use.
pub struct FinishedJobs<'a> {
    pub pool: &'a PgPool,
    pub keep: Duration,
}

#[async_trait]
impl AgedTable for FinishedJobs<'_> {
    async fn blocks(&self) -> Result<u64, sqlx::Error> {
        let blocks = sqlx::query_scalar!(
            r#"select pg_relation_size('finished_jobs') / current_setting('block_size')::bigint as "blocks!""#
        )
        .fetch_one(self.pool)
        .await?;
        Ok(u64::try_from(blocks).unwrap_or_default())
    }

    async fn first_aged_block(&self) -> Result<Option<u64>, sqlx::Error> {
        // The index over block ranges skips what was never old. It also lists ranges that were emptied and filled again, so
        // in a large table the statement may time out.
        let found = sqlx::query_scalar!(
            r#"select (ctid::text::point)[0]::bigint as "block!" from finished_jobs
               where finished_at < now() - $1::interval limit 1"#,
            interval(self.keep),
        )
        .fetch_optional(self.pool)
        .await?;
        Ok(found.map(|block| u64::try_from(block).unwrap_or_default()))
    }

    async fn prune(&self, blocks: Range<u64>) -> Result<u64, sqlx::Error> {
        // Adding no time keeps the planner from the index over finished_at, which would read all ranges before these again.
        let deleted = sqlx::query_scalar!(
            r#"with aged as (
                   delete from finished_jobs
                   where ctid >= format('(%s,0)', $2::bigint)::tid and ctid < format('(%s,0)', $3::bigint)::tid
                     and finished_at + interval '0' < now() - $1::interval
                   returning tenant_id, id
               ), attempts as (
                   delete from job_attempts using aged where job_id = aged.id
               ), events as (
                   delete from job_events using aged
                   where job_events.tenant_id = aged.tenant_id and job_id = aged.id
               )
               select count(*) as "deleted!" from aged"#,
            interval(self.keep),
            walk::block_number(blocks.start),
            walk::block_number(blocks.end),
        )
        .fetch_one(self.pool)
        .await?;
        Ok(u64::try_from(deleted).unwrap_or_default())
    }
}

/// Deletes the samples of queues that no worker serves any more.
pub async fn prune_samples(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let done =
        sqlx::query!("delete from queue_samples where sampled_at < now() - interval '1 day'")
            .execute(pool)
            .await?;
    Ok(done.rows_affected())
}
