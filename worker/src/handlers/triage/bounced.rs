//! Finds the email of ours that a bounce is about: [`find`].

use crate::handlers::unavailable;
use base::TenantId;
use jobs::{
    commands::effects::bounce::BouncedEmail,
    domain::{
        effect::{EffectStatus, EffectStep, RenderedEmail},
        mail::{Bounce, Mail},
    },
    store::effects::bounces,
};
use queue::Failure;
use sqlx::PgPool;

/// Returns the email that came back; `None` if this is no bounce, or none of an email of ours.
///
/// # Errors
/// If the email is being sent at this moment: the bounce came before the server's reply was written down.
pub(super) async fn find(
    pool: &PgPool,
    tenant: TenantId,
    mail: &Mail,
) -> Result<Option<BouncedEmail>, Failure> {
    let Some(bounce) = Bounce::of(mail) else {
        return Ok(None);
    };
    let accounts = mail.recipient_addresses();
    let mut conn = pool.acquire().await.map_err(|error| unavailable(&error))?;
    let found = bounces::sent(&mut conn, tenant, &bounce.message_ids, &accounts)
        .await
        .map_err(|error| unavailable(&error))?;
    drop(conn);
    let Some(sent) = found else {
        return Ok(None);
    };
    if sent.status == EffectStatus::InFlight {
        return Err(Failure::transient(
            "email_in_flight",
            "The email that this bounce is about is still being sent; the job will be retried.",
            "the effect is in flight",
        ));
    }
    if sent.status.after(EffectStep::Bounce).is_err() {
        return Ok(None);
    }
    let email = sent.rendered.and_then(RenderedEmail::unpack);
    let mail = email.as_ref().and_then(RenderedEmail::parse);
    Ok(Some(BouncedEmail {
        effect: sent.effect,
        owner: sent.owner,
        subject: mail.map(|mail| mail.subject).unwrap_or_default(),
        recipients: email.map(|email| email.recipients).unwrap_or_default(),
        failed: bounce.failed,
    }))
}
