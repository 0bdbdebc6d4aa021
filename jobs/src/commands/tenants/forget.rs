//! Forgetting what a tenant no longer keeps: emails by [`forget_old_emails`], and by [`forget_old_writings`] what it decided
//! and wrote, with or without an email that it answers.

use crate::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind},
    store::{audit, llm_answers, messages},
};
use base::TenantId;
use sqlx::{PgConnection, PgPool};

/// Forgets up to `limit` emails that are older than the tenant keeps them, with what was made of them; returns how many.
///
/// # Errors
/// If the database refuses; then none was forgotten.
pub async fn forget_old_emails(
    pool: &PgPool,
    tenant: TenantId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let forgotten = messages::forget_old(&mut tx, tenant, at_most(limit)).await?;
    record(&mut tx, tenant, ("emails", forgotten)).await?;
    tx.commit().await?;
    Ok(forgotten.unsigned_abs())
}

/// Forgets up to `limit` approvals, and as many effects, that ended before the tenant's retention of emails began; returns
/// how many.
///
/// # Errors
/// If the database refuses; then none was forgotten.
pub async fn forget_old_writings(
    pool: &PgPool,
    tenant: TenantId,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let forgotten = messages::forget_old_writings(&mut tx, tenant, at_most(limit)).await?;
    record(&mut tx, tenant, ("writings", forgotten)).await?;
    tx.commit().await?;
    Ok(forgotten.unsigned_abs())
}

fn at_most(limit: u32) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

async fn record(
    conn: &mut PgConnection,
    tenant: TenantId,
    (what, forgotten): (&'static str, i64),
) -> Result<(), sqlx::Error> {
    if forgotten == 0 {
        return Ok(());
    }
    // Answers tell of their emails, and are only a saving.
    llm_answers::delete_all(conn, tenant).await?;
    let (action, kind) = (AuditAction::EmailsForgotten, ResourceKind::Tenant);
    let entry = NewAuditEntry::new(tenant, Actor::System, action, kind, tenant)
        .with_detail(Detail::new().count(what, forgotten));
    audit::insert(conn, &[entry]).await
}
