//! Connecting, reauthenticating and disconnecting accounts. Credentials are sealed before anything is stored.

use crate::commands::audit::JobAudit;
use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, ConnectionId, Detail, NewAuditEntry, SeenVersions, Session,
        connection::{MailSecret, Secret, Settings, WebhookSecret},
    },
    secrets::{KeyRing, Sealed, SecretRow, Unsealable},
    store::{
        audit,
        connections::{self, NewConnection, StoredConnection},
    },
};
use base::TenantId;
use queue::Job;
use sqlx::PgPool;

/// A connection to be created.
pub struct Connect<'a> {
    /// The sender's address, the URL of a calendar, or the name of a webhook's URL.
    pub address: &'a str,
    pub display_name: Option<&'a str>,
    pub settings: &'a Settings,
    pub secret: &'a Secret,
    pub sends_per_hour: i32,
    pub max_recipients: i32,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the user has a connection with this address")]
    AddressTaken,
    #[error("there is no such connection")]
    NotFound,
    #[error("the secret is of another kind than the connection")]
    WrongSecret,
    /// The key of its secret is lost, and with it the URL of the webhook.
    #[error("the webhook has no URL any more")]
    UrlLost,
    #[error("could not open the secret that is stored")]
    Sealed(#[from] Unsealable),
    #[error("the current version is {present}, which the caller has not seen")]
    Stale { present: i32 },
    #[error("could not write the connection")]
    Database(#[from] sqlx::Error),
}

/// # Errors
/// If the user has a connection with this address, or the database refuses.
pub async fn connect(
    pool: &PgPool,
    keys: &KeyRing,
    session: &Session,
    new: &Connect<'_>,
    request_id: &str,
) -> Result<StoredConnection, ConnectError> {
    let id = ConnectionId::new();
    let secret = seal(keys, session, id, new.secret);
    let row = NewConnection {
        id,
        user: session.user,
        address: new.address,
        display_name: new.display_name,
        settings: new.settings,
        secret: &secret,
        sends_per_hour: new.sends_per_hour,
        max_recipients: new.max_recipients,
    };
    let mut tx = pool.begin().await?;
    if !connections::insert(&mut tx, session.tenant, &row).await? {
        return Err(ConnectError::AddressTaken);
    }
    let stored = own(&mut tx, session, id).await?;
    let entry = entry(session, AuditAction::ConnectionCreated, &stored, request_id);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(stored)
}

/// Replaces the credentials of a connection; jobs that waited for them resume.
///
/// # Errors
/// If the connection is not the user's, or the version is stale.
pub async fn reauthenticate(
    pool: &PgPool,
    keys: &KeyRing,
    session: &Session,
    (id, seen): (ConnectionId, &SeenVersions),
    secret: &Secret,
    request_id: &str,
) -> Result<StoredConnection, ConnectError> {
    let mut tx = pool.begin().await?;
    let present = own(&mut tx, session, id).await?;
    let version = present.version;
    if !seen.include(version) {
        return Err(ConnectError::Stale { present: version });
    }
    let secret = match (&present.settings, secret) {
        (Settings::Mail(_) | Settings::Calendar(_), Secret::Login(_)) => secret.clone(),
        (Settings::Webhook(_), Secret::Webhook(new)) => {
            let sealed = connections::lock_secret(&mut tx, session.tenant, id).await?;
            let known = sealed.ok_or(ConnectError::NotFound)?;
            if known.is_empty() {
                return Err(ConnectError::UrlLost);
            }
            let known = open_webhook_secret(keys, session.tenant, id, &known)?;
            Secret::Webhook(WebhookSecret {
                signing: new.signing.clone(),
                url: known.url,
            })
        }
        (Settings::Mail(_) | Settings::Calendar(_), Secret::Webhook(_))
        | (Settings::Webhook(_), Secret::Login(_)) => return Err(ConnectError::WrongSecret),
    };
    let secret = seal(keys, session, id, &secret);
    if !connections::replace_secret(&mut tx, session.tenant, id, version, &secret).await? {
        // Replaced since it was read above.
        return Err(ConnectError::Stale { present: version });
    }
    let stored = own(&mut tx, session, id).await?;
    let entry = entry(
        session,
        AuditAction::ConnectionReauthenticated,
        &stored,
        request_id,
    );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(stored)
}

/// Revokes a connection and erases its credentials.
///
/// # Errors
/// If it is not the user's, or was revoked before.
pub async fn disconnect(
    pool: &PgPool,
    session: &Session,
    id: ConnectionId,
    request_id: &str,
) -> Result<(), ConnectError> {
    let mut tx = pool.begin().await?;
    let present = own(&mut tx, session, id).await?;
    if !connections::revoke(&mut tx, session.tenant, id, None).await? {
        return Err(ConnectError::NotFound);
    }
    let entry = entry(
        session,
        AuditAction::ConnectionRevoked,
        &present,
        request_id,
    );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}

/// A colleague's connection is reported as not found.
async fn own(
    conn: &mut sqlx::PgConnection,
    session: &Session,
    id: ConnectionId,
) -> Result<StoredConnection, ConnectError> {
    connections::find(conn, session.tenant, id)
        .await?
        .filter(|found| found.user == session.user)
        .ok_or(ConnectError::NotFound)
}

/// Records that the provider refused the credentials of this version; nothing is tried with them again.
pub async fn refuse(
    pool: &PgPool,
    job: &Job,
    connection: &StoredConnection,
    code: &'static str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let (id, version) = (connection.id, connection.version);
    if connections::require_reauth(&mut tx, job.lease.tenant, id, version, code).await? {
        let entry = by_worker(job, AuditAction::ConnectionRefused, connection, code);
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await
}

/// Records that the provider accepted the credentials of this version; jobs that waited for them resume.
pub async fn restore(
    pool: &PgPool,
    job: &Job,
    connection: &StoredConnection,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let (id, version) = (connection.id, connection.version);
    if connections::restore(&mut tx, job.lease.tenant, id, version).await? {
        let entry = on_attempt(job, AuditAction::ConnectionRestored, connection);
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await
}

/// Revokes a connection that the provider reports as gone, and erases its credentials.
pub async fn end_gone(
    pool: &PgPool,
    job: &Job,
    connection: &StoredConnection,
    code: &'static str,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if connections::revoke(&mut tx, job.lease.tenant, connection.id, Some(code)).await? {
        let entry = by_worker(job, AuditAction::ConnectionRevoked, connection, code);
        audit::insert(&mut tx, &[entry]).await?;
    }
    tx.commit().await
}

pub(in crate::commands) fn place(tenant: TenantId, id: ConnectionId) -> SecretRow<'static> {
    SecretRow {
        table: "connections",
        tenant: tenant.0,
        row: id.0,
        column: "secret",
    }
}

fn seal(keys: &KeyRing, session: &Session, id: ConnectionId, secret: &Secret) -> Sealed {
    keys.seal(place(session.tenant, id), &secret.joined())
}

/// Opens the sealed login of an email account or a calendar.
///
/// # Errors
/// If the key is missing, or the bytes were tampered with.
pub fn open_login(
    keys: &KeyRing,
    tenant: TenantId,
    id: ConnectionId,
    sealed: &[u8],
) -> Result<MailSecret, Unsealable> {
    let joined = keys.open(place(tenant, id), sealed)?;
    MailSecret::split(&joined).ok_or(Unsealable::Malformed)
}

/// Opens the sealed secret of a webhook.
///
/// # Errors
/// If the key is missing, or the bytes were tampered with.
pub fn open_webhook_secret(
    keys: &KeyRing,
    tenant: TenantId,
    id: ConnectionId,
    sealed: &[u8],
) -> Result<WebhookSecret, Unsealable> {
    let joined = keys.open(place(tenant, id), sealed)?;
    WebhookSecret::split(&joined).ok_or(Unsealable::Malformed)
}

fn entry(
    session: &Session,
    action: AuditAction,
    connection: &StoredConnection,
    request_id: &str,
) -> NewAuditEntry {
    about(
        session.audit(action, ResourceKind::Connection, connection.id),
        connection,
    )
    .with_request(Some(request_id))
}

fn by_worker(
    job: &Job,
    action: AuditAction,
    connection: &StoredConnection,
    code: &'static str,
) -> NewAuditEntry {
    on_attempt(job, action, connection).failed(code)
}

fn on_attempt(job: &Job, action: AuditAction, connection: &StoredConnection) -> NewAuditEntry {
    about(
        job.audit(action, ResourceKind::Connection, connection.id),
        connection,
    )
}

fn about(entry: NewAuditEntry, connection: &StoredConnection) -> NewAuditEntry {
    let provider = connection.settings.provider();
    entry.with_detail(Detail::new().word("provider", provider.as_str()))
}
