//! Periodic maintenance: each task is a [`Duty`], which one worker runs per tick.

mod batches;
mod forget_emails;
mod identity_keys;
mod lanes;
mod rates;

use crate::{
    handlers::ask::{ModelAccess, SpendMetrics},
    providers::Providers,
};
use async_trait::async_trait;
use batches::RunBatches;
use forget_emails::ForgetEmails;
use identity_keys::FetchIdentityKeys;
use jobs::{
    commands::{
        approvals::{execute, expire_approvals},
        audit::seal::seal_entries,
        blocks::expire_blocks,
        digests::build_digests,
        effects as effect_commands,
        follow_ups::remind::remind,
        llm::{lose_llm_calls, warn_of_budgets},
        memory::sweep_memory,
        subscriptions::dispatch::{dispatch, suspend},
        tenants::cancel::cancel_jobs_of_closed,
    },
    store::{
        approvals, backfills, blocks, corrections, digests, effects, follow_ups,
        identity_providers, llm_answers, llm_batch_items, llm_calls::OldCalls, llm_checkpoints,
        llm_rates, login_failures, memory_items, request_keys, sessions, subscriptions, watches,
    },
};
use lanes::ReleaseLanes;
use prometheus::IntCounter;
use queue::{
    operate::retention::walk::{self, WalkPosition},
    runtime::duty::{
        Duty, DutyContext, PruneFinished, RETENTION_BUDGET, SampleQueues, delete_in_batches,
        in_batches,
    },
};
use rates::AssignTurns;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const BATCH: u32 = 500;
/// Reminders or digests of one transaction, each with a dozen statements.
const REMINDED: u32 = 50;
/// Subscriptions that are looked at in one transaction.
const DISPATCHED: u32 = 50;
/// Rows per statement that deletes old ones: nobody waits for them, and larger batches pass the deleted ones less often.
const PURGE_BATCH: u32 = 2000;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub finished_jobs: Duration,
    /// The records of requests to a model, in days.
    pub llm_calls: i32,
    /// Which emails of mailboxes were read, in days.
    pub fetched_emails: i32,
}

/// Returns the duty that sends requests in batches and reads their answers.
pub fn batches(access: ModelAccess, every: Duration) -> Arc<dyn Duty> {
    Arc::new(RunBatches::new(access, every))
}

/// Returns all other duties of a worker: the queue's and the assistant's.
pub fn duties(
    retention: Retention,
    providers: Providers,
    approvals_expired: &IntCounter,
    spend: &SpendMetrics,
) -> Vec<Arc<dyn Duty>> {
    let mut duties: Vec<Arc<dyn Duty>> = vec![
        Arc::new(SampleQueues),
        Arc::new(PruneFinished::after(retention.finished_jobs)),
        Arc::new(ReleaseLanes),
        Arc::new(AssignTurns),
        Arc::new(ForgetEmails::default()),
        Arc::new(FetchIdentityKeys { providers }),
    ];
    for task in Task::ALL {
        duties.push(Arc::new(Maintenance {
            task,
            retention,
            approvals_expired: approvals_expired.clone(),
            spend: spend.clone(),
            position: WalkPosition::default(),
        }));
    }
    duties
}

struct Maintenance {
    task: Task,
    retention: Retention,
    approvals_expired: IntCounter,
    spend: SpendMetrics,
    /// For the tasks that walk through a table.
    position: WalkPosition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Deletes stored model answers of ended jobs, their requests in batches, and answers that are not used again any more.
    PurgeCheckpoints,
    /// Completes requests to a model whose worker died, as possibly billed, and frees what they had reserved.
    LoseLlmCalls,
    /// Tells tenants of budgets that are nearly spent.
    WarnOfBudgets,
    /// Deletes the records of requests to a model after their retention.
    PurgeLlmCalls,
    /// Deletes turns at a model's rate that are over.
    PurgeRateTurns,
    /// Deletes corrections of judgements after their retention.
    PurgeCorrections,
    /// Deletes sessions that ended long ago, failed log-ins that no longer count, and used tokens that have expired.
    PurgeSessions,
    /// Deletes stored HTTP responses after their retention.
    PurgeRequestKeys,
    /// Forgets which emails of mailboxes were read, after their retention, and how far backfills came whose jobs are gone.
    PurgeFetchedEmails,
    /// Expires approvals that were not decided in time.
    ExpireApprovals,
    /// Ends effects of crashed attempts, as not done or unknown, and approvals whose job ended without settling them.
    LoseEffects,
    /// Expires memories and deletes them after their retention.
    SweepMemory,
    /// Expires proposed blocks whose time has passed.
    ExpireBlocks,
    /// Reminds users of emails that nobody answered.
    Remind,
    /// Builds the digests of users for whom it is time.
    BuildDigests,
    /// Starts deliveries to subscribed webhooks, and suspends the subscriptions whose delivery was given up.
    DeliverEvents,
    /// Cancels the waiting jobs of closed tenants.
    CancelJobsOfClosed,
    /// Seals new audit entries, and logs the newest seal for those who keep it elsewhere.
    SealAudit,
}

impl Task {
    const ALL: [Self; 18] = [
        Self::PurgeCheckpoints,
        Self::LoseLlmCalls,
        Self::WarnOfBudgets,
        Self::PurgeLlmCalls,
        Self::PurgeRateTurns,
        Self::PurgeCorrections,
        Self::PurgeSessions,
        Self::PurgeRequestKeys,
        Self::PurgeFetchedEmails,
        Self::ExpireApprovals,
        Self::LoseEffects,
        Self::SweepMemory,
        Self::ExpireBlocks,
        Self::Remind,
        Self::BuildDigests,
        Self::DeliverEvents,
        Self::CancelJobsOfClosed,
        Self::SealAudit,
    ];
}

#[async_trait]
impl Duty for Maintenance {
    fn name(&self) -> &'static str {
        match self.task {
            Task::PurgeCheckpoints => "purge_checkpoints",
            Task::LoseLlmCalls => "lose_llm_calls",
            Task::WarnOfBudgets => "warn_of_budgets",
            Task::PurgeLlmCalls => "purge_llm_calls",
            Task::PurgeRateTurns => "purge_rate_turns",
            Task::PurgeCorrections => "purge_corrections",
            Task::PurgeSessions => "purge_sessions",
            Task::PurgeRequestKeys => "purge_request_keys",
            Task::PurgeFetchedEmails => "purge_fetched_emails",
            Task::ExpireApprovals => "expire_approvals",
            Task::LoseEffects => "lose_effects",
            Task::SweepMemory => "sweep_memory",
            Task::ExpireBlocks => "expire_blocks",
            Task::Remind => "remind",
            Task::BuildDigests => "build_digests",
            Task::DeliverEvents => "deliver_events",
            Task::CancelJobsOfClosed => "cancel_jobs_of_closed",
            Task::SealAudit => "seal_audit",
        }
    }

    fn every(&self) -> Duration {
        match self.task {
            Task::LoseEffects => Duration::from_secs(30),
            Task::LoseLlmCalls => Duration::from_secs(5),
            // How late an event may be; a turn without subscriptions is one statement.
            Task::DeliverEvents => Duration::from_secs(2),
            // The shorter, the less can be forged before it is sealed; a turn without entries is one statement.
            Task::SealAudit => Duration::from_secs(10),
            // How late a reminder or a digest may be.
            Task::Remind | Task::BuildDigests => Duration::from_secs(30),
            // A late decision is rejected in any case; this only updates the status.
            Task::ExpireApprovals
            | Task::ExpireBlocks
            | Task::CancelJobsOfClosed
            | Task::WarnOfBudgets
            | Task::PurgeRateTurns => Duration::from_secs(60),
            // Expired rows are not read in any case; this only deletes them.
            Task::PurgeCheckpoints
            | Task::PurgeLlmCalls
            | Task::PurgeCorrections
            | Task::PurgeSessions
            | Task::PurgeRequestKeys
            | Task::PurgeFetchedEmails
            | Task::SweepMemory => Duration::from_secs(300),
        }
    }

    fn is_retention(&self) -> bool {
        match self.task {
            Task::PurgeCheckpoints
            | Task::PurgeLlmCalls
            | Task::PurgeCorrections
            | Task::PurgeSessions
            | Task::PurgeRequestKeys
            | Task::PurgeFetchedEmails => true,
            Task::LoseLlmCalls
            | Task::WarnOfBudgets
            | Task::PurgeRateTurns
            | Task::ExpireApprovals
            | Task::LoseEffects
            | Task::SweepMemory
            | Task::ExpireBlocks
            | Task::Remind
            | Task::BuildDigests
            | Task::DeliverEvents
            | Task::SealAudit
            | Task::CancelJobsOfClosed => false,
        }
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let pool = &context.pool;
        let until = Instant::now() + RETENTION_BUDGET;
        match self.task {
            Task::PurgeCheckpoints => {
                let backlog = delete_in_batches(until, PURGE_BATCH, || async {
                    llm_checkpoints::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                let of_batches = delete_in_batches(until, PURGE_BATCH, || async {
                    llm_batch_items::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                let of_answers = delete_in_batches(until, PURGE_BATCH, || async {
                    llm_answers::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                let backlog = backlog.and(of_batches).and(of_answers);
                context.report(self.name(), backlog).await
            }
            Task::LoseLlmCalls => {
                in_batches(BATCH, || async {
                    let lost = lose_llm_calls(pool, BATCH).await?;
                    self.spend.lost(&lost);
                    Ok(lost.requests)
                })
                .await
            }
            Task::WarnOfBudgets => in_batches(BATCH, || warn_of_budgets(pool, BATCH)).await,
            Task::PurgeLlmCalls => {
                let old = OldCalls {
                    pool,
                    days: self.retention.llm_calls,
                };
                let (_, backlog) = walk::prune(&old, RETENTION_BUDGET, &self.position).await?;
                context.report(self.name(), backlog).await
            }
            Task::PurgeRateTurns => {
                in_batches(PURGE_BATCH, || async {
                    llm_rates::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await
            }
            Task::PurgeCorrections => {
                let backlog = delete_in_batches(until, PURGE_BATCH, || async {
                    corrections::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                context.report(self.name(), backlog).await
            }
            Task::PurgeSessions => {
                let of_sessions = delete_in_batches(until, PURGE_BATCH, || async {
                    sessions::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                let of_failures = delete_in_batches(until, PURGE_BATCH, || async {
                    login_failures::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                let of_tokens = delete_in_batches(until, PURGE_BATCH, || async {
                    let mut conn = pool.acquire().await?;
                    identity_providers::purge_tokens(&mut conn, PURGE_BATCH.into()).await
                })
                .await?;
                context
                    .report(self.name(), of_sessions.and(of_failures).and(of_tokens))
                    .await
            }
            Task::PurgeRequestKeys => {
                let backlog = delete_in_batches(until, PURGE_BATCH, || async {
                    request_keys::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                context.report(self.name(), backlog).await
            }
            Task::PurgeFetchedEmails => {
                let days = self.retention.fetched_emails;
                let of_emails = delete_in_batches(until, PURGE_BATCH, || async {
                    let mut conn = pool.acquire().await?;
                    watches::purge_fetched(&mut conn, days, PURGE_BATCH.into()).await
                })
                .await?;
                let of_backfills = delete_in_batches(until, PURGE_BATCH, || async {
                    backfills::purge(&mut *pool.acquire().await?, PURGE_BATCH.into()).await
                })
                .await?;
                context
                    .report(self.name(), of_emails.and(of_backfills))
                    .await
            }
            // Checks first, because a transaction that finds nothing costs four statements.
            Task::LoseEffects => {
                if effects::any_open(&context.queue_pool).await? {
                    in_batches(BATCH, || effect_commands::mark_lost(pool, BATCH)).await?;
                }
                if approvals::any_unsettled(&context.queue_pool).await? {
                    in_batches(BATCH, || execute::abandon(pool, BATCH)).await?;
                }
                Ok(())
            }
            Task::DeliverEvents if subscriptions::any_active(&context.queue_pool).await? => {
                in_batches(BATCH, || suspend(pool, BATCH)).await?;
                in_batches(DISPATCHED, || dispatch(pool, &context.notifier, DISPATCHED)).await
            }
            Task::Remind if follow_ups::any_due(&context.queue_pool).await? => {
                in_batches(REMINDED, || remind(pool, &context.notifier, REMINDED)).await
            }
            Task::BuildDigests if digests::any_due(&context.queue_pool).await? => {
                in_batches(REMINDED, || {
                    build_digests(pool, &context.notifier, REMINDED)
                })
                .await
            }
            Task::CancelJobsOfClosed => {
                in_batches(BATCH, || {
                    cancel_jobs_of_closed(pool, &context.notifier, BATCH)
                })
                .await
            }
            Task::SealAudit => {
                let (sealed, head) = seal_entries(pool).await?;
                if sealed > 0 {
                    let (number, chain) = (head.number, head.chain.to_string());
                    tracing::info!(sealed, number, chain, "audit entries sealed");
                }
                Ok(())
            }
            Task::ExpireApprovals if approvals::any_expired(&context.queue_pool).await? => {
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
            Task::ExpireApprovals
            | Task::SweepMemory
            | Task::ExpireBlocks
            | Task::Remind
            | Task::BuildDigests
            | Task::DeliverEvents => Ok(()),
        }
    }
}
