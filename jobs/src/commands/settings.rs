//! Changing a tenant's settings, with an audit entry.

use crate::domain::ResourceKind;
use crate::{
    domain::{AuditAction, Detail, NewAuditEntry, Session, session::Scope},
    store::{
        audit, llm_answers, llm_captures,
        tenants::{self, Settings},
    },
};
use sqlx::PgPool;

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum PutSettingsError {
    /// Who may not manage users must not lower what protects their accounts.
    #[error("the session may not change whether users need a second factor")]
    SecondFactor,
    /// Those whom it binds must not lift it.
    #[error("the session may not change whether an action needs the approval of another person")]
    FourEyes,
    /// Who may not read what is kept must not have it kept, nor deleted.
    #[error("the session may not change whether questions to models are kept")]
    Captures,
    #[error("could not store the settings")]
    Database(#[from] sqlx::Error),
}

/// Replaces the settings by what `new` makes of the present ones, and returns them.
///
/// # Errors
/// If the session may not make this change, or the database refuses.
pub async fn put_settings(
    pool: &PgPool,
    session: &Session,
    request_id: &str,
    new: impl FnOnce(Settings) -> Settings,
) -> Result<Settings, PutSettingsError> {
    let mut tx = pool.begin().await?;
    tenants::lock(&mut tx, session.tenant).await?;
    let present = tenants::settings(&mut tx, session.tenant).await?;
    let settings = new(present);
    if settings.require_second_factor != present.require_second_factor
        && !session.may(Scope::UsersManage)
    {
        return Err(PutSettingsError::SecondFactor);
    }
    if settings.four_eyes != present.four_eyes && !session.may(Scope::UsersManage) {
        return Err(PutSettingsError::FourEyes);
    }
    if settings.prompt_capture_days != present.prompt_capture_days
        && !session.may(Scope::CapturesRead)
    {
        return Err(PutSettingsError::Captures);
    }
    tenants::set_settings(&mut tx, session.tenant, settings).await?;
    if settings.answer_cache_seconds.is_none() {
        llm_answers::delete_all(&mut tx, session.tenant).await?;
    }
    if settings.prompt_capture_days.is_none() {
        llm_captures::delete_all(&mut tx, session.tenant).await?;
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
            .count(
                "prompt_capture_days",
                settings.prompt_capture_days.unwrap_or(0),
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
    tx.commit().await?;
    Ok(settings)
}
