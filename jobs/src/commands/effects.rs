//! The ledger around an effect: [`reserve`] it, [`begin`] it, do it, [`end`] it. Each is a transaction of its own with its
//! audit entry, and nothing of the outside world is touched in any of them; whoever dies in between leaves a row that
//! says how far it came, and [`lose`] finds it.

pub mod compensate;
pub mod local;
pub mod reconcile;
pub mod sending;

use crate::{
    domain::{
        Action, Actor, Detail, EffectId, NewAuditEntry,
        action::ActionType,
        effect::{EffectEnd, EffectRefused, EffectStatus, EffectStep, NewEffect},
    },
    store::{
        audit,
        effects::{self, Holder, StoredEffect},
        history::{self, NewHistoryEntry},
    },
};
use base::{JobId, TenantId};
use queue::{Job, lease};
use sqlx::{PgConnection, PgPool};

/// What the ledger says to an intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// It is this attempt's to begin.
    Intended(EffectId),
    /// The same thing was asked for before: so it stands. Only what was certainly not done would have been `Intended`.
    Duplicate(Box<StoredEffect>),
}

/// The ledger was not written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another attempt has the job, or has taken the effect: stop.
    #[error("the attempt does not hold this any more")]
    NotHeld,
    #[error(transparent)]
    Refused(#[from] EffectRefused),
    #[error("could not write the ledger")]
    Database(#[from] sqlx::Error),
}

/// Commits the intent, or finds what became of the same one before. An intent of an attempt that never began, and a try
/// that certainly did nothing, come into this attempt's hands; what an earlier attempt of this job left in flight is
/// unknown from now on.
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

/// The intent, written in the transaction of somebody who holds the job.
async fn intend(
    conn: &mut PgConnection,
    job: &Job,
    effect: &NewEffect,
) -> Result<Reserved, LedgerError> {
    let holder = holder(job);
    let request_id = job.request_id.as_deref();
    if let Some(id) = effects::insert(conn, holder, effect, request_id).await? {
        let to = EffectStatus::Intent;
        record(conn, job, Action::EFFECT_INTENDED, id, to, None).await?;
        return Ok(Reserved::Intended(id));
    }
    let found = effects::lock_by_key(conn, job.tenant, &effect.key).await?;
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
        Action::EFFECT_LOST
    } else {
        effects::renew(conn, holder, found.id, effect).await?;
        Action::EFFECT_INTENDED
    };
    record(conn, job, action, found.id, next, None).await?;
    Ok(if next == EffectStatus::Intent {
        Reserved::Intended(found.id)
    } else {
        Reserved::Duplicate(Box::new(StoredEffect {
            status: next,
            attempt: job.lease.attempt,
            ..found
        }))
    })
}

/// Commits that it is about to be done.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the lease is lost or the effect is not this attempt's to begin: then do nothing.
pub async fn begin(pool: &PgPool, job: &Job, id: EffectId) -> Result<(), LedgerError> {
    let mut tx = held(pool, job).await?;
    let from = EffectStatus::Intent;
    let to = from.after(EffectStep::Begin)?;
    if !effects::take(&mut tx, holder(job), id, (from, to)).await? {
        return Err(LedgerError::NotHeld);
    }
    record(&mut tx, job, Action::EFFECT_BEGUN, id, to, None).await?;
    tx.commit().await?;
    Ok(())
}

/// Commits how it ended. Does not ask for the job's lease: what was done was done, and only this attempt knows.
///
/// # Errors
/// [`LedgerError::NotHeld`] if the effect was given up for unknown meanwhile: it is reconciled then.
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
    record(&mut tx, job, Action::EFFECT_ENDED, id, to, end.code()).await?;
    tx.commit().await?;
    Ok(to)
}

/// Takes up to `limit` effects from attempts that are gone, and says how many they were: see [`effects::lose`].
///
/// # Errors
/// If the database refuses; then none of them was taken.
pub async fn lose(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let lost = effects::lose(&mut tx, i64::from(limit)).await?;
    for effect in &lost {
        // What was certainly not done is no news.
        if effect.status == EffectStatus::Unknown.as_str() {
            let what = (effect.id, effect.kind.as_str());
            tell(&mut tx, effect.tenant, "lost_sight_of", what, effect.job).await?;
        }
    }
    let entries: Vec<NewAuditEntry> = lost
        .iter()
        .map(|effect| {
            let action = Action::EFFECT_LOST;
            NewAuditEntry::new(effect.tenant, Actor::System, action, "effect", effect.id)
                .with_request(effect.request_id.as_deref())
                .with_attempt(effect.job, effect.attempt)
                .with_detail(Detail::new().name("status", &effect.status))
                .failed("holder_lost")
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(u64::try_from(lost.len()).unwrap_or(u64::MAX))
}

/// A transaction in which the job's lease cannot be lost.
async fn held(
    pool: &PgPool,
    job: &Job,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, LedgerError> {
    let mut tx = pool.begin().await?;
    if lease::hold(&mut tx, job.lease).await? {
        Ok(tx)
    } else {
        Err(LedgerError::NotHeld)
    }
}

fn holder(job: &Job) -> Holder {
    Holder {
        tenant: job.tenant,
        job: job.lease.job,
        attempt: job.lease.attempt,
    }
}

/// The line of history, for everybody of the tenant: the noun that people know the action by.
async fn tell(
    conn: &mut PgConnection,
    tenant: TenantId,
    verb: &'static str,
    (id, kind): (EffectId, &str),
    job: JobId,
) -> Result<(), sqlx::Error> {
    let rationale = match ActionType::parse(kind) {
        Some(known) => known.spec().title,
        None => kind,
    };
    let told = NewHistoryEntry {
        verb,
        object_kind: "effect",
        object: id.0,
        job: Some(job),
        rationale,
    };
    history::insert(conn, tenant, &told).await
}

async fn record(
    conn: &mut PgConnection,
    job: &Job,
    action: Action,
    id: EffectId,
    status: EffectStatus,
    code: Option<&'static str>,
) -> Result<(), sqlx::Error> {
    let actor = Actor::Worker(job.lease.worker);
    let mut entry = NewAuditEntry::new(job.tenant, actor, action, "effect", id)
        .with_request(job.request_id.as_deref())
        .with_attempt(job.lease.job, job.lease.attempt)
        .with_detail(Detail::new().word("status", status.as_str()));
    if let Some(code) = code {
        entry = entry.failed(code);
    }
    audit::insert(conn, &[entry]).await
}
