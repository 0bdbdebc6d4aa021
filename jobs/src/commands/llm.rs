//! Requests to a model whose worker died, and budgets.

use crate::domain::{AuditAction, Detail, NewAuditEntry, ResourceKind, Session};
use crate::store::{
    audit,
    llm_budgets::{self, NewBudget, StoredBudget},
    llm_calls,
};
use sqlx::PgPool;

/// Completes up to `limit` requests whose attempt no longer runs, as possibly billed, and replaces what they had reserved.
/// Returns their number.
///
/// # Errors
/// If the database refuses; then none was completed.
pub async fn lose_llm_calls(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let mut lost = llm_calls::mark_lost(&mut tx, i64::from(limit)).await?;
    // In one order, so that two of these cannot wait for each other.
    lost.sort_by(|one, other| (one.tenant, &one.kind).cmp(&(other.tenant, &other.kind)));
    for call in &lost {
        llm_budgets::settle(&mut tx, call.tenant, &call.kind, call.reserved, call.used).await?;
    }
    tx.commit().await?;
    if !lost.is_empty() {
        tracing::warn!(
            requests = lost.len(),
            "requests to a model were in flight when their workers died; they count as possibly billed"
        );
    }
    Ok(u64::try_from(lost.len()).unwrap_or(u64::MAX))
}

/// Replaces the tenant's budgets, with an audit entry, and returns them.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn put_budgets(
    pool: &PgPool,
    session: &Session,
    budgets: &[NewBudget],
    request_id: &str,
) -> Result<Vec<StoredBudget>, sqlx::Error> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    llm_budgets::delete_all(&mut tx, tenant).await?;
    for budget in budgets {
        llm_budgets::insert(&mut tx, tenant, budget).await?;
    }
    let entry = NewAuditEntry::new(
        tenant,
        session.actor(),
        AuditAction::SettingsChanged,
        ResourceKind::Tenant,
        tenant,
    )
    .with_request(Some(request_id))
    .with_detail(Detail::new().count("budgets", i64::try_from(budgets.len()).unwrap_or(i64::MAX)));
    audit::insert(&mut tx, &[entry]).await?;
    let stored = llm_budgets::list(&mut tx, tenant).await?;
    tx.commit().await?;
    Ok(stored)
}
