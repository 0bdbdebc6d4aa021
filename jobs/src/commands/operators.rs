//! What operators do to the whole fleet, with the audit entry of each in their own tenant: queues are held still and let
//! go, limits are put in force and lifted.
//!
//! Who is an operator is decided by who calls. Why a queue is paused stands beside the pause and not in the audit log,
//! which takes no person's words.

pub mod grant;

pub use grant::grant;

use crate::{
    domain::{
        Session,
        audit::{Action, Actor, Detail, NewAuditEntry},
    },
    kinds::QUEUES,
    store::audit,
};
use queue::{
    operate::{
        limits::{self, Limit, Scope},
        pause,
    },
    signals::notifier::Notifier,
};
use sqlx::PgPool;

/// Stops claims of the queue on all workers; of one that is paused, only the reason is replaced.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn pause_queue(
    pool: &PgPool,
    session: &Session,
    queue: &str,
    reason: &str,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    pause::pause(&mut *tx, queue, reason).await?;
    let entry = entry(session, Action::QUEUE_PAUSED, "queue", queue, request_id);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await
}

/// Lets the queue go on, and tells the workers. False when it was not paused.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn resume_queue(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    queue: &str,
    request_id: &str,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let resumed = pause::resume(&mut *tx, queue).await?;
    if resumed {
        let entry = entry(session, Action::QUEUE_RESUMED, "queue", queue, request_id);
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
    }
    // Also of a queue that was not paused: somebody believes that it stands still.
    notifier.job_available(queue);
    Ok(resumed)
}

/// Puts a limit on running jobs in force, or changes it.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn set_limit(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    limit: &Limit,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    limits::set(&mut *tx, limit).await?;
    let named = named(limit.scope, &limit.name);
    let entry = entry(session, Action::LIMIT_SET, "limit", &named, request_id)
        .with_detail(Detail::new().count("max_running", limit.max_running));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    wake_all(notifier);
    Ok(())
}

/// Lifts a limit. False when there was none.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn remove_limit(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    (scope, name): (Scope, &str),
    request_id: &str,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    if !limits::remove(&mut *tx, scope, name).await? {
        return Ok(false);
    }
    let named = named(scope, name);
    let entry = entry(session, Action::LIMIT_REMOVED, "limit", &named, request_id);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    wake_all(notifier);
    Ok(true)
}

/// There may be room now in any queue.
fn wake_all(notifier: &Notifier) {
    for queue in QUEUES {
        notifier.job_available(queue);
    }
}

fn named(scope: Scope, name: &str) -> String {
    format!("{}:{name}", scope.as_str())
}

pub(super) fn entry(
    session: &Session,
    action: Action,
    resource_kind: &'static str,
    resource_id: &str,
    request_id: &str,
) -> NewAuditEntry {
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    NewAuditEntry::new(session.tenant, actor, action, resource_kind, resource_id)
        .with_request(Some(request_id))
}
