//! `watched_folders`: the cursor of each folder and what its user sees of it.

use super::WatchLease;
use crate::domain::{
    ConnectionId,
    watch::{BrokenRead, Cursor, FolderName},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// A watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFolder {
    pub folder: FolderName,
    pub cursor: Cursor,
    pub checked_at: Option<DateTime<Utc>>,
    pub last_email_at: Option<DateTime<Utc>>,
    pub emails: i64,
    pub skipped: i64,
    pub last_error: Option<String>,
    /// Under the UIDVALIDITY of the cursor.
    pub broken: Option<BrokenRead>,
}

/// The code of a folder that the server does not list.
pub const FOLDER_MISSING: &str = "folder_missing";

/// Lists the folders of a watch, the inbox first.
///
/// # Errors
/// When the database does not answer, or holds a number that no server has sent.
pub async fn of_watch<'c>(
    executor: impl PgExecutor<'c>,
    tenant: TenantId,
    connection: ConnectionId,
) -> Result<Vec<StoredFolder>, sqlx::Error> {
    let rows = sqlx::query!(
        "select folder, uid_validity, last_uid, checked_at, last_email_at, emails, skipped, last_error, broken_uid, broken_tries
         from watched_folders where tenant_id = $1 and connection_id = $2
         order by folder <> 'INBOX', folder",
        tenant.0,
        connection.0,
    )
    .fetch_all(executor)
    .await?;
    let wide = |error: std::num::TryFromIntError| sqlx::Error::Decode(Box::new(error));
    rows.into_iter()
        .map(|row| {
            Ok(StoredFolder {
                folder: FolderName::stored(row.folder),
                cursor: Cursor {
                    uid_validity: row
                        .uid_validity
                        .map(u32::try_from)
                        .transpose()
                        .map_err(wide)?,
                    last_uid: u32::try_from(row.last_uid).map_err(wide)?,
                },
                checked_at: row.checked_at,
                last_email_at: row.last_email_at,
                emails: row.emails,
                skipped: row.skipped,
                last_error: row.last_error,
                broken: row
                    .broken_uid
                    .map(u32::try_from)
                    .transpose()
                    .map_err(wide)?
                    .zip(row.broken_tries)
                    .map(|(uid, tries)| BrokenRead { uid, tries }),
            })
        })
        .collect()
}

/// What a check has read of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub cursor: Cursor,
    pub emails: i64,
    pub skipped: i64,
    /// Whether nothing more was there.
    pub is_complete: bool,
}

/// Moves the cursor of a folder. The caller's transaction has renewed the lease, which fences the write.
pub async fn advance(
    conn: &mut PgConnection,
    lease: &WatchLease,
    folder: &FolderName,
    progress: &Progress,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update watched_folders
         set uid_validity = $4, last_uid = $5, emails = emails + $6, skipped = skipped + $7,
             last_email_at = case when $6 > 0 then $9 else last_email_at end,
             checked_at = case when $8 then $9 else checked_at end, last_error = null,
             broken_uid = case when $8 then null else broken_uid end,
             broken_tries = case when $8 then null else broken_tries end
         where tenant_id = $1 and connection_id = $2 and folder = $3",
        lease.tenant.0,
        lease.connection.0,
        folder.as_str(),
        progress.cursor.uid_validity.map(i64::from),
        i64::from(progress.cursor.last_uid),
        progress.emails,
        progress.skipped,
        progress.is_complete,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records that a folder could not be checked, although the account works.
pub async fn record_failure<'c>(
    executor: impl PgExecutor<'c>,
    lease: &WatchLease,
    folder: &FolderName,
    code: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update watched_folders set last_error = $4 where tenant_id = $1 and connection_id = $2 and folder = $3",
        lease.tenant.0,
        lease.connection.0,
        folder.as_str(),
        code,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Records that the connection broke off at an email, and how far the folder was read before.
pub async fn record_broken<'c>(
    executor: impl PgExecutor<'c>,
    lease: &WatchLease,
    folder: &FolderName,
    cursor: &Cursor,
    broken: BrokenRead,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update watched_folders f
         set uid_validity = $6, last_uid = $7, broken_uid = $8, broken_tries = $9
         from mailbox_watches w
         where f.tenant_id = $1 and f.connection_id = $2 and f.folder = $3
             and w.tenant_id = $1 and w.connection_id = $2 and w.lease_worker = $4 and w.epoch = $5",
        lease.tenant.0,
        lease.connection.0,
        folder.as_str(),
        lease.worker.0,
        lease.epoch,
        cursor.uid_validity.map(i64::from),
        i64::from(cursor.last_uid),
        i64::from(broken.uid),
        broken.tries,
    )
    .execute(executor)
    .await?;
    Ok(())
}
