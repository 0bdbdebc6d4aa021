//! The effects that a request may read: [`find`]. Who may not read an approval does not read what was done for it.

use super::StoredEffect;
use crate::domain::{ApprovalId, ConnectionId, EffectId, effect::EffectStatus, session::Reader};
use base::{JobId, TenantId};
use sqlx::PgConnection;

/// Finds an effect.
pub async fn find(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    id: EffectId,
) -> Result<Option<StoredEffect>, sqlx::Error> {
    select_effects!(
        "id = $2
            and ($3 or not exists (
                select from approvals a
                where a.tenant_id = $1 and a.id = effects.approval_id and a.owner_id not in (select owners_decided_by($1, $4))))
            and not exists (
                select from blocks b
                where b.tenant_id = $1 and b.approval_id = effects.approval_id and b.user_id is distinct from $4)",
        tenant.0,
        id.0,
        reader.reads_all,
        reader.person.map(|user| user.0),
    )
    .fetch_optional(conn)
    .await
}
