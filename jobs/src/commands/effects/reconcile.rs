//! Resolving effects that may have happened: [`settle_unknown`] records the provider's answer, and [`resolve`] a
//! person's.

use super::{LedgerError, held, holder, record, record_history, write_sent};
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    commands::{
        approvals::subject::draft::sync_if_possible,
        audit::JobAudit,
        drafts::ownership::{Rights, rights_of},
    },
    domain::{
        AuditAction, Detail, EffectId, Session,
        draft::DraftStep,
        effect::{EffectRefused, EffectStatus, EffectStep},
    },
    store::{
        approvals, audit, blocks,
        effects::{self, StoredEffect},
    },
};
use queue::Job;
use serde_json::Value;
use sqlx::PgPool;

/// The provider's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The effect happened.
    Done {
        receipt: Value,
        before_image: Option<Value>,
    },
    /// It certainly did not happen.
    NotDone,
    /// The provider cannot tell, or there is none to ask.
    CannotSay,
}

/// Records the provider's answer about an unknown effect, and returns its new status.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost; [`LedgerError::Refused`] if the effect is not unknown.
pub async fn settle_unknown(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
    finding: &Finding,
) -> Result<EffectStatus, LedgerError> {
    let mut tx = held(pool, job).await?;
    let found = effects::lock(&mut tx, job.lease.tenant, id)
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
    record(&mut tx, job, AuditAction::EffectReconciled, id, to, None).await?;
    let verb = match finding {
        Finding::Done { .. } => HistoryVerb::FoundDone,
        Finding::NotDone => HistoryVerb::FoundNotDone,
        Finding::CannotSay => HistoryVerb::NeedsResolution,
    };
    let what = (id, found.kind.as_str());
    record_history(&mut tx, job.lease.tenant, verb, what, job.lease.job).await?;
    if to == EffectStatus::Succeeded {
        let entry = |action, kind, id| job.audit(action, kind, id);
        let effect = (job.lease.tenant, id);
        write_sent(&mut tx, effect, Some(job.lease.job), &entry).await?;
    }
    tx.commit().await?;
    Ok(to)
}

/// The effect was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is none, or the session may not read it.
    #[error("there is no such effect")]
    NotFound,
    /// It sent the draft of another user, who has not made this one a delegate.
    #[error("the draft belongs to another user")]
    NotYours,
    #[error(transparent)]
    Refused(#[from] EffectRefused),
    #[error("could not write the ledger")]
    Database(#[from] sqlx::Error),
}

/// Resolves an unknown effect: it happened, or it did not and may be requested again.
///
/// # Errors
/// If the effect is not unknown, or sent a draft that the session's user may not decide.
pub async fn resolve(
    pool: &PgPool,
    session: &Session,
    id: EffectId,
    done: bool,
    request_id: &str,
) -> Result<StoredEffect, ResolveError> {
    let mut tx = pool.begin().await?;
    let seen = effects::find(&mut tx, session.tenant, id)
        .await?
        .ok_or(ResolveError::NotFound)?;
    if let Some(approval) = seen.approval {
        if blocks::books_for_another(&mut tx, session.tenant, approval, session.person()).await? {
            return Err(ResolveError::NotFound);
        }
        let owner = approvals::owner_of(&mut tx, session.tenant, approval).await?;
        match rights_of(&mut tx, session, owner).await? {
            Rights::Decide => {}
            Rights::Read => return Err(ResolveError::NotYours),
            Rights::Nothing => return Err(ResolveError::NotFound),
        }
    }
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
        // Its job has ended and will not ask again; a job that still runs finds it resolved.
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
        sync_if_possible(&mut tx, session.tenant, approval, step).await?;
    }
    let verb = if done {
        HistoryVerb::FoundDone
    } else {
        HistoryVerb::FoundNotDone
    };
    let what = (id, found.kind.as_str());
    record_history(&mut tx, session.tenant, verb, what, found.job).await?;
    let action = AuditAction::EffectResolved;
    let entry = session
        .audit(action, ResourceKind::Effect, id)
        .with_request(Some(request_id))
        .with_detail(Detail::new().word("status", to.as_str()));
    audit::insert(&mut tx, &[entry]).await?;
    if done {
        let entry = |action, kind, id| {
            let entry = session.audit(action, kind, id);
            entry.with_request(Some(request_id))
        };
        write_sent(&mut tx, (session.tenant, id), None, &entry).await?;
    }
    tx.commit().await?;
    Ok(StoredEffect {
        status: to,
        ..found
    })
}
