//! Finding an effect by what it does: [`find_by_key`].

use super::StoredEffect;
use crate::domain::{ApprovalId, ConnectionId, EffectId, effect::EffectStatus};
use base::{JobId, TenantId};
use sqlx::PgConnection;

/// Finds the effect with this key.
pub async fn find_by_key(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<Option<StoredEffect>, sqlx::Error> {
    sqlx::query_as!(
        StoredEffect,
        r#"
        select id as "id: EffectId", type as kind, rfc_message_id as message_id, approval_id as "approval: ApprovalId",
            connection_id as "connection: ConnectionId", status as "status: EffectStatus", job_id as "job: JobId", attempt,
            receipt, before_image, error_code, request_id, payload_hash, created_at, updated_at
        from effects
        where tenant_id = $1 and effect_key = $2
        "#,
        tenant.0,
        key,
    )
    .fetch_optional(conn)
    .await
}
