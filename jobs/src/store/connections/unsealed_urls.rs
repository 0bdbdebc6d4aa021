//! Webhooks that were connected before their URLs were sealed.

use crate::{
    domain::{
        ConnectionId,
        connection::{Provider, Settings, WebUrl},
    },
    secrets::Sealed,
};
use base::TenantId;
use sqlx::PgConnection;

/// A webhook whose URL stands in its row.
pub struct UnsealedUrl {
    pub tenant: TenantId,
    pub id: ConnectionId,
    pub url: WebUrl,
    /// Empty if the connection was revoked.
    pub secret: Vec<u8>,
}

/// Locks up to `limit` of them after `after`, revoked ones too. Those that are being changed are skipped.
pub async fn lock(
    conn: &mut PgConnection,
    after: Option<(TenantId, ConnectionId)>,
    limit: i64,
) -> Result<Vec<UnsealedUrl>, sqlx::Error> {
    // The name of a sealed URL ends with `#` and a fingerprint; a URL of a connection has no fragment.
    let rows = sqlx::query!(
        r#"
        select tenant_id as "tenant: TenantId", id as "id: ConnectionId", settings, secret from connections
        where provider = 'webhook' and address not like '%#%'
            and ($2::uuid is null or (tenant_id, id) > ($2, $3::uuid))
        order by tenant_id, id
        limit $1
        for update skip locked
        "#,
        limit,
        after.map(|after| after.0.0),
        after.map(|after| after.1.0),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let settings = Settings::read(Provider::Webhook, row.settings)
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            let url = settings.url().cloned();
            Ok(UnsealedUrl {
                tenant: row.tenant,
                id: row.id,
                url: url.ok_or_else(|| sqlx::Error::Decode("a webhook without a URL".into()))?,
                secret: row.secret,
            })
        })
        .collect()
}

/// Leaves the name of the URL in the row; its secret has the URL now, unless the connection was revoked. Where another
/// connection of the user has the name already, the id of the connection follows it.
pub async fn set_sealed(
    conn: &mut PgConnection,
    found: &UnsealedUrl,
    secret: Option<&Sealed>,
) -> Result<(), sqlx::Error> {
    let settings = serde_json::json!({ "url": found.url.origin() });
    sqlx::query!(
        "update connections
         set settings = $4, secret = coalesce($5, secret), key_id = coalesce($6, key_id),
             address = case when exists (
                     select from connections other
                     where other.tenant_id = $1 and other.user_id = connections.user_id and other.id <> $2
                       and lower(other.address) = lower($3) and other.status <> 'revoked')
                 then $3 || '-' || $2::text else $3 end
         where tenant_id = $1 and id = $2",
        found.tenant.0,
        found.id.0,
        found.url.fingerprint(),
        settings,
        secret.map(|secret| secret.bytes.as_slice()),
        secret.map(|secret| secret.key_id.as_str()),
    )
    .execute(conn)
    .await?;
    Ok(())
}
