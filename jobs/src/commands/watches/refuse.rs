//! A mail server that rejects the password of a watched mailbox: [`refuse`].

use crate::{
    domain::{Actor, AuditAction, NewAuditEntry, ResourceKind},
    store::{
        audit,
        connections::{self, StoredConnection},
        watches::WatchLease,
    },
};
use sqlx::PgPool;

/// Records that the provider refused the credentials of this version; nothing is tried with them again.
pub async fn refuse(
    pool: &PgPool,
    lease: &WatchLease,
    connection: &StoredConnection,
    code: &'static str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let (id, version) = (connection.id, connection.version);
    if connections::require_reauth(&mut tx, lease.tenant, id, version, code).await? {
        let actor = Actor::Worker(lease.worker);
        let action = AuditAction::ConnectionRefused;
        let entry = NewAuditEntry::new(lease.tenant, actor, action, ResourceKind::Connection, id)
            .failed(code);
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await
}
