//! The effect ledger: [`reserve`] an effect, [`begin`] it, perform it, [`end`] it. Each step is a transaction of its
//! own with an audit entry, and none touches the outside world. A worker that dies in between leaves a row that says
//! how far it came; [`mark_lost`] finds it.

pub mod bounce;
pub mod compensate;
pub mod local;
pub mod reconcile;
mod refused;
pub mod sending;

use crate::commands::{audit::JobAudit, follow_ups, inbox};
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        Actor, AuditAction, Detail, EffectId, NewAuditEntry,
        action::ActionType,
        effect::{EffectEnd, EffectRefused, EffectStatus, EffectStep, NewEffect},
    },
    store::{
        audit,
        effects::{self, Holder, StoredEffect},
        history::{self, NewHistoryEntry},
    },
};
use base::{JobId, TenantId, db, telemetry::chain};
use queue::{Job, lease};
use refused::record_refused;
use sqlx::{Connection as _, PgConnection, PgPool};

/// The outcome of reserving an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// This attempt may begin the effect.
    Intended(EffectId),
    /// The same effect was reserved before. An effect that certainly did not happen is `Intended` instead.
    Duplicate(Box<StoredEffect>),
}

/// The ledger was not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another attempt holds the job or the effect: stop.
    #[error("the attempt no longer holds the job or the effect")]
    NotHeld,
    #[error(transparent)]
    Refused(#[from] EffectRefused),
    #[error("could not write the ledger")]
    Database(#[from] sqlx::Error),
}

impl LedgerError {
    /// Whether the same step may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotHeld | Self::Refused(_) => false,
            Self::Database(error) => db::is_transient(error),
        }
    }
}

/// Commits the intent, or finds the earlier one of this name. Takes over an intent that was never begun and an attempt that
/// certainly did nothing; an effect that an earlier attempt left in flight becomes unknown.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the job's lease is lost.
pub async fn reserve(
    pool: &PgPool,
    job: &Job,
    effect: &NewEffect,
) -> Result<Reserved, LedgerError> {
    let mut tx = held(pool, job).await?;
    let reserved = intend(&mut tx, job, effect).await?;
    tx.commit().await?;
    Ok(reserved)
}

/// Writes the intent in the transaction of a caller that holds the job.
async fn intend(
    conn: &mut PgConnection,
    job: &Job,
    effect: &NewEffect,
) -> Result<Reserved, LedgerError> {
    let holder = holder(job);
    let request_id = job.request_id.as_deref();
    if let Some(id) = effects::insert(conn, holder, effect, request_id).await? {
        let to = EffectStatus::Intent;
        record(conn, job, AuditAction::EffectIntended, id, to, None).await?;
        return Ok(Reserved::Intended(id));
    }
    let found = effects::lock_by_key(conn, job.lease.tenant, &effect.key).await?;
    let ours = found.job == job.lease.job;
    let next = match found.status {
        EffectStatus::Intent if ours => EffectStatus::Intent,
        EffectStatus::InFlight if ours && found.attempt < job.lease.attempt => {
            found.status.after(EffectStep::Lose)?
        }
        EffectStatus::Retryable | EffectStatus::FailedPermanent => {
            found.status.after(EffectStep::Renew)?
        }
        _ => return Ok(Reserved::Duplicate(Box::new(found))),
    };
    let action = if next == EffectStatus::Unknown {
        effects::take(conn, holder, found.id, (found.status, next)).await?;
        AuditAction::EffectLost
    } else {
        effects::renew(conn, holder, found.id, effect).await?;
        AuditAction::EffectIntended
    };
    record(conn, job, action, found.id, next, None).await?;
    if next == EffectStatus::Intent {
        return Ok(Reserved::Intended(found.id));
    }
    // As it is written now: a second send waits from then on.
    let lost = effects::lock_by_key(conn, job.lease.tenant, &effect.key).await?;
    Ok(Reserved::Duplicate(Box::new(lost)))
}

/// Commits that the effect is in flight.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the lease is lost or another attempt has the effect: then do nothing.
pub async fn begin(pool: &PgPool, job: &Job, id: EffectId) -> Result<(), LedgerError> {
    let mut tx = held(pool, job).await?;
    let from = EffectStatus::Intent;
    let to = from.after(EffectStep::Begin)?;
    if !effects::take(&mut tx, holder(job), id, (from, to)).await? {
        return Err(LedgerError::NotHeld);
    }
    record(&mut tx, job, AuditAction::EffectBegun, id, to, None).await?;
    tx.commit().await?;
    Ok(())
}

/// How often the writes that follow from a sent email are tried.
const AFTER_SENDING_TRIES: usize = 3;

/// Commits how the effect ended. Does not need the job's lease: the effect has happened, and only this attempt knows.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the effect was marked as unknown meanwhile; it is reconciled then.
pub async fn end(
    pool: &PgPool,
    job: &Job,
    id: EffectId,
    end: &EffectEnd,
) -> Result<EffectStatus, LedgerError> {
    let to = EffectStatus::InFlight.after(end.step())?;
    let mut tx = pool.begin().await?;
    if !effects::end(&mut tx, holder(job), id, (to, end)).await? {
        return Err(LedgerError::NotHeld);
    }
    record(&mut tx, job, AuditAction::EffectEnded, id, to, end.code()).await?;
    if to == EffectStatus::Succeeded {
        after_sending(&mut tx, job, id, end).await?;
    }
    tx.commit().await?;
    Ok(to)
}

/// Writes what follows from an email that has left, and tells its sender who does not get it. Whatever happens here, the caller's
/// record that it has left must be committed, or it would be sent again.
async fn after_sending(
    conn: &mut PgConnection,
    job: &Job,
    id: EffectId,
    end: &EffectEnd,
) -> Result<(), sqlx::Error> {
    let entry = |action, kind, id| job.audit(action, kind, id);
    for left in (0..AFTER_SENDING_TRIES).rev() {
        let mut writing = conn.begin().await?;
        let written = async {
            write_sent(
                &mut writing,
                (job.lease.tenant, id),
                Some(job.lease.job),
                &entry,
            )
            .await?;
            record_refused(&mut writing, job, id, end).await
        };
        let Err(error) = written.await else {
            return writing.commit().await;
        };
        writing.rollback().await?;
        if left == 0 || !db::is_transient(&error) {
            tracing::warn!(
                effect.id = %id,
                error = chain(&error),
                "an email was sent; it is not followed up, the inbox item that it answers stays open, and its refused recipients \
                 are not reported"
            );
            break;
        }
    }
    Ok(())
}

/// Follows up an email that has left, and completes the inbox items of the one that it answers.
async fn write_sent(
    conn: &mut PgConnection,
    (tenant, id): (TenantId, EffectId),
    job: Option<JobId>,
    entry: &(dyn Fn(AuditAction, ResourceKind, String) -> NewAuditEntry + Sync),
) -> Result<(), sqlx::Error> {
    follow_ups::start(conn, tenant, id, entry).await?;
    inbox::complete_answered(conn, (tenant, id), job, entry).await
}

/// Marks up to `limit` effects of dead attempts as lost, and returns their number; see [`effects::lose`].
///
/// # Errors
/// If the database refuses; then none was marked.
pub async fn mark_lost(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let lost = effects::lose(&mut tx, i64::from(limit)).await?;
    for effect in &lost {
        // An effect that certainly did not happen needs no entry.
        if effect.status == EffectStatus::Unknown {
            let what = (effect.id, effect.kind.as_str());
            record_history(
                &mut tx,
                effect.tenant,
                HistoryVerb::Unknown,
                what,
                effect.job,
            )
            .await?;
        }
    }
    let entries: Vec<NewAuditEntry> = lost
        .iter()
        .map(|effect| {
            let action = AuditAction::EffectLost;
            NewAuditEntry::new(
                effect.tenant,
                Actor::System,
                action,
                ResourceKind::Effect,
                effect.id,
            )
            .with_request(effect.request_id.as_deref())
            .with_attempt(effect.job, effect.attempt)
            .with_detail(Detail::new().word("status", effect.status.as_str()))
            .failed("holder_lost")
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(u64::try_from(lost.len()).unwrap_or(u64::MAX))
}

/// Opens a transaction in which the job's lease cannot be lost.
async fn held(
    pool: &PgPool,
    job: &Job,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, LedgerError> {
    let mut tx = pool.begin().await?;
    if lease::lock_if_held(&mut tx, job.lease).await? {
        Ok(tx)
    } else {
        Err(LedgerError::NotHeld)
    }
}

fn holder(job: &Job) -> Holder {
    Holder {
        tenant: job.lease.tenant,
        job: job.lease.job,
        attempt: job.lease.attempt,
    }
}

/// Writes the history entry for everyone in the tenant, with the title of the action.
async fn record_history(
    conn: &mut PgConnection,
    tenant: TenantId,
    verb: HistoryVerb,
    (id, kind): (EffectId, &str),
    job: JobId,
) -> Result<(), sqlx::Error> {
    let rationale = match ActionType::parse(kind) {
        Some(known) => known.spec().title,
        None => kind,
    };
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: ResourceKind::Effect,
        object: id.0,
        job: Some(job),
        rationale,
    };
    history::insert(conn, tenant, &history_entry).await
}

async fn record(
    conn: &mut PgConnection,
    job: &Job,
    action: AuditAction,
    id: EffectId,
    status: EffectStatus,
    code: Option<&'static str>,
) -> Result<(), sqlx::Error> {
    let mut entry = job
        .audit(action, ResourceKind::Effect, id)
        .with_detail(Detail::new().word("status", status.as_str()));
    if let Some(code) = code {
        entry = entry.failed(code);
    }
    audit::insert(conn, &[entry]).await
}
