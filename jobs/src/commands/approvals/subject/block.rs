//! Keeps a block in step with the approval that books it: [`may_begin`] and [`sync_with_decision`], in the transaction
//! that executes the approval. The caller has locked its row.

use crate::commands::blocks::{BlockCommand, BlockError, Cause, step_block};
use crate::{
    domain::{Actor, ApprovalId, blocks::Step, effect::EffectStatus},
    store::{blocks, effects},
};
use base::TenantId;
use queue::Job;
use sqlx::PgConnection;

/// Reports whether the block of this approval can still be booked. True for an approval without a block.
pub(crate) async fn may_begin(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<bool, sqlx::Error> {
    let found = blocks::of_approval(conn, tenant, approval).await?;
    Ok(found.is_none_or(|(_, block)| block.status.after(Step::Book).is_ok()))
}

/// What happened to the calendar event of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventChange {
    Made,
    Undone,
}

/// Marks the block of this approval as booked, or cancels it. Leaves a block that has moved on.
pub(crate) async fn sync_with_decision(
    conn: &mut PgConnection,
    job: &Job,
    approval: ApprovalId,
    happened: EventChange,
) -> Result<(), sqlx::Error> {
    let Some((user, block)) = blocks::of_approval(conn, job.lease.tenant, approval).await? else {
        return Ok(());
    };
    let done = effects::of_approval(conn, job.lease.tenant, approval).await?;
    // An effect of an earlier version of the approval belongs to that version.
    let Some(effect) = done.first() else {
        return Ok(());
    };
    let command = match happened {
        EventChange::Made if effect.status == EffectStatus::Succeeded => {
            let receipt_text =
                |name: &str| effect.receipt.as_ref()?[name].as_str().map(str::to_owned);
            BlockCommand::Book {
                event_ref: receipt_text("uid").unwrap_or_else(|| effect.id.to_string()),
                event_etag: receipt_text("etag"),
            }
        }
        EventChange::Made => return Ok(()),
        EventChange::Undone => BlockCommand::Cancel,
    };
    let cause = Cause {
        actor: Actor::Worker(job.lease.worker),
        request_id: job.request_id.as_deref(),
        client_request_id: None,
        at: effect.updated_at,
    };
    let whose = (job.lease.tenant, user);
    match step_block(conn, whose, block.id, None, command, cause).await {
        Err(BlockError::Database(error)) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
