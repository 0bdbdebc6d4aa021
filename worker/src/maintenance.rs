//! Periodic maintenance: each task is a [`Duty`], which one worker runs per tick.

use async_trait::async_trait;
use jobs::{
    commands::{
        approvals::{execute, expire_approvals},
        audit::seal::seal_entries,
        blocks::expire_blocks,
        effects as effect_commands,
        memory::sweep_memory,
    },
    store::{
        approvals, blocks, effects, llm_checkpoints, login_failures, memory_items, request_keys,
        sessions,
    },
};
use prometheus::IntCounter;
use queue::runtime::duty::{Duty, DutyContext, PruneFinished, SampleQueues, in_batches};
use std::time::Duration;

const BATCH: u32 = 500;

/// Returns all duties of a worker: the queue's and the assistant's.
pub fn duties(retention: Duration, approvals_expired: &IntCounter) -> Vec<Box<dyn Duty>> {
    let mut duties: Vec<Box<dyn Duty>> = vec![
        Box::new(SampleQueues),
        Box::new(PruneFinished { retention }),
    ];
    for task in Task::ALL {
        duties.push(Box::new(Maintenance {
            task,
            approvals_expired: approvals_expired.clone(),
        }));
    }
    duties
}

struct Maintenance {
    task: Task,
    approvals_expired: IntCounter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Deletes stored model answers of ended jobs.
    PurgeCheckpoints,
    /// Deletes sessions that ended long ago, and failed log-ins that no longer count.
    PurgeSessions,
    /// Deletes stored HTTP responses after their retention.
    PurgeRequestKeys,
    /// Expires approvals that were not decided in time.
    ExpireApprovals,
    /// Ends effects of crashed attempts, as not done or unknown, and approvals whose job ended without settling them.
    LoseEffects,
    /// Expires memories and deletes them after their retention.
    SweepMemory,
    /// Expires proposed blocks whose time has passed.
    ExpireBlocks,
    /// Seals new audit entries, and logs the newest seal for those who keep it elsewhere.
    SealAudit,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::PurgeCheckpoints,
        Self::PurgeSessions,
        Self::PurgeRequestKeys,
        Self::ExpireApprovals,
        Self::LoseEffects,
        Self::SweepMemory,
        Self::ExpireBlocks,
        Self::SealAudit,
    ];
}

#[async_trait]
impl Duty for Maintenance {
    fn name(&self) -> &'static str {
        match self.task {
            Task::PurgeCheckpoints => "purge_checkpoints",
            Task::PurgeSessions => "purge_sessions",
            Task::PurgeRequestKeys => "purge_request_keys",
            Task::ExpireApprovals => "expire_approvals",
            Task::LoseEffects => "lose_effects",
            Task::SweepMemory => "sweep_memory",
            Task::ExpireBlocks => "expire_blocks",
            Task::SealAudit => "seal_audit",
        }
    }

    fn every(&self) -> Duration {
        match self.task {
            Task::LoseEffects => Duration::from_secs(30),
            // The shorter, the less can be forged before it is sealed; a turn without entries is one statement.
            Task::SealAudit => Duration::from_secs(10),
            // A late decision is rejected in any case; this only updates the status.
            Task::ExpireApprovals | Task::ExpireBlocks => Duration::from_secs(60),
            // Expired rows are not read in any case; this only deletes them.
            Task::PurgeCheckpoints
            | Task::PurgeSessions
            | Task::PurgeRequestKeys
            | Task::SweepMemory => Duration::from_secs(300),
        }
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let pool = &context.pool;
        match self.task {
            Task::PurgeCheckpoints => llm_checkpoints::purge(&mut *pool.acquire().await?)
                .await
                .map(|_| ()),
            Task::PurgeSessions => {
                in_batches(BATCH, || async {
                    sessions::purge(&mut *pool.acquire().await?, i64::from(BATCH)).await
                })
                .await?;
                login_failures::purge(&mut *pool.acquire().await?)
                    .await
                    .map(|_| ())
            }
            Task::PurgeRequestKeys => {
                in_batches(BATCH, || async {
                    request_keys::purge(&mut *pool.acquire().await?, i64::from(BATCH)).await
                })
                .await
            }
            // Checks first, because a transaction that finds nothing costs four statements.
            Task::LoseEffects => {
                if effects::any_open(&context.queue_pool).await? {
                    in_batches(BATCH, || effect_commands::mark_lost(pool, BATCH)).await?;
                }
                if approvals::any_in_hand(&context.queue_pool).await? {
                    in_batches(BATCH, || execute::abandon(pool, BATCH)).await?;
                }
                Ok(())
            }
            Task::SealAudit => {
                let (sealed, head) = seal_entries(pool).await?;
                if sealed > 0 {
                    let (number, chain) = (head.number, head.chain.to_string());
                    tracing::info!(sealed, number, chain, "audit entries sealed");
                }
                Ok(())
            }
            Task::ExpireApprovals if approvals::any_lapsed(&context.queue_pool).await? => {
                in_batches(BATCH, || async {
                    expire_approvals(pool, BATCH)
                        .await
                        .inspect(|count| self.approvals_expired.inc_by(*count))
                })
                .await
            }
            Task::SweepMemory if memory_items::any_due(&context.queue_pool).await? => {
                in_batches(BATCH, || sweep_memory(pool, BATCH)).await
            }
            Task::ExpireBlocks if blocks::any_past(&context.queue_pool).await? => {
                in_batches(BATCH, || expire_blocks(pool, BATCH)).await
            }
            Task::ExpireApprovals | Task::SweepMemory | Task::ExpireBlocks => Ok(()),
        }
    }
}
