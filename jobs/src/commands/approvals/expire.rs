//! Ending approvals that nobody decided in time, with the audit entry and the history of each: one small batch a call.

use crate::{
    domain::{Action, Actor, Detail, NewAuditEntry},
    store::{
        approvals, audit,
        history::{self, NewHistoryEntry},
    },
};
use sqlx::PgPool;

/// Expires up to `limit` approvals and says how many they were.
///
/// # Errors
/// If the database refuses; then none of them has expired.
pub async fn expire_approvals(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let lapsed = approvals::expire(&mut tx, i64::from(limit)).await?;
    let mut entries = Vec::with_capacity(lapsed.len());
    for approval in &lapsed {
        let told = NewHistoryEntry {
            verb: "expired",
            object_kind: "approval",
            object: approval.id.0,
            job: Some(approval.job),
            rationale: &approval.title,
        };
        history::insert(&mut tx, approval.tenant, &told).await?;
        let action = Action::APPROVAL_EXPIRED;
        entries.push(
            NewAuditEntry::new(
                approval.tenant,
                Actor::System,
                action,
                "approval",
                approval.id,
            )
            .with_detail(Detail::new().id("proposed_by_job", approval.job)),
        );
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(u64::try_from(lapsed.len()).unwrap_or(u64::MAX))
}
