//! `tenants`: looked up by slug only before a login; afterwards the session names the tenant.

use crate::domain::{
    effect::UnknownSends,
    gate::TrustMode,
    llm::{OnOutage, OutagePolicy},
    tenant::TenantStatus,
};
use base::TenantId;
use sqlx::{PgConnection, PgExecutor};

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
pub async fn find(conn: &mut PgConnection, slug: &str) -> Result<Option<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: TenantId" from tenants where slug = $1"#,
        slug
    )
    .fetch_optional(conn)
    .await
}

/// Locks the tenant's row until the transaction ends, for changes that count rows of the tenant.
pub async fn lock(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from tenants where id = $1 for no key update",
        tenant.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(())
}

/// Locks the tenant's row until the transaction ends, also against rows that refer to it: waits for the transactions that
/// are inserting some.
pub async fn lock_alone(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!("select id from tenants where id = $1 for update", tenant.0)
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// Locks the tenant's row until the transaction ends, and reads its status.
pub async fn lock_status(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<TenantStatus, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select status as "status: TenantStatus" from tenants where id = $1 for no key update"#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

pub async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    status: TenantStatus,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tenants set status = $2 where id = $1",
        tenant.0,
        status.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces the tenant's name by its id.
pub async fn forget_slug(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tenants set slug = 'erased-' || replace(id::text, '-', '') where id = $1",
        tenant.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps the limit on running jobs that the tenant had before it was paused.
pub async fn keep_limit(
    conn: &mut PgConnection,
    tenant: TenantId,
    max_running: Option<i32>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tenants set limit_before_pause = $2 where id = $1",
        tenant.0,
        max_running
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// As [`keep_limit`], if the tenant is paused or closed; returns whether it is. Else the limit applies at once.
pub async fn keep_limit_if_stopped(
    conn: &mut PgConnection,
    tenant: TenantId,
    max_running: Option<i32>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update tenants set limit_before_pause = $2 where id = $1 and status in ('paused', 'closed')",
        tenant.0,
        max_running
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns and forgets the limit that [`keep_limit`] kept.
pub async fn take_limit(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "with kept as (select id, limit_before_pause from tenants where id = $1)
         update tenants set limit_before_pause = null from kept where tenants.id = kept.id
         returning kept.limit_before_pause",
        tenant.0
    )
    .fetch_one(conn)
    .await
}

/// Finds the tenant's slug, unless the tenant is closed.
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
pub async fn trust_mode(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<Option<TrustMode>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select trust_mode as "trust_mode: TrustMode" from tenants where id = $1 and status <> 'closed'"#,
        tenant.0
    )
    .fetch_optional(conn)
    .await
}

/// Whether a tenant lets anything external begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedSwitches {
    pub status: TenantStatus,
    pub sending_disabled: bool,
}

/// Locks the tenant's switches until the transaction ends, so that nothing external begins after sending was disabled, or
/// after the tenant was paused or closed.
pub async fn lock_switches(
    conn: &mut PgConnection,
    tenant: TenantId,
) -> Result<LockedSwitches, sqlx::Error> {
    sqlx::query_as!(
        LockedSwitches,
        r#"select status as "status: TenantStatus", sending_disabled from tenants where id = $1 for share"#,
        tenant.0
    )
    .fetch_one(conn)
    .await
}

/// Lists the tenants that do not keep their emails for good. Those that are paused keep what their jobs go on with.
pub async fn with_email_retention<'c>(
    executor: impl PgExecutor<'c>,
) -> Result<Vec<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: TenantId" from tenants
           where email_retention_days is not null and status <> 'paused' order by id"#
    )
    .fetch_all(executor)
    .await
}

/// Lists the closed tenants with jobs that wait.
pub async fn closed_with_jobs<'c>(
    executor: impl PgExecutor<'c>,
) -> Result<Vec<TenantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: TenantId" from tenants
        where status = 'closed'
            and exists (select from jobs where jobs.tenant_id = tenants.id and jobs.state <> 'running')
        order by id
        "#
    )
    .fetch_all(executor)
    .await
}

/// The tenant's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub trust_mode: TrustMode,
    pub sending_disabled: bool,
    pub unknown_sends: UnknownSends,
    /// Who asked for an action does not approve it.
    pub four_eyes: bool,
    /// Users without a second factor can only enrol one.
    pub require_second_factor: bool,
    /// Answers have the original email below their text.
    pub quote_original: bool,
    /// How long emails are kept, in days; `None` for good.
    pub email_retention_days: Option<i32>,
    /// How long the answers of models are used again for the same question; `None` never.
    pub answer_cache_seconds: Option<i32>,
    /// How long what models are asked and answer is kept, in days; `None`: it is not.
    pub prompt_capture_days: Option<i32>,
    pub outage: OutagePolicy,
}

pub async fn settings(conn: &mut PgConnection, tenant: TenantId) -> Result<Settings, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select trust_mode as "trust_mode: TrustMode", sending_disabled, unknown_sends as "unknown_sends: UnknownSends",
            four_eyes, on_outage as "on_outage: OnOutage", triage_wait_seconds, draft_wait_seconds, fallback_after_seconds,
            quote_original, email_retention_days, require_second_factor, answer_cache_seconds,
            prompt_capture_days
        from tenants where id = $1
        "#,
        tenant.0
    )
    .fetch_one(conn)
    .await?;
    Ok(Settings {
        trust_mode: row.trust_mode,
        sending_disabled: row.sending_disabled,
        unknown_sends: row.unknown_sends,
        four_eyes: row.four_eyes,
        require_second_factor: row.require_second_factor,
        quote_original: row.quote_original,
        email_retention_days: row.email_retention_days,
        answer_cache_seconds: row.answer_cache_seconds,
        prompt_capture_days: row.prompt_capture_days,
        outage: OutagePolicy {
            on_outage: row.on_outage,
            triage_wait: row.triage_wait_seconds,
            draft_wait: row.draft_wait_seconds,
            fallback_after: row.fallback_after_seconds,
        },
    })
}

pub async fn set_settings(
    conn: &mut PgConnection,
    tenant: TenantId,
    settings: Settings,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update tenants
         set trust_mode = $2, sending_disabled = $3, unknown_sends = $4, on_outage = $5, triage_wait_seconds = $6,
             draft_wait_seconds = $7, fallback_after_seconds = $8, four_eyes = $9, quote_original = $10,
             email_retention_days = $11, require_second_factor = $12, answer_cache_seconds = $13, prompt_capture_days = $14
         where id = $1",
        tenant.0,
        settings.trust_mode.as_str(),
        settings.sending_disabled,
        settings.unknown_sends.as_str(),
        settings.outage.on_outage.as_str(),
        settings.outage.triage_wait,
        settings.outage.draft_wait,
        settings.outage.fallback_after,
        settings.four_eyes,
        settings.quote_original,
        settings.email_retention_days,
        settings.require_second_factor,
        settings.answer_cache_seconds,
        settings.prompt_capture_days,
    )
    .execute(conn)
    .await?;
    Ok(())
}
