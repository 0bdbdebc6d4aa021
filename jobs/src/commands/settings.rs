//! Changing a tenant's settings, with an audit entry.

use crate::domain::ResourceKind;
use crate::{
    domain::{AuditAction, Detail, NewAuditEntry, Session},
    store::{
        audit, llm_answers,
        tenants::{self, Settings},
    },
};
use sqlx::PgPool;

/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn put_settings(
    pool: &PgPool,
    session: &Session,
    settings: Settings,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    tenants::set_settings(&mut tx, session.tenant, settings).await?;
    if settings.answer_cache_seconds.is_none() {
        llm_answers::delete_all(&mut tx, session.tenant).await?;
    }
    let actor = session.actor();
    let tenant = session.tenant;
    let entry = NewAuditEntry::new(
        tenant,
        actor,
        AuditAction::SettingsChanged,
        ResourceKind::Tenant,
        tenant,
    )
    .with_request(Some(request_id))
    .with_client_request(session.client_request_id.as_deref())
    .with_detail(
        Detail::new()
            .count(
                "email_retention_days",
                settings.email_retention_days.unwrap_or(0),
            )
            .count(
                "answer_cache_seconds",
                settings.answer_cache_seconds.unwrap_or(0),
            )
            .word("trust_mode", settings.trust_mode.as_str())
            .flag("sending_disabled", settings.sending_disabled)
            .word("unknown_sends", settings.unknown_sends.as_str())
            .flag("four_eyes", settings.four_eyes)
            .flag("require_second_factor", settings.require_second_factor)
            .flag("quote_original", settings.quote_original)
            .word("on_outage", settings.outage.on_outage.as_str())
            .count("triage_wait_seconds", settings.outage.triage_wait)
            .count("draft_wait_seconds", settings.outage.draft_wait)
            .count("fallback_after_seconds", settings.outage.fallback_after),
    );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await
}
