//! What operators do to the whole installation, each change with its audit entry: pausing and resuming queues, setting
//! and removing limits. The HTTP API and the command line call the same functions.
//!
//! The caller decides who is an operator. The reason of a pause is stored beside the pause: the audit log takes no
//! person's words.

pub mod grant;

pub use grant::grant;

use crate::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind, Session},
    kinds,
    store::{audit, tenants},
};
use base::TenantId;
use queue::{
    operate::{
        limits::{self, Limit, Scope},
        pause,
    },
    signals::notifier::Notifier,
};
use sqlx::{PgConnection, PgPool};

/// Who operates the installation.
#[derive(Clone, Copy)]
pub enum Operator<'a> {
    /// A user of the operators' tenant, over HTTP.
    User {
        session: &'a Session,
        request_id: &'a str,
    },
    /// A person with a shell on the server. Their entries go into the operators' tenant; without one there is no audit
    /// log that they could go into.
    Shell { tenant: Option<TenantId> },
}

impl Operator<'_> {
    pub(super) fn audit(
        self,
        action: AuditAction,
        resource: ResourceKind,
        id: &str,
    ) -> Option<NewAuditEntry> {
        match self {
            Self::User {
                session,
                request_id,
            } => Some(
                session
                    .audit(action, resource, id)
                    .with_request(Some(request_id)),
            ),
            Self::Shell { tenant } => {
                tenant.map(|tenant| NewAuditEntry::new(tenant, Actor::Cli, action, resource, id))
            }
        }
    }
}

/// Stops claims on a queue, on all workers; of a paused queue only the reason is replaced.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn pause_queue(
    pool: &PgPool,
    operator: Operator<'_>,
    queue: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    pause::pause(&mut *tx, queue, reason).await?;
    let entry = operator.audit(AuditAction::QueuePaused, ResourceKind::Queue, queue);
    audit::insert(&mut tx, entry.as_slice()).await?;
    tx.commit().await
}

/// Resumes a queue and notifies the workers. False if it was not paused.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn resume_queue(
    pool: &PgPool,
    notifier: &Notifier,
    operator: Operator<'_>,
    queue: &str,
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let resumed = pause::resume(&mut *tx, queue).await?;
    if resumed {
        let entry = operator.audit(AuditAction::QueueResumed, ResourceKind::Queue, queue);
        audit::insert(&mut tx, entry.as_slice()).await?;
        tx.commit().await?;
    }
    // Notifies even if the queue was not paused: the caller thinks it is.
    notifier.job_available(queue);
    Ok(resumed)
}

/// Sets a limit on running jobs, or changes it.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn set_limit(
    pool: &PgPool,
    notifier: &Notifier,
    operator: Operator<'_>,
    limit: &Limit,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    // A paused tenant runs nothing until it is resumed; the limit applies from then on.
    if !keep_if_stopped(&mut tx, limit.scope, &limit.name, Some(limit.max_running)).await? {
        limits::set(&mut *tx, limit).await?;
    }
    let named = named(limit.scope, &limit.name);
    let entry = operator
        .audit(AuditAction::LimitSet, ResourceKind::Limit, &named)
        .map(|entry| entry.with_detail(Detail::new().count("max_running", limit.max_running)));
    audit::insert(&mut tx, entry.as_slice()).await?;
    tx.commit().await?;
    wake_all(notifier);
    Ok(())
}

/// Removes a limit. False if there was none.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn remove_limit(
    pool: &PgPool,
    notifier: &Notifier,
    operator: Operator<'_>,
    (scope, name): (Scope, &str),
) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    if !keep_if_stopped(&mut tx, scope, name, None).await?
        && !limits::remove(&mut *tx, scope, name).await?
    {
        return Ok(false);
    }
    let named = named(scope, name);
    let entry = operator.audit(AuditAction::LimitRemoved, ResourceKind::Limit, &named);
    audit::insert(&mut tx, entry.as_slice()).await?;
    tx.commit().await?;
    wake_all(notifier);
    Ok(true)
}

/// Keeps the limit of a tenant that is paused or closed beside the tenant; returns whether it is.
async fn keep_if_stopped(
    conn: &mut PgConnection,
    scope: Scope,
    name: &str,
    max_running: Option<i32>,
) -> Result<bool, sqlx::Error> {
    let tenant: Option<TenantId> = match scope {
        Scope::Tenant => name.parse().ok(),
        Scope::Queue | Scope::Kind => None,
    };
    match tenant {
        Some(tenant) => tenants::keep_limit_if_stopped(conn, tenant, max_running).await,
        None => Ok(false),
    }
}

/// Any queue may have room for more jobs now.
fn wake_all(notifier: &Notifier) {
    for queue in kinds::queues() {
        notifier.job_available(queue);
    }
}

fn named(scope: Scope, name: &str) -> String {
    format!("{}:{name}", scope.as_str())
}
