//! Cancelling a job for its owner, with an audit entry.

use crate::domain::ResourceKind;
use crate::{
    domain::{AuditAction, NewAuditEntry, Session},
    store::audit,
};
use base::JobId;
use queue::{
    run::{
        cancel::{Cancelled, cancel},
        children,
    },
    signals::notifier::Notifier,
};
use sqlx::PgPool;

/// Cancels a waiting job at once and asks the worker of a running one to stop; the same for the children that it waits
/// for, and theirs.
///
/// # Errors
/// If the database refuses; then nothing was changed, or only the reply was lost: ask again.
pub async fn cancel_job(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    job: JobId,
    request_id: &str,
) -> Result<Cancelled, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let cancelled = cancel(&mut tx, session.tenant, job).await?;
    if matches!(cancelled, Cancelled::AlreadyEnded(_) | Cancelled::NotFound) {
        return Ok(cancelled);
    }
    let mut done = vec![(job, cancelled)];
    // A waiting parent is cancelled with its children; a running parent waits for none.
    let mut waiting = vec![job];
    while let Some(parent) = waiting.pop() {
        for child in children::unfinished(&mut tx, session.tenant, parent).await? {
            done.push((child, cancel(&mut tx, session.tenant, child).await?));
            waiting.push(child);
        }
    }
    let entries: Vec<NewAuditEntry> = done
        .iter()
        .filter_map(|(job, cancelled)| entry(session, *job, *cancelled, request_id))
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    for (job, cancelled) in done {
        match cancelled {
            Cancelled::Now => notifier.job_finished(job),
            Cancelled::Requested => notifier.cancel_requested(job),
            Cancelled::AlreadyEnded(_) | Cancelled::NotFound => {}
        }
    }
    Ok(cancelled)
}

fn entry(
    session: &Session,
    job: JobId,
    cancelled: Cancelled,
    request_id: &str,
) -> Option<NewAuditEntry> {
    let action = match cancelled {
        Cancelled::Now => AuditAction::JobCancelled,
        Cancelled::Requested => AuditAction::JobCancelRequested,
        Cancelled::AlreadyEnded(_) | Cancelled::NotFound => return None,
    };
    let entry = session.audit(action, ResourceKind::Job, job);
    Some(entry.with_request(Some(request_id)))
}
