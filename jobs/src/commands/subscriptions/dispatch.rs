//! Starting deliveries: [`dispatch`] follows the audit log for each subscription and enqueues a job where there is something
//! to deliver; [`suspend`] stops those whose job was given up.

use super::{deliver::read, tell_owner};
use crate::{
    domain::{Actor, AuditAction, NewAuditEntry, ResourceKind, subscription::SubscriptionStatus},
    kinds::webhook_delivery::{Args, WebhookDelivery},
    store::{audit, subscriptions},
};
use queue::{JobKind, NewJob, enqueue, signals::notifier::Notifier};
use sqlx::PgPool;

/// Starts the deliveries of up to `limit` subscriptions for which none is in progress, and returns how many it read the log
/// for. Entries that nobody wants are passed over here, without a job.
///
/// # Errors
/// If the database refuses; then nothing was started.
pub async fn dispatch(pool: &PgPool, notifier: &Notifier, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let due = subscriptions::lock_due(&mut tx, i64::from(limit)).await?;
    let mut is_enqueued = false;
    for (tenant, subscription) in &due {
        let (tenant, connection) = (*tenant, subscription.connection);
        let (after, events) = (subscription.position, &subscription.events);
        let batch = read(&mut tx, tenant, after, events).await?;
        if batch.events.is_empty() {
            if let Some(last) = batch.last {
                subscriptions::skip(&mut tx, tenant, connection, last).await?;
            }
            continue;
        }
        let args = Args {
            connection_id: connection,
        };
        let job = NewJob::of::<WebhookDelivery>(tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        enqueue::insert(&mut tx, &job).await?;
        subscriptions::assign(&mut tx, tenant, connection, job.id).await?;
        is_enqueued = true;
    }
    tx.commit().await?;
    if is_enqueued {
        notifier.job_available(WebhookDelivery::QUEUE);
    }
    Ok(u64::try_from(due.len()).unwrap_or(u64::MAX))
}

/// Suspends up to `limit` subscriptions whose job was discarded, tells their owners, and returns how many.
///
/// # Errors
/// If the database refuses; then none was suspended.
pub async fn suspend(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    const TITLE: &str = "A webhook does not take events: its subscription is suspended";
    const RATIONALE: &str = "The job that delivers them was given up; its error says why. Subscribe the webhook again, or replay, and it continues where it stopped. Events wait as long as their jobs are stored: those of jobs that were removed meanwhile are left out.";
    let mut tx = pool.begin().await?;
    let found = subscriptions::lock_undeliverable(&mut tx, i64::from(limit)).await?;
    for one in &found {
        let (tenant, connection) = (one.tenant, one.connection);
        let (suspended, code) = (SubscriptionStatus::Suspended, one.error_code.as_deref());
        subscriptions::stop(&mut tx, tenant, connection, suspended, code).await?;
        let about = (connection, one.job);
        tell_owner(&mut tx, tenant, one.user, about, (TITLE, RATIONALE)).await?;
        let action = AuditAction::SubscriptionSuspended;
        let (actor, kind) = (Actor::System, ResourceKind::Connection);
        let entry = NewAuditEntry::new(tenant, actor, action, kind, connection)
            .failed(code.unwrap_or("unknown"));
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await?;
    Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
}
