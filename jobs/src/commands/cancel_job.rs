//! Cancelling a job for its owner, with the audit entry of the wish.

use crate::{
    domain::{Action, Actor, JobId, NewAuditEntry, Session},
    queue::{
        cancel::{Cancelled, cancel},
        notify::Notifier,
    },
    store::audit,
};
use sqlx::PgPool;

/// Cancels a waiting job at once and asks the worker of a running one to stop.
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
    let action = match cancelled {
        Cancelled::Now => Action::JOB_CANCELLED,
        Cancelled::Requested => Action::JOB_CANCEL_REQUESTED,
        Cancelled::AlreadyEnded(_) | Cancelled::NotFound => return Ok(cancelled),
    };
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let entry = NewAuditEntry::new(session.tenant, actor, action, "job", job)
        .with_request(Some(request_id));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    match cancelled {
        Cancelled::Now => notifier.job_finished(job),
        _ => notifier.cancel_requested(job),
    }
    Ok(cancelled)
}
