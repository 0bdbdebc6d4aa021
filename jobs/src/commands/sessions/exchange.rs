//! Opening a session with a token of the tenant's identity provider: [`exchange_token`].
//!
//! The provider answers for the password and for any second factor. A token opens one session. Who cannot show a token that
//! the provider has signed learns nothing, not even whether the tenant exists; failures are counted per address, as those
//! of log-ins are.

use super::{
    open::{NewSession, Opened, open_session},
    signals::announce_revoked,
};
use crate::{
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, ResourceKind, UserId,
        identity_provider::{Identity, KeySet, TokenRefusal, verify},
        session::{AuthMethod, Origin, SessionLifetime},
    },
    store::{
        audit, identity_providers,
        login_failures::{self, Subject},
        sessions, tenants,
        users::{self, Credentials},
    },
};
use base::TenantId;
use chrono::{DateTime, Utc};
use queue::signals::notifier::Notifier;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// Failures older than this are forgiven.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures from one address within the window; log-ins count too.
const ADDRESS_LIMIT: i64 = 100;

/// What a client shows.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub tenant: String,
    /// An ID token of the tenant's provider.
    pub token: SecretString,
    pub origin: Origin,
}

/// No session was opened.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no such tenant, or it has no identity provider whose keys are known.
    #[error("the tenant accepts no tokens")]
    NotAccepted,
    #[error("the token {0}")]
    Refused(TokenRefusal),
    /// The token is good, and the tenant has no active user with its address.
    #[error("the tenant has no such user")]
    NoUser,
    #[error("too many tokens were refused; the next may be tried in {} s", retry_after.as_secs())]
    Throttled { retry_after: Duration },
    #[error("could not exchange the token")]
    Database(#[from] sqlx::Error),
}

/// Opens a session for the user whom the token names.
///
/// # Errors
/// See [`ExchangeError`]; a refusal is written to the tenant's audit log, if it has a provider.
pub async fn exchange_token(
    pool: &PgPool,
    notifier: &Notifier,
    lifetime: SessionLifetime,
    exchange: &Exchange,
) -> Result<Opened, ExchangeError> {
    let booking = book(pool, &exchange.origin).await?;
    let mut conn = pool.acquire().await?;
    let tenant = tenants::find(&mut conn, &exchange.tenant).await?;
    let tenant = tenant.ok_or(ExchangeError::NotAccepted)?;
    let identity = match identify(&mut conn, tenant, exchange).await {
        Ok(identity) => identity,
        Err(error) => {
            record_refusal(&mut conn, tenant, &error, &exchange.origin).await?;
            return Err(error);
        }
    };
    drop(conn);
    let mut tx = pool.begin().await?;
    let opened = match welcome(&mut tx, tenant, lifetime, exchange, &identity).await {
        Ok(opened) => opened,
        Err(error) => {
            tx.rollback().await?;
            let mut conn = pool.acquire().await?;
            record_refusal(&mut conn, tenant, &error, &exchange.origin).await?;
            return Err(error);
        }
    };
    if let Some((subject, at)) = booking {
        login_failures::unbook(&mut tx, &[subject], at).await?;
    }
    tx.commit().await?;
    for &ended in &opened.ended {
        announce_revoked(notifier, ended);
    }
    Ok(opened)
}

/// Counts the attempt as failed until it succeeds, so that parallel ones cannot overtake the count.
async fn book(
    pool: &PgPool,
    origin: &Origin,
) -> Result<Option<(Subject, DateTime<Utc>)>, ExchangeError> {
    let Some(subject) = origin.ip.map(Subject::address) else {
        return Ok(None);
    };
    let mut conn = pool.acquire().await?;
    let at = login_failures::book(&mut conn, &[subject]).await?;
    let recent = login_failures::recent(&mut conn, subject, WINDOW, ADDRESS_LIMIT).await?;
    if recent.failures > ADDRESS_LIMIT {
        login_failures::unbook(&mut conn, &[subject], at).await?;
        return Err(ExchangeError::Throttled {
            retry_after: recent.first_leaves_in,
        });
    }
    Ok(Some((subject, at)))
}

async fn identify(
    conn: &mut PgConnection,
    tenant: TenantId,
    exchange: &Exchange,
) -> Result<Identity, ExchangeError> {
    let stored = identity_providers::find(conn, tenant).await?;
    let stored = stored.ok_or(ExchangeError::NotAccepted)?;
    // Without keys yet it is as if the token's were unknown.
    let keys = stored
        .current_keys()
        .and_then(|keys| KeySet::read(keys).ok());
    let verified = keys.map_or(Err(TokenRefusal::UnknownKey), |keys| {
        verify(&exchange.token, &keys, &stored.provider, stored.now)
    });
    if verified == Err(TokenRefusal::UnknownKey) {
        identity_providers::want_keys(conn, tenant).await?;
    }
    verified.map_err(ExchangeError::Refused)
}

async fn welcome(
    conn: &mut PgConnection,
    tenant: TenantId,
    lifetime: SessionLifetime,
    exchange: &Exchange,
    identity: &Identity,
) -> Result<Opened, ExchangeError> {
    let hash = Sha256::digest(signed_part(&exchange.token));
    if !identity_providers::use_token(conn, tenant, &hash, identity.expires_at).await? {
        return Err(ExchangeError::Refused(TokenRefusal::Used));
    }
    let found = users::credentials(conn, &exchange.tenant, &identity.email).await?;
    let Credentials { user, role, .. } = found
        .filter(|found| found.open)
        .ok_or(ExchangeError::NoUser)?;
    let new = NewSession {
        tenant,
        user,
        role,
        auth_method: AuthMethod::Oidc,
        lifetime,
        origin: exchange.origin.clone(),
    };
    let opened = open_session(conn, &new).await?;
    // A token is no proof that its owner is there: what concerns access asks for the password all the same.
    let proved = identity.authenticated_at.unwrap_or(DateTime::UNIX_EPOCH);
    sessions::set_authenticated_at(conn, tenant, opened.session.id, proved).await?;
    audit::insert(conn, &[success(tenant, user, &opened, &exchange.origin)]).await?;
    Ok(opened)
}

/// The header and the claims. A token is known again by these: who has a signature of ES256 can make another that is as good.
fn signed_part(token: &SecretString) -> &str {
    let token = token.expose_secret();
    token.rsplit_once('.').map_or(token, |(signed, _)| signed)
}

fn success(tenant: TenantId, user: UserId, opened: &Opened, origin: &Origin) -> NewAuditEntry {
    let actor = Actor::User {
        user,
        session: Some(opened.session.id),
    };
    let action = AuditAction::LoginSuccess;
    NewAuditEntry::new(tenant, actor, action, ResourceKind::User, user)
        .with_origin(origin)
        .with_detail(Detail::new().word("method", AuthMethod::Oidc.as_str()))
}

/// Names nobody: what an unsigned token says may be anything. The throttle bounds the number of entries.
async fn record_refusal(
    conn: &mut PgConnection,
    tenant: TenantId,
    error: &ExchangeError,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    let code = match error {
        ExchangeError::Refused(refusal) => refusal.code(),
        ExchangeError::NoUser => "NO_USER",
        ExchangeError::NotAccepted
        | ExchangeError::Throttled { .. }
        | ExchangeError::Database(_) => return Ok(()),
    };
    let action = AuditAction::LoginFail;
    let entry = NewAuditEntry::new(
        tenant,
        Actor::Anonymous,
        action,
        ResourceKind::Tenant,
        tenant,
    )
    .failed(code)
    .with_origin(origin)
    .with_detail(Detail::new().word("method", AuthMethod::Oidc.as_str()));
    audit::insert(conn, &[entry]).await
}
