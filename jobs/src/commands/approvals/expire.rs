//! Expires approvals that were not decided in time, in small batches, each with its audit and history entries.

use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{Actor, AuditAction, Detail, NewAuditEntry},
    store::{
        approvals, audit,
        history::{self, NewHistoryEntry},
    },
};
use sqlx::PgPool;

/// Expires up to `limit` approvals and returns their number.
///
/// # Errors
/// If the database refuses; then none has expired.
pub async fn expire_approvals(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let expired = approvals::expire(&mut tx, i64::from(limit)).await?;
    let mut entries = Vec::with_capacity(expired.len());
    for approval in &expired {
        let history_entry = NewHistoryEntry {
            verb: HistoryVerb::Expired,
            object_kind: ResourceKind::Approval,
            object: approval.id.0,
            job: Some(approval.job),
            rationale: &approval.title,
        };
        history::insert(&mut tx, approval.tenant, &history_entry).await?;
        let action = AuditAction::ApprovalExpired;
        entries.push(
            NewAuditEntry::new(
                approval.tenant,
                Actor::System,
                action,
                ResourceKind::Approval,
                approval.id,
            )
            .with_detail(Detail::new().id("proposed_by_job", approval.job)),
        );
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(u64::try_from(expired.len()).unwrap_or(u64::MAX))
}
