//! `tenants`: looked up by slug only before a login; afterwards the session names the tenant.

use crate::domain::{
    effect::UnknownSends,
    gate::TrustMode,
    llm::{OnOutage, OutagePolicy},
};
use base::TenantId;
use sqlx::PgConnection;

/// Inserts a tenant; `None` if its slug is taken.
///
/// # Errors
/// When the database refuses, for example a malformed slug.
pub async fn insert(conn: &mut PgConnection, slug: &str) -> Result<Option<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into tenants (id, slug) values ($1, $2)
        on conflict on constraint tenants_slug_key do nothing
        returning id as "id: TenantId"
        "#,
        TenantId::new().0,
        slug,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the tenant with this slug, in any status.
///
/// # Errors
/// When the database does not answer.
pub async fn find(conn: &mut PgConnection, slug: &str) -> Result<Option<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: TenantId" from tenants where slug = $1"#,
        slug
    )
    .fetch_optional(conn)
    .await
}

/// Finds the tenant's slug, unless the tenant is closed.
///
/// # Errors
/// When the database does not answer.
pub async fn open_slug(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select slug from tenants where id = $1 and status <> 'closed'",
        tenant.0
    )
    .fetch_optional(conn)
    .await
}

/// Finds the tenant's trust mode; `None` if the tenant is closed.
///
/// # Errors
/// When the database does not answer.
pub async fn trust_mode(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<TrustMode>, sqlx::Error> {
    let mode = sqlx::query_scalar!(
        "select trust_mode from tenants where id = $1 and status <> 'closed'",
        tenant.0
    )
    .fetch_optional(conn)
    .await?;
    mode.map(|mode| {
        TrustMode::parse(&mode)
            .ok_or_else(|| sqlx::Error::Decode("unknown value in trust_mode".into()))
    })
    .transpose()
}

/// Whether sending is disabled. Locks the switch until the transaction ends, so that nothing external begins after
/// disabling it has returned.
///
/// # Errors
/// When the database does not answer.
pub async fn sending_disabled(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        "select sending_disabled from tenants where id = $1 for share",
        tenant.0
    )
    .fetch_one(conn)
    .await
}

/// The tenant's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub trust_mode: TrustMode,
    pub sending_disabled: bool,
    pub unknown_sends: UnknownSends,
    pub outage: OutagePolicy,
}

/// # Errors
/// When the database does not answer.
pub async fn settings(conn: &mut PgConnection, tenant: TenantId) -> Result<Settings, sqlx::Error> {
    let row = sqlx::query!(
        "select trust_mode, sending_disabled, unknown_sends, on_outage, triage_wait_seconds, draft_wait_seconds,
             fallback_after_seconds
         from tenants where id = $1",
        tenant.0
    )
    .fetch_one(conn)
    .await?;
    Ok(Settings {
        trust_mode: TrustMode::parse(&row.trust_mode)
            .ok_or_else(|| sqlx::Error::Decode("unknown value in trust_mode".into()))?,
        sending_disabled: row.sending_disabled,
        unknown_sends: UnknownSends::parse(&row.unknown_sends)
            .ok_or_else(|| sqlx::Error::Decode("unknown value in unknown_sends".into()))?,
        outage: OutagePolicy {
            on_outage: OnOutage::parse(&row.on_outage)
                .ok_or_else(|| sqlx::Error::Decode("unknown value in on_outage".into()))?,
            triage_wait: row.triage_wait_seconds,
            draft_wait: row.draft_wait_seconds,
            fallback_after: row.fallback_after_seconds,
        },
    })
}

/// # Errors
/// When the database refuses.
pub async fn set_settings(
    conn: &mut PgConnection,
    tenant: TenantId,
    settings: Settings,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tenants
         set trust_mode = $2, sending_disabled = $3, unknown_sends = $4, on_outage = $5, triage_wait_seconds = $6,
             draft_wait_seconds = $7, fallback_after_seconds = $8
         where id = $1",
        tenant.0,
        settings.trust_mode.as_str(),
        settings.sending_disabled,
        settings.unknown_sends.as_str(),
        settings.outage.on_outage.as_str(),
        settings.outage.triage_wait,
        settings.outage.draft_wait,
        settings.outage.fallback_after,
    )
    .execute(conn)
    .await?;
    Ok(())
}
