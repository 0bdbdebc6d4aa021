//! Putting jobs that ended without success back in line, with the audit entry of each.

use crate::{
    domain::{
        JobId, Session,
        audit::{Action, Actor, NewAuditEntry},
    },
    queue::{
        dead_letters::{self, DeadLetterFilter, Requeued},
        notify::Notifier,
    },
    store::audit,
};
use sqlx::{PgConnection, PgPool};

/// Jobs that one call puts back at most.
pub const MOST_AT_ONCE: i64 = 500;

/// What a call by filter did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequeuedSome {
    pub jobs: Vec<JobId>,
    /// Jobs that still fit the filter, counted up to [`dead_letters::MOST_COUNTED`].
    pub left: i64,
}

/// Puts one discarded or cancelled job back in line. False when it is neither, or not the tenant's.
///
/// # Errors
/// If the database cannot be asked.
pub async fn requeue_job(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    job: JobId,
    request_id: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let requeued = requeue(&mut transaction, session, &[job], request_id).await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(!requeued.is_empty())
}

/// Puts up to [`MOST_AT_ONCE`] discarded jobs back in line, the oldest first.
///
/// # Errors
/// If the database cannot be asked.
pub async fn requeue_dead_letters(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    filter: &DeadLetterFilter,
    request_id: Option<&str>,
) -> Result<RequeuedSome, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found = dead_letters::lock(&mut transaction, session.tenant, filter, MOST_AT_ONCE).await?;
    let requeued = requeue(&mut transaction, session, &found, request_id).await?;
    let left = dead_letters::count(&mut transaction, session.tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(RequeuedSome {
        jobs: requeued.into_iter().map(|requeued| requeued.job).collect(),
        left,
    })
}

async fn requeue(
    conn: &mut PgConnection,
    session: &Session,
    jobs: &[JobId],
    request_id: Option<&str>,
) -> Result<Vec<Requeued>, sqlx::Error> {
    let requeued = dead_letters::requeue(conn, session.tenant, jobs).await?;
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let entries: Vec<NewAuditEntry> = requeued
        .iter()
        .map(|requeued| {
            NewAuditEntry::new(
                session.tenant,
                actor,
                Action::JOB_REQUEUED,
                "job",
                requeued.job,
            )
            .with_request(request_id)
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(requeued)
}

/// After the commit; the notifier coalesces what is said twice.
fn announce(notifier: &Notifier, requeued: &[Requeued]) {
    for requeued in requeued {
        notifier.job_available(&requeued.queue);
    }
}
