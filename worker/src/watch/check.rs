//! The one way in which emails get from a folder to the queue: [`check`]. A poll, a change that the server reported and a
//! first look are the same check.

use super::{
    LEASE, Watcher,
    groups::groups,
    refused::{GroupRead, REFUSED, list_part, neighbours, read_group},
};
use crate::providers::{
    ProviderError,
    imap::reader::{RawEmail, Reader},
};
use chrono::TimeDelta;
use jobs::{
    commands::watches::deliver::{DeliverError, Delivery, FetchedEmail, deliver},
    domain::{
        MessageId,
        mail::{Mail, OwnAnswer},
        watch::{Cursor, Period, Unread},
    },
    store::watches::{
        WatchLease,
        folders::{self, Progress, StoredFolder},
    },
};

/// Emails whose size is asked for with one command.
const LISTED: usize = 200;

/// Why a mailbox is no longer read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("the lease was lost")]
    LeaseLost,
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl From<DeliverError> for CheckError {
    fn from(error: DeliverError) -> Self {
        match error {
            DeliverError::LeaseLost => Self::LeaseLost,
            DeliverError::Database(source) => Self::Database(source),
        }
    }
}

/// Delivers what is new in a folder. Returns whether anything was there to be read: then the server may have reported more
/// meanwhile, and the caller looks again before it waits.
///
/// A server that fails at a command does so for this folder: the others are read all the same. If it fails at one email, the
/// next check passes it over.
pub(super) async fn check(
    watcher: &Watcher,
    lease: &WatchLease,
    reader: &mut Reader,
    folder: &StoredFolder,
) -> Result<bool, CheckError> {
    match check_once(watcher, lease, reader, folder).await {
        Err(CheckError::Provider(error)) if error.code() == REFUSED => {
            let pool = &watcher.engine.pool;
            folders::record_failure(pool, lease, &folder.folder, REFUSED).await?;
            Ok(false)
        }
        checked => checked,
    }
}

async fn check_once(
    watcher: &Watcher,
    lease: &WatchLease,
    reader: &mut Reader,
    folder: &StoredFolder,
) -> Result<bool, CheckError> {
    let Some(state) = reader.examine(&folder.folder).await? else {
        folders::record_failure(
            &watcher.engine.pool,
            lease,
            &folder.folder,
            "folder_missing",
        )
        .await?;
        return Ok(false);
    };
    let mut delivering = Delivering {
        watcher,
        lease,
        folder,
        cursor: Cursor {
            uid_validity: Some(state.uid_validity),
            ..folder.cursor
        },
    };
    let has_news = match folder.cursor.unread(&state) {
        Unread::Nothing => false,
        Unread::After(uid) => {
            delivering.cursor.last_uid = uid;
            delivering.read_after(reader, uid).await?
        }
    };
    // All that had a UID when the folder was opened is read now, also if the last of it was expunged.
    let seen = state.uid_next.map_or(0, |next| next.saturating_sub(1));
    delivering.cursor.last_uid = delivering.cursor.last_uid.max(seen);
    delivering.deliver(Vec::new(), 0, true).await?;
    Ok(has_news)
}

/// A folder that is being read.
struct Delivering<'a> {
    watcher: &'a Watcher,
    lease: &'a WatchLease,
    folder: &'a StoredFolder,
    cursor: Cursor,
}

impl Delivering<'_> {
    async fn read_after(&mut self, reader: &mut Reader, uid: u32) -> Result<bool, CheckError> {
        let kept = TimeDelta::days(self.watcher.config.retention_days.into());
        let period = Period {
            since: self.lease.since.max(self.watcher.engine.clock.now() - kept),
            until: None,
        };
        let was_refused = self.folder.last_error.as_deref() == Some(REFUSED);
        let uids = reader.list_after(uid, &period).await?;
        for part in uids.chunks(LISTED) {
            let listed = list_part(reader, part, was_refused).await?;
            for group in groups(&listed, &period) {
                let beside = neighbours(self.cursor.last_uid, &uids, &group);
                let GroupRead { emails, refused } =
                    read_group(reader, &group, &beside, was_refused).await?;
                let (emails, unreadable) = parsed(emails).await;
                self.cursor.last_uid = group.last_uid;
                self.deliver(emails, group.skipped + unreadable + refused, false)
                    .await?;
            }
        }
        Ok(!uids.is_empty())
    }

    async fn deliver(
        &self,
        emails: Vec<FetchedEmail>,
        skipped: i64,
        is_complete: bool,
    ) -> Result<(), CheckError> {
        let engine = &self.watcher.engine;
        let now = engine.clock.now();
        let delivery = Delivery {
            folder: &self.folder.folder,
            emails,
            progress: Progress {
                cursor: self.cursor,
                emails: 0,
                skipped,
                is_complete,
            },
            now,
            lease: LEASE,
        };
        let new = deliver(&engine.pool, &engine.notifier, self.lease, delivery).await?;
        let new = u64::try_from(new).unwrap_or(u64::MAX);
        self.watcher.metrics.emails_fetched_total.inc_by(new);
        Ok(())
    }
}

/// Parses emails away from the threads that serve other jobs. Returns them, and how many could not be read.
pub(crate) async fn parsed(raw: Vec<RawEmail>) -> (Vec<FetchedEmail>, i64) {
    let (mut emails, mut unreadable) = (Vec::with_capacity(raw.len()), 0);
    for email in raw {
        let uid = email.uid;
        // Each by itself: one that breaks the parser must not cost the others.
        let parsed = tokio::task::spawn_blocking(move || fetched(email.source)).await;
        if let Ok(Some(email)) = parsed {
            emails.push(email);
        } else {
            tracing::warn!(
                uid,
                "could not read an email of a watched mailbox; it is skipped"
            );
            unreadable += 1;
        }
    }
    (emails, unreadable)
}

fn fetched(source: Vec<u8>) -> Option<FetchedEmail> {
    let mail = Mail::parse(&source).ok()?;
    Some(FetchedEmail {
        id: MessageId::new(),
        content_hash: mail.content_hash(),
        own_answer: OwnAnswer::of(&mail),
        source,
    })
}
