//! The waiting jobs of closed tenants: [`cancel_jobs_of_closed`], a duty, because a job that ran when its tenant was closed
//! may wait again afterwards.

use crate::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind},
    store::{audit, tenants},
};
use base::TenantId;
use queue::{run::cancel::cancel_waiting, signals::notifier::Notifier};
use sqlx::PgPool;

/// Cancels up to `limit` waiting jobs of each closed tenant; returns how many.
///
/// # Errors
/// If the database refuses; then those of the tenants before were cancelled.
pub async fn cancel_jobs_of_closed(
    pool: &PgPool,
    notifier: &Notifier,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut cancelled = 0;
    for tenant in tenants::closed_with_jobs(pool).await? {
        cancelled += cancel_jobs(pool, notifier, tenant, limit).await?;
    }
    Ok(cancelled)
}

async fn cancel_jobs(
    pool: &PgPool,
    notifier: &Notifier,
    tenant: TenantId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let jobs = cancel_waiting(&mut tx, tenant, i64::from(limit)).await?;
    let entries: Vec<_> = jobs
        .iter()
        .map(|job| {
            let (action, kind) = (AuditAction::JobCancelled, ResourceKind::Job);
            NewAuditEntry::new(tenant, Actor::System, action, kind, *job)
                .with_detail(Detail::new().word("why", "tenant_closed"))
        })
        .collect();
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    for job in &jobs {
        notifier.job_finished(*job);
    }
    Ok(u64::try_from(jobs.len()).unwrap_or(u64::MAX))
}
