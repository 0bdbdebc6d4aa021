//! A block goes where its booking goes: [`may_begin`] and [`follow`], in the transactions that carry out the approval, whose
//! row the caller holds.

use crate::commands::blocks::{BlockError, Occasion, Wish, step_block};
use crate::{
    domain::{Actor, ApprovalId, blocks::Step, effect::EffectStatus},
    store::{blocks, effects},
};
use base::TenantId;
use queue::Job;
use sqlx::PgConnection;

/// Whether the block that this approval books still waits for it. Most approvals book none: then nothing stands against it.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn may_begin(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<bool, sqlx::Error> {
    let found = blocks::of_approval(conn, tenant, approval).await?;
    Ok(found.is_none_or(|(_, block)| block.status.after(Step::Book).is_ok()))
}

/// What happened to the event of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Made,
    TakenBack,
}

/// Books the block of this approval, or cancels it, as its event is there now. A block that has gone elsewhere stays there.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn follow(
    conn: &mut PgConnection,
    job: &Job,
    approval: ApprovalId,
    happened: Happened,
) -> Result<(), sqlx::Error> {
    let Some((user, block)) = blocks::of_approval(conn, job.tenant, approval).await? else {
        return Ok(());
    };
    let done = effects::of_approval(conn, job.tenant, approval).await?;
    // What was done under an earlier agreement is that one's.
    let Some(effect) = done.first() else {
        return Ok(());
    };
    let wish = match happened {
        Happened::Made if effect.status == EffectStatus::Succeeded => {
            let told = |name: &str| effect.receipt.as_ref()?[name].as_str().map(str::to_owned);
            Wish::Book {
                event_ref: told("uid").unwrap_or_else(|| effect.id.to_string()),
                event_etag: told("etag"),
            }
        }
        Happened::Made => return Ok(()),
        Happened::TakenBack => Wish::Cancel,
    };
    let occasion = Occasion {
        actor: Actor::Worker(job.lease.worker),
        request_id: job.request_id.as_deref(),
        at: effect.updated_at,
    };
    let whose = (job.tenant, user);
    match step_block(conn, whose, block.id, None, wish, occasion).await {
        Err(BlockError::Database(error)) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
