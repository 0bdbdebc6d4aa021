//! The life of a tenant, from the command line: [`pause_tenant`], [`resume_tenant`], [`close_tenant`]; [`erase`] forgets it.
//!
//! A paused tenant can be read; it accepts nothing, and none of its jobs starts. Running attempts end as they would.
//! Nothing is started by a limit of 0 on its running jobs; the limit that it had is kept beside the tenant.

pub mod cancel;
pub mod erase;
pub mod forget;

use crate::{
    domain::{Actor, AuditAction, NewAuditEntry, ResourceKind, tenant::TenantStatus},
    kinds,
    store::{audit, tenants},
};
use base::TenantId;
use queue::{
    operate::limits::{self, Limit, Scope},
    signals::notifier::Notifier,
};
use sqlx::{PgConnection, PgPool};

/// The tenant's status was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TenantStatusError {
    #[error("the tenant is {}", .0.as_str())]
    Refused(TenantStatus),
    #[error("could not change the tenant")]
    Database(#[from] sqlx::Error),
}

/// Pauses a tenant; one that is paused stays as it is.
///
/// # Errors
/// If the tenant is closed, or the database refuses.
pub async fn pause_tenant(pool: &PgPool, tenant: TenantId) -> Result<(), TenantStatusError> {
    let mut tx = pool.begin().await?;
    match tenants::lock_status(&mut tx, tenant).await? {
        TenantStatus::Paused => return Ok(()),
        closed @ TenantStatus::Closed => return Err(TenantStatusError::Refused(closed)),
        TenantStatus::Trial | TenantStatus::Active => {}
    }
    stop_jobs(&mut tx, tenant).await?;
    tenants::set_status(&mut tx, tenant, TenantStatus::Paused).await?;
    record(&mut tx, tenant, AuditAction::TenantPaused).await?;
    tx.commit().await?;
    Ok(())
}

/// Resumes a paused tenant: it is active, and its waiting jobs start.
///
/// # Errors
/// If the tenant is closed, or the database refuses.
pub async fn resume_tenant(
    pool: &PgPool,
    notifier: &Notifier,
    tenant: TenantId,
) -> Result<(), TenantStatusError> {
    let mut tx = pool.begin().await?;
    match tenants::lock_status(&mut tx, tenant).await? {
        TenantStatus::Paused => {}
        closed @ TenantStatus::Closed => return Err(TenantStatusError::Refused(closed)),
        TenantStatus::Trial | TenantStatus::Active => return Ok(()),
    }
    let name = tenant.to_string();
    limits::remove(&mut *tx, Scope::Tenant, &name).await?;
    if let Some(max_running) = tenants::take_limit(&mut tx, tenant).await? {
        let limit = Limit {
            scope: Scope::Tenant,
            name,
            max_running,
        };
        limits::set(&mut *tx, &limit).await?;
    }
    tenants::set_status(&mut tx, tenant, TenantStatus::Active).await?;
    record(&mut tx, tenant, AuditAction::TenantResumed).await?;
    tx.commit().await?;
    for queue in kinds::queues() {
        notifier.job_available(queue);
    }
    Ok(())
}

/// Closes a tenant for good: nobody and no key gets in, and nothing runs. Its rows stay; a duty cancels its waiting jobs.
pub async fn close_tenant(pool: &PgPool, tenant: TenantId) -> Result<(), TenantStatusError> {
    let mut tx = pool.begin().await?;
    let status = tenants::lock_status(&mut tx, tenant).await?;
    if status == TenantStatus::Closed {
        return Ok(());
    }
    if status != TenantStatus::Paused {
        stop_jobs(&mut tx, tenant).await?;
    }
    tenants::set_status(&mut tx, tenant, TenantStatus::Closed).await?;
    record(&mut tx, tenant, AuditAction::TenantClosed).await?;
    tx.commit().await?;
    Ok(())
}

/// Sets the limit on the tenant's running jobs to 0, and keeps the one that it had.
async fn stop_jobs(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    let name = tenant.to_string();
    let all = limits::list(conn).await?;
    let present = all
        .iter()
        .find(|limit| limit.scope == Scope::Tenant && limit.name == name);
    tenants::keep_limit(conn, tenant, present.map(|limit| limit.max_running)).await?;
    let none = Limit {
        scope: Scope::Tenant,
        name,
        max_running: 0,
    };
    limits::set(conn, &none).await
}

async fn record(
    conn: &mut PgConnection,
    tenant: TenantId,
    action: AuditAction,
) -> Result<(), sqlx::Error> {
    let entry = NewAuditEntry::new(tenant, Actor::Cli, action, ResourceKind::Tenant, tenant);
    audit::insert(conn, &[entry]).await
}
