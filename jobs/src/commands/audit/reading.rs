//! Writing down who reads the audit log: [`record_reading`].

use crate::{
    domain::{AuditAction, ResourceKind, Session},
    store::{api_keys, audit, sessions},
};
use sqlx::PgPool;

/// Adds an entry, at most one an hour for each session and API key: a reader who follows the log would otherwise write the
/// entry that it reads next. Where a reading begins makes no difference, since a cursor can be kept or made up.
///
/// # Errors
/// If the database refuses; then the log must not be shown.
pub async fn record_reading(
    pool: &PgPool,
    session: &Session,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let is_due = match session.api_key() {
        Some(key) => api_keys::mark_audit_read(&mut tx, tenant, key).await?,
        None => sessions::mark_audit_read(&mut tx, tenant, session.id).await?,
    };
    if is_due {
        let entry = session
            .audit(AuditAction::AuditRead, ResourceKind::Tenant, tenant)
            .with_request(Some(request_id));
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await
}
