//! Finding out what became of an effect that may have been done: [`settle_unknown`] writes what the other side said, and
//! [`resolve`] what a person found.

use super::{LedgerError, held, holder, record, tell};
use crate::{
    commands::approvals::subject::draft::follow_if_it_may,
    domain::{
        Action, Actor, Detail, EffectId, NewAuditEntry, Session,
        draft::DraftStep,
        effect::{EffectRefused, EffectStatus, EffectStep},
    },
    store::{
        audit,
        effects::{self, StoredEffect},
    },
};
use queue::Job;
use serde_json::Value;
use sqlx::PgPool;

/// What the other side says.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It is there.
    Done {
        receipt: Value,
        before_image: Option<Value>,
    },
    /// It is certainly not there.
    NotDone,
    /// It cannot say, or there is nobody to ask.
    CannotSay,
}

/// Writes down what was found of an effect that is unknown, and returns what it is now.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost; [`LedgerError::Refused`] if it is not unknown.
pub async fn settle_unknown(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
    finding: &Finding,
) -> Result<EffectStatus, LedgerError> {
    let mut tx = held(pool, job).await?;
    let found = effects::lock(&mut tx, job.tenant, id)
        .await?
        .ok_or(LedgerError::NotHeld)?;
    let to = found
        .status
        .after(EffectStep::Reconcile)?
        .after(match finding {
            Finding::Done { .. } => EffectStep::Succeed,
            Finding::NotDone => EffectStep::FailForNow,
            Finding::CannotSay => EffectStep::AskAPerson,
        })?;
    if let Finding::Done {
        receipt,
        before_image,
    } = finding
    {
        let known = (receipt, before_image.as_ref());
        effects::acknowledge(&mut tx, holder(job), id, known).await?;
    } else {
        effects::take(&mut tx, holder(job), id, (found.status, to)).await?;
    }
    record(&mut tx, job, Action::EFFECT_RECONCILED, id, to, None).await?;
    let verb = match finding {
        Finding::Done { .. } => "found_done",
        Finding::NotDone => "found_not_done",
        Finding::CannotSay => "left_to_you",
    };
    let what = (id, found.kind.as_str());
    tell(&mut tx, job.tenant, verb, what, job.lease.job).await?;
    tx.commit().await?;
    Ok(to)
}

/// A person's word was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("there is no such effect")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] EffectRefused),
    #[error("could not write the ledger")]
    Database(#[from] sqlx::Error),
}

/// A person has looked: it was done, or it was not and may be asked for again.
///
/// # Errors
/// If nobody waits for a person's word.
pub async fn resolve(
    pool: &PgPool,
    session: &Session,
    id: EffectId,
    done: bool,
    request_id: &str,
) -> Result<StoredEffect, ResolveError> {
    let mut tx = pool.begin().await?;
    let found = effects::lock(&mut tx, session.tenant, id)
        .await?
        .ok_or(ResolveError::NotFound)?;
    let step = if done {
        EffectStep::Succeed
    } else {
        EffectStep::FailForNow
    };
    let status = found.status;
    let to = match status {
        EffectStatus::NeedsHuman => status.after(step)?,
        // Its job has ended and will not ask any more; one that still runs finds it answered.
        EffectStatus::Unknown => status.after(EffectStep::Reconcile)?.after(step)?,
        _ => return Err(EffectRefused { status, step }.into()),
    };
    effects::set_status(&mut tx, session.tenant, id, to).await?;
    if let Some(approval) = found.approval {
        let step = if done {
            DraftStep::FindSent
        } else {
            DraftStep::FindUnsent
        };
        follow_if_it_may(&mut tx, session.tenant, approval, step).await?;
    }
    let verb = if done { "found_done" } else { "found_not_done" };
    let what = (id, found.kind.as_str());
    tell(&mut tx, session.tenant, verb, what, found.job).await?;
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let action = Action::EFFECT_RESOLVED;
    let entry = NewAuditEntry::new(session.tenant, actor, action, "effect", id)
        .with_request(Some(request_id))
        .with_detail(Detail::new().word("status", to.as_str()));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(StoredEffect {
        status: to,
        ..found
    })
}
