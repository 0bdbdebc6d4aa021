//! Taking jobs back from dead workers, with the audit entry of each attempt that was lost.

use crate::{
    domain::audit::{Action, Actor, NewAuditEntry},
    queue::{
        cancel::CANCELLED,
        dedupe::SUPERSEDED,
        rescue::{POISON, Rescued, rescue},
    },
    store::audit,
    telemetry::trace_id,
};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Rescues up to `limit` jobs whose lease has expired, not before `since`.
///
/// # Errors
/// If the database cannot be asked; then nothing was rescued, or its reply was lost and the next call finds the rest.
pub async fn rescue_jobs(
    pool: &PgPool,
    since: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<Rescued>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let rescued = rescue(&mut transaction, since, limit).await?;
    let entries: Vec<NewAuditEntry> = rescued.iter().flat_map(entries).collect();
    audit::insert(&mut transaction, &entries).await?;
    transaction.commit().await?;
    Ok(rescued)
}

fn entries(rescued: &Rescued) -> Vec<NewAuditEntry> {
    let (action, code) = if rescued.poisoned {
        (Action::JOB_DISCARDED, POISON)
    } else if rescued.unwanted {
        (Action::JOB_CANCELLED, CANCELLED)
    } else if rescued.superseded {
        (Action::JOB_CANCELLED, SUPERSEDED)
    } else {
        (Action::JOB_RESCUED, "worker_lost")
    };
    let mut entry = NewAuditEntry::new(rescued.tenant, Actor::System, action, "job", rescued.job)
        .failed(code)
        .with_request(rescued.request_id.as_deref())
        .with_attempt(rescued.job, rescued.attempt);
    entry.trace_id = rescued
        .traceparent
        .as_deref()
        .and_then(trace_id)
        .map(str::to_owned);
    let older = rescued.in_place_of.map(|older| {
        let action = Action::JOB_CANCELLED;
        NewAuditEntry::new(rescued.tenant, Actor::System, action, "job", older).failed(SUPERSEDED)
    });
    std::iter::once(entry).chain(older).collect()
}
