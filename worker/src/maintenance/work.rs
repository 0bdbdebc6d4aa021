//! What the duties of the table do, a function each.
//!
//! Some look first whether there is anything to do, because a transaction that finds nothing costs four statements.

use super::{Needs, PURGE_BATCH};
use jobs::{
    commands::{
        approvals::{self as approval_commands, execute},
        audit::seal::{SealedEntries, seal_entries},
        blocks as block_commands, digests as digest_commands, effects as effect_commands,
        follow_ups::remind as reminders,
        llm, memory as memory_commands,
        subscriptions::dispatch::{dispatch, suspend},
        tenants::cancel,
    },
    store::{
        approvals, blocks, digests, effects, follow_ups, llm_rates::turns, memory_items,
        subscriptions,
    },
};
use queue::runtime::duty::{DutyContext, in_batches};

/// Rows of one transaction.
const BATCH: u32 = 500;
/// Reminders or digests of one transaction, each with a dozen statements.
const REMINDED: u32 = 50;
/// Subscriptions that are looked at in one transaction.
const DISPATCHED: u32 = 50;

type Done = Result<(), sqlx::Error>;

/// Completes requests to a model whose worker died, as possibly billed, and frees what they had reserved.
pub(super) async fn lose_llm_calls(needs: &Needs, context: &DutyContext) -> Done {
    in_batches(BATCH, || async {
        let lost = llm::lose_llm_calls(&context.pool, BATCH).await?;
        needs.spend.lost(&lost);
        Ok(lost.requests)
    })
    .await
}

/// Tells tenants of budgets that are nearly spent.
pub(super) async fn warn_of_budgets(context: &DutyContext) -> Done {
    in_batches(BATCH, || llm::warn_of_budgets(&context.pool, BATCH)).await
}

/// Deletes turns at a model's rate that are over.
pub(super) async fn purge_rate_turns(context: &DutyContext) -> Done {
    in_batches(PURGE_BATCH, || async {
        let mut conn = context.pool.acquire().await?;
        turns::purge(&mut conn, PURGE_BATCH.into()).await
    })
    .await
}

/// Ends effects of crashed attempts, as not done or unknown, and approvals whose job ended without settling them.
pub(super) async fn lose_effects(context: &DutyContext) -> Done {
    let pool = &context.pool;
    if effects::any_open(&context.queue_pool).await? {
        in_batches(BATCH, || effect_commands::mark_lost(pool, BATCH)).await?;
    }
    if approvals::any_unsettled(&context.queue_pool).await? {
        in_batches(BATCH, || execute::abandon(pool, BATCH)).await?;
    }
    Ok(())
}

/// Expires approvals that were not decided in time.
pub(super) async fn expire_approvals(needs: &Needs, context: &DutyContext) -> Done {
    if !approvals::any_expired(&context.queue_pool).await? {
        return Ok(());
    }
    in_batches(BATCH, || async {
        let expired = approval_commands::expire_approvals(&context.pool, BATCH).await?;
        needs.approvals_expired.inc_by(expired);
        Ok(expired)
    })
    .await
}

/// Expires memories and deletes them after their retention.
pub(super) async fn sweep_memory(context: &DutyContext) -> Done {
    if !memory_items::any_due(&context.queue_pool).await? {
        return Ok(());
    }
    in_batches(BATCH, || {
        memory_commands::sweep_memory(&context.pool, BATCH)
    })
    .await
}

/// Expires proposed blocks whose time has passed.
pub(super) async fn expire_blocks(context: &DutyContext) -> Done {
    if !blocks::any_past(&context.queue_pool).await? {
        return Ok(());
    }
    in_batches(BATCH, || {
        block_commands::expire_blocks(&context.pool, BATCH)
    })
    .await
}

/// Reminds users of emails that nobody answered.
pub(super) async fn remind(context: &DutyContext) -> Done {
    if !follow_ups::any_due(&context.queue_pool).await? {
        return Ok(());
    }
    let DutyContext { pool, notifier, .. } = context;
    in_batches(REMINDED, || reminders::remind(pool, notifier, REMINDED)).await
}

/// Builds the digests of users for whom it is time.
pub(super) async fn build_digests(context: &DutyContext) -> Done {
    if !digests::any_due(&context.queue_pool).await? {
        return Ok(());
    }
    let DutyContext { pool, notifier, .. } = context;
    in_batches(REMINDED, || {
        digest_commands::build_digests(pool, notifier, REMINDED)
    })
    .await
}

/// Starts deliveries to subscribed webhooks, and suspends the subscriptions whose delivery was given up.
pub(super) async fn deliver_events(context: &DutyContext) -> Done {
    if !subscriptions::any_active(&context.queue_pool).await? {
        return Ok(());
    }
    let DutyContext { pool, notifier, .. } = context;
    in_batches(BATCH, || suspend(pool, BATCH)).await?;
    in_batches(DISPATCHED, || dispatch(pool, notifier, DISPATCHED)).await
}

/// Cancels the waiting jobs of closed tenants.
pub(super) async fn cancel_jobs_of_closed(context: &DutyContext) -> Done {
    let DutyContext { pool, notifier, .. } = context;
    in_batches(BATCH, || {
        cancel::cancel_jobs_of_closed(pool, notifier, BATCH)
    })
    .await
}

/// Seals new audit entries, and logs the newest seal for those who keep it elsewhere.
pub(super) async fn seal_audit(context: &DutyContext) -> Done {
    let SealedEntries {
        entries: sealed,
        head,
    } = seal_entries(&context.pool).await?;
    if sealed > 0 {
        let (number, chain) = (head.number, head.chain.to_string());
        tracing::info!(sealed, number, chain, "audit entries sealed");
    }
    Ok(())
}
