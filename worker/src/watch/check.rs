//! The one way in which emails get from a folder to the queue: [`check`]. A poll, a change that the server reported and a
//! first look are the same check.

use super::{
    LEASE, Watcher,
    groups::groups,
    refused::{GroupRead, REFUSED, UNAVAILABLE, list_part, neighbours, prove_service, read_group},
};
use crate::providers::{
    ProviderError,
    imap::reader::{Listed, Page, RawEmail, Reader},
};
use chrono::TimeDelta;
use jobs::{
    commands::watches::{
        deliver::{DeliverError, Delivery, FetchedEmail, deliver},
        unread::{UnreadEmail, UnreadReason, report_missing, resolve_missing},
    },
    domain::{
        MessageId,
        mail::{Mail, OwnAnswer},
        watch::{BrokenRead, Cursor, Period, Unread},
    },
    store::watches::{
        WatchLease,
        folders::{self, FOLDER_MISSING, Progress, StoredFolder},
    },
};

/// Emails whose size is asked for with one command.
const LISTED: usize = 200;

/// The codes of a connection that broke off. A server that asks to wait says nothing about an email.
const BROKEN: [&str; 2] = ["imap_unreachable", "imap_timeout"];

/// Why a mailbox is no longer read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The connection broke off at an email, which is recorded. In another session the other folders can be read.
    #[error(transparent)]
    BrokenOff(ProviderError),
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
/// A server that fails at a command, or asks to wait, does so for this folder: the others are read all the same. If it fails at
/// one email, the next check passes it over.
pub(super) async fn check(
    watcher: &Watcher,
    lease: &WatchLease,
    reader: &mut Reader,
    folder: &StoredFolder,
) -> Result<bool, CheckError> {
    match check_once(watcher, lease, reader, folder).await {
        Err(CheckError::Provider(error)) if [REFUSED, UNAVAILABLE].contains(&error.code()) => {
            let pool = &watcher.engine.pool;
            folders::record_failure(pool, lease, &folder.folder, error.code()).await?;
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
        let pool = &watcher.engine.pool;
        // Not at the first check: a server that is starting may list it later.
        if folder.last_error.as_deref() == Some(FOLDER_MISSING) {
            report_missing(pool, lease, &folder.folder).await?;
        }
        folders::record_failure(pool, lease, &folder.folder, FOLDER_MISSING).await?;
        return Ok(false);
    };
    // Whatever the last error is: a server may have refused the folder since it was missing.
    if folder.last_error.is_some() {
        resolve_missing(&watcher.engine.pool, lease, &folder.folder).await?;
    }
    let mut delivering = Delivering {
        watcher,
        lease,
        folder,
        cursor: Cursor {
            uid_validity: Some(state.uid_validity),
            ..folder.cursor
        },
        asked: 0,
        new: 0,
    };
    let has_news = match folder.cursor.unread(&state) {
        Unread::Nothing => false,
        Unread::After(uid) => delivering.read_after(reader, uid, folder.broken).await?,
        Unread::All => {
            let last = folder.cursor.last_uid;
            let is_known =
                folder.cursor.uid_validity == Some(state.uid_validity) && state.uid_validity != 0;
            // A server with emails behind the UIDNEXT that it states is mistaken; its UIDs did not go back.
            let is_mistaken = is_known && {
                let newest = last.saturating_sub(1);
                let page = reader.list_after(newest, &delivering.period()).await?;
                !page.uids.is_empty()
            };
            let after = if is_mistaken { last } else { 0 };
            delivering.cursor.last_uid = after;
            delivering.read_after(reader, after, None).await?;
            // What was known is no news: without UIDVALIDITY a folder is read whole at each check.
            delivering.new > 0
        }
    };
    // All that had a UID when the folder was opened is read now, also if the last of it was expunged.
    let seen = state.uid_next.map_or(0, |next| next.saturating_sub(1));
    delivering.cursor.last_uid = delivering.cursor.last_uid.max(seen);
    delivering.deliver(Vec::new(), Vec::new(), true).await?;
    Ok(has_news)
}

/// A folder that is being read.
struct Delivering<'a> {
    watcher: &'a Watcher,
    lease: &'a WatchLease,
    folder: &'a StoredFolder,
    cursor: Cursor,
    /// The first of the emails that the server was asked for last.
    asked: u32,
    /// Emails that were not read before.
    new: usize,
}

impl Delivering<'_> {
    fn period(&self) -> Period {
        let kept = TimeDelta::days(self.watcher.config.retention_days.into());
        Period {
            since: self.lease.since.max(self.watcher.engine.clock.now() - kept),
            until: None,
        }
    }

    /// Reads the emails after this UID, page by page. Returns whether there are any.
    async fn read_after(
        &mut self,
        reader: &mut Reader,
        uid: u32,
        mut broken: Option<BrokenRead>,
    ) -> Result<bool, CheckError> {
        let (mut after, mut has_any) = (uid, false);
        loop {
            let Page { uids, next } = reader.list_after(after, &self.period()).await?;
            if !uids.is_empty() {
                self.read(reader, &uids, broken.take()).await?;
                has_any = true;
            }
            let Some(next) = next else {
                return Ok(has_any);
            };
            after = next;
        }
    }

    /// Reads these emails. If the connection breaks off, records at which.
    async fn read(
        &mut self,
        reader: &mut Reader,
        uids: &[u32],
        broken: Option<BrokenRead>,
    ) -> Result<(), CheckError> {
        let error = match self.read_parts(reader, uids, broken).await {
            Err(CheckError::Provider(error)) if BROKEN.contains(&error.code()) => error,
            read => return read,
        };
        let broken = BrokenRead::at(self.asked, broken);
        let (pool, folder) = (&self.watcher.engine.pool, &self.folder.folder);
        folders::record_broken(pool, self.lease, folder, &self.cursor, broken).await?;
        Err(CheckError::BrokenOff(error))
    }

    async fn read_parts(
        &mut self,
        reader: &mut Reader,
        uids: &[u32],
        broken: Option<BrokenRead>,
    ) -> Result<(), CheckError> {
        let broken = broken.filter(BrokenRead::is_read_alone);
        let alone = if broken.is_some() {
            LISTED.min(uids.len())
        } else {
            0
        };
        let (alone, together) = uids.split_at(alone);
        for part in alone.chunks(1).chain(together.chunks(LISTED)) {
            if let ([uid], Some(broken)) = (part, broken)
                && broken.uid == *uid
            {
                // Before each try that counts, so that an outage of the server costs the email none.
                self.prove_service(reader, *uid, uids).await?;
                if broken.passes_over(*uid) {
                    self.pass_over(*uid).await?;
                    continue;
                }
            }
            self.read_part(reader, part, uids).await?;
        }
        Ok(())
    }

    /// Checks that the server sends another email of the folder. If the connection breaks off at that one, nothing is recorded of
    /// the email in question.
    async fn prove_service(
        &self,
        reader: &mut Reader,
        uid: u32,
        uids: &[u32],
    ) -> Result<(), CheckError> {
        match prove_service(reader, uid, self.cursor.last_uid, uids).await {
            Err(error) if BROKEN.contains(&error.code()) => Err(CheckError::BrokenOff(error)),
            proven => Ok(proven?),
        }
    }

    async fn pass_over(&mut self, uid: u32) -> Result<(), CheckError> {
        tracing::warn!(
            uid,
            "the connection breaks off at an email of a mailbox again and again; it is skipped"
        );
        self.cursor.last_uid = uid;
        self.deliver(Vec::new(), vec![not_sent(uid)], false).await
    }

    async fn read_part(
        &mut self,
        reader: &mut Reader,
        part: &[u32],
        uids: &[u32],
    ) -> Result<(), CheckError> {
        let was_refused = self.folder.last_error.as_deref() == Some(REFUSED);
        self.asked = part.first().copied().unwrap_or_default();
        let listed = list_part(reader, part, was_refused).await?;
        for group in groups(&listed, &self.period()) {
            let beside = neighbours(self.cursor.last_uid, uids, group.last_uid);
            self.asked = group.uids.first().copied().unwrap_or(self.asked);
            // Until they are stored.
            let _reserved = self.watcher.memory.reserve(group.bytes).await;
            let GroupRead { emails, refused } =
                read_group(reader, &group, &beside, was_refused).await?;
            let (emails, malformed) = parsed(emails).await;
            let mut unread: Vec<UnreadEmail> = refused.into_iter().map(not_sent).collect();
            unread.extend(malformed.into_iter().map(|uid| UnreadEmail {
                uid,
                reason: UnreadReason::Malformed,
            }));
            for email in &group.too_large {
                self.asked = email.uid;
                unread.push(too_large(reader, email).await?);
            }
            self.cursor.last_uid = group.last_uid;
            self.deliver(emails, unread, false).await?;
        }
        Ok(())
    }

    async fn deliver(
        &mut self,
        emails: Vec<FetchedEmail>,
        unread: Vec<UnreadEmail>,
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
                skipped: i64::try_from(unread.len()).unwrap_or(i64::MAX),
                is_complete,
            },
            unread,
            now,
            lease: LEASE,
        };
        let new = deliver(&engine.pool, &engine.notifier, self.lease, delivery).await?;
        self.new += new;
        let new = u64::try_from(new).unwrap_or(u64::MAX);
        self.watcher.metrics.emails_fetched_total.inc_by(new);
        Ok(())
    }
}

fn not_sent(uid: u32) -> UnreadEmail {
    UnreadEmail {
        uid,
        reason: UnreadReason::NotSent,
    }
}

/// Reads who sent an email that is too large to be read, if the server says so.
async fn too_large(reader: &mut Reader, email: &Listed) -> Result<UnreadEmail, ProviderError> {
    let header = match reader.header(email.uid).await {
        Err(error) if error.code() == REFUSED => None,
        header => header?,
    };
    Ok(UnreadEmail {
        uid: email.uid,
        reason: UnreadReason::TooLarge {
            bytes: email.bytes,
            header,
        },
    })
}

/// Parses emails away from the threads that serve other jobs. Returns them, and the UIDs of those that could not be read.
pub(crate) async fn parsed(raw: Vec<RawEmail>) -> (Vec<FetchedEmail>, Vec<u32>) {
    let (mut emails, mut malformed) = (Vec::with_capacity(raw.len()), Vec::new());
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
            malformed.push(uid);
        }
    }
    (emails, malformed)
}

fn fetched(source: Vec<u8>) -> Option<FetchedEmail> {
    let mail = Mail::parse(&source).ok()?;
    Some(FetchedEmail {
        id: MessageId::new(),
        content_hash: mail.content_hash(),
        sender: mail.from.as_ref().map(|from| from.addr.to_lowercase()),
        own_answer: OwnAnswer::of(&mail),
        source,
    })
}
