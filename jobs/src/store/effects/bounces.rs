//! Emails that we sent and that came back: [`sent`] finds the effect, [`set_bounced`] writes what is known.

use crate::domain::{EffectId, UserId, effect::EffectStatus};
use base::TenantId;
use serde_json::Value;
use sqlx::PgConnection;

/// An email that we sent.
pub struct SentEmail {
    pub effect: EffectId,
    pub status: EffectStatus,
    /// The user whose account it left from.
    pub owner: UserId,
    pub rendered: Option<Vec<u8>>,
}

/// Finds the email with one of these Message-IDs that left from one of these addresses, in lower case. A bounce comes to
/// the account that sent the email; what came to another mailbox says nothing about it.
pub async fn sent(
    conn: &mut PgConnection,
    tenant: TenantId,
    message_ids: &[String],
    accounts: &[String],
) -> Result<Option<SentEmail>, sqlx::Error> {
    sqlx::query_as!(
        SentEmail,
        r#"
        select e.id as "effect: EffectId", e.status as "status: EffectStatus", c.user_id as "owner: UserId", e.rendered
        from effects e
        join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
        where e.tenant_id = $1 and (e.rfc_message_id = any($2) or e.server_message_id = any($2))
            and lower(c.address) = any($3)
        order by least(array_position($2, e.rfc_message_id), array_position($2, e.server_message_id))
        limit 1
        "#,
        tenant.0,
        message_ids,
        accounts,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the email that this effect sent.
pub async fn sent_by(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
) -> Result<Option<SentEmail>, sqlx::Error> {
    sqlx::query_as!(
        SentEmail,
        r#"
        select e.id as "effect: EffectId", e.status as "status: EffectStatus", c.user_id as "owner: UserId", e.rendered
        from effects e
        join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
        where e.tenant_id = $1 and e.id = $2
        "#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Writes that the email came back, to an effect that the caller has locked.
pub async fn set_bounced(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
    (status, receipt): (EffectStatus, &Value),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update effects set status = $3, receipt = $4, error_code = 'bounced', updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
        receipt,
    )
    .execute(conn)
    .await?;
    Ok(())
}
