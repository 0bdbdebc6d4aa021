//! Forgetting emails that a tenant no longer keeps: [`forget_old_emails`].

use crate::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry, ResourceKind},
    store::{audit, llm_answers, messages},
};
use base::TenantId;
use sqlx::PgPool;

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
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let forgotten = messages::forget_old(&mut tx, tenant, limit).await?;
    if forgotten > 0 {
        // Answers tell of their emails, and are only a saving.
        llm_answers::delete_all(&mut tx, tenant).await?;
        let (action, kind) = (AuditAction::EmailsForgotten, ResourceKind::Tenant);
        let entry = NewAuditEntry::new(tenant, Actor::System, action, kind, tenant)
            .with_detail(Detail::new().count("emails", forgotten));
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await?;
    Ok(forgotten.unsigned_abs())
}
