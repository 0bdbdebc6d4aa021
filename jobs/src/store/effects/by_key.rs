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
    select_effects!("effect_key = $2", tenant.0, key)
        .fetch_optional(conn)
        .await
}
