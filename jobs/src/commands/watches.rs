//! Watched mailboxes: users set them up here, and workers deliver what they read ([`deliver`]). [`backfill`] reads older email.

pub mod backfill;
pub mod deliver;
pub mod readers;
pub mod refuse;
pub mod unread;

use crate::{
    domain::{
        AuditAction, ConnectionId, Detail, ResourceKind, Session,
        connection::ConnectionStatus,
        watch::{FolderName, WatchStatus},
    },
    store::{
        audit, connections,
        watches::{
            self, StoredWatch,
            folders::{self, StoredFolder},
        },
    },
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

/// A watch with its folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    pub status: WatchStatus,
    pub watch: StoredWatch,
    pub folders: Vec<StoredFolder>,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("there is no such connection, or it is not watched")]
    NotFound,
    #[error("the connection has no mailbox")]
    NoMailbox,
    #[error("could not read or write the watch")]
    Database(#[from] sqlx::Error),
}

/// Watches these folders of a connection from now on, and no others.
///
/// # Errors
/// If the connection is not the user's or has no mailbox, or the database refuses.
pub async fn set(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
    (names, since): (&[FolderName], DateTime<Utc>),
    request_id: &str,
) -> Result<Watch, WatchError> {
    let mut tx = pool.begin().await?;
    let status = own(&mut tx, session, connection).await?;
    let before = folders::of_watch(&mut *tx, session.tenant, connection).await?;
    watches::upsert(&mut tx, session.tenant, connection, since).await?;
    watches::set_folders(&mut tx, session.tenant, connection, names).await?;
    end_missing(&mut tx, session, connection, (&before, names)).await?;
    let folders = i64::try_from(names.len()).unwrap_or(i64::MAX);
    let detail = Detail::new().count("folders", folders);
    let entry = session
        .audit(AuditAction::WatchSet, ResourceKind::Connection, connection)
        .with_request(Some(request_id))
        .with_detail(detail);
    audit::insert(&mut tx, &[entry]).await?;
    let set = load(&mut tx, session, connection, status).await?;
    tx.commit().await?;
    Ok(set)
}

/// # Errors
/// If the connection is not the user's or is not watched.
pub async fn get(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
) -> Result<Watch, WatchError> {
    let mut conn = pool.acquire().await?;
    let status = own(&mut conn, session, connection).await?;
    load(&mut conn, session, connection, status).await
}

/// Ends a watch. Emails that were read stay known, so that watching again reads none twice.
///
/// # Errors
/// If the connection is not the user's or is not watched.
pub async fn end(
    pool: &PgPool,
    session: &Session,
    connection: ConnectionId,
    request_id: &str,
) -> Result<(), WatchError> {
    let mut tx = pool.begin().await?;
    own(&mut tx, session, connection).await?;
    let before = folders::of_watch(&mut *tx, session.tenant, connection).await?;
    end_missing(&mut tx, session, connection, (&before, &[])).await?;
    if !watches::delete(&mut tx, session.tenant, connection).await? {
        return Err(WatchError::NotFound);
    }
    let entry = session
        .audit(
            AuditAction::WatchEnded,
            ResourceKind::Connection,
            connection,
        )
        .with_request(Some(request_id));
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}

/// Ends the inbox items of folders that are no longer watched: nobody misses them.
async fn end_missing(
    conn: &mut PgConnection,
    session: &Session,
    connection: ConnectionId,
    (before, now): (&[StoredFolder], &[FolderName]),
) -> Result<(), sqlx::Error> {
    let account = (session.tenant, session.user, connection);
    for known in before {
        if !now.contains(&known.folder) {
            unread::end_missing(conn, account, &known.folder).await?;
        }
    }
    Ok(())
}

/// A colleague's connection is reported as not found.
async fn own(
    conn: &mut PgConnection,
    session: &Session,
    connection: ConnectionId,
) -> Result<ConnectionStatus, WatchError> {
    let found = connections::find(conn, session.tenant, connection)
        .await?
        .filter(|found| found.user == session.user && found.status != ConnectionStatus::Revoked)
        .ok_or(WatchError::NotFound)?;
    let mail = found.settings.mail();
    if mail.is_none_or(|mail| mail.imap.is_none()) {
        return Err(WatchError::NoMailbox);
    }
    Ok(found.status)
}

async fn load(
    conn: &mut PgConnection,
    session: &Session,
    connection: ConnectionId,
    account: ConnectionStatus,
) -> Result<Watch, WatchError> {
    let watch = watches::find(conn, session.tenant, connection)
        .await?
        .ok_or(WatchError::NotFound)?;
    let folders = folders::of_watch(conn, session.tenant, connection).await?;
    let status = match account {
        ConnectionStatus::ReauthRequired => WatchStatus::ReauthRequired,
        _ if watch.failures > 0 => WatchStatus::Failing,
        _ if watch.is_overdue || folders.iter().all(|folder| folder.checked_at.is_none()) => {
            WatchStatus::Pending
        }
        ConnectionStatus::Active | ConnectionStatus::Degraded | ConnectionStatus::Revoked => {
            WatchStatus::Watching
        }
    };
    Ok(Watch {
        status,
        watch,
        folders,
    })
}
