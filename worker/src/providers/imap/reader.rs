//! Reads emails without changing anything: [`Reader`]. Folders are examined, not selected, and bodies are peeked at, so that
//! no email becomes seen; UIDs, not flags, say what is new.

use super::{
    STEP,
    folders::Folders,
    line::Line,
    opening,
    outcomes::read,
    responses::{self, Fetched},
    session::Session,
    timed_out, unreachable,
};
use crate::providers::{
    ProviderError,
    mailbox::{Role, Target},
};
use async_imap::extensions::idle::IdleResponse;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::watch::{FolderName, FolderState, Period};
use std::time::Duration;
use tokio::time::timeout;

/// What a response may hold besides the emails that were asked for.
const OVERHEAD: usize = 4 << 20;

/// A session that only reads.
#[derive(Debug)]
pub struct Reader {
    inner: async_imap::Session<Line>,
    folders: Folders,
    can_idle: bool,
    is_outdated: bool,
}

/// An email as the server lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub uid: u32,
    pub bytes: usize,
    /// When the server received it.
    pub received_at: Option<DateTime<Utc>>,
}

/// An email as the server has it.
#[derive(Debug)]
pub struct RawEmail {
    pub uid: u32,
    pub source: Vec<u8>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The folder changed.
    Changed,
    TimedOut,
}

impl Reader {
    pub(super) fn new(session: Session) -> Self {
        Self {
            inner: session.inner,
            folders: session.folders,
            can_idle: session.can_idle,
            is_outdated: false,
        }
    }

    /// Whether a folder was missing. It may be there in a new session: this one has listed the folders once, and a server may
    /// refuse a folder that was restored under it until the session ends.
    pub const fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// Opens a folder; none if the server has no such folder.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn examine(
        &mut self,
        name: &FolderName,
    ) -> Result<Option<FolderState>, ProviderError> {
        let target = if name.is_sent() {
            Target::Role(Role::Sent)
        } else {
            Target::Named(name.as_str().to_owned())
        };
        let Some(folder) = self.folders.existing(&target) else {
            self.is_outdated = true;
            return Ok(None);
        };
        self.inner.get_mut().allow(OVERHEAD);
        let opened = opening::open(&mut self.inner, "EXAMINE", &folder).await?;
        // It was deleted since it was listed.
        self.is_outdated |= opened.is_none();
        Ok(opened.map(|opened| FolderState {
            uid_validity: opened.uid_validity,
            uid_next: opened.uid_next,
        }))
    }

    /// Lists the emails with a greater UID that the server may have received in this period, by UID.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn list_after(
        &mut self,
        uid: u32,
        period: &Period,
    ) -> Result<Vec<u32>, ProviderError> {
        // The server compares dates in a time zone of its own; the exact moment is compared later.
        let date = |moment: DateTime<Utc>, days: i64| {
            let near = moment.checked_add_signed(TimeDelta::days(days));
            near.unwrap_or(moment).format("%-d-%b-%Y").to_string()
        };
        let from = uid.saturating_add(1);
        let mut query = format!("UID {from}:* SINCE {}", date(period.since, -2));
        if let Some(until) = period.until {
            query.push_str(&format!(" BEFORE {}", date(until, 2)));
        }
        let found = read(responses::search(&mut self.inner, &query)).await?;
        // `5:*` names the last email, whatever its UID.
        let mut uids: Vec<u32> = found.into_iter().filter(|found| *found > uid).collect();
        uids.sort_unstable();
        Ok(uids)
    }

    /// Reads size and time of these emails; those that are gone are left out.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn describe(&mut self, uids: &[u32]) -> Result<Vec<Listed>, ProviderError> {
        let mut listed = Vec::with_capacity(uids.len());
        for mail in self
            .fetch(uids, "(UID RFC822.SIZE INTERNALDATE)", 0)
            .await?
        {
            // Without a size it is no answer to us: another program changed the flags of the email meanwhile.
            let (Some(uid), Some(size)) = (mail.uid, mail.size) else {
                continue;
            };
            listed.push(Listed {
                uid,
                bytes: usize::try_from(size).unwrap_or(usize::MAX),
                received_at: mail.received_at,
            });
        }
        listed.sort_unstable_by_key(|listed| listed.uid);
        Ok(listed)
    }

    /// Reads these emails, of `bytes` in all; those that are gone are left out.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn read(
        &mut self,
        uids: &[u32],
        bytes: usize,
    ) -> Result<Vec<RawEmail>, ProviderError> {
        let fetched = self.fetch(uids, "(UID BODY.PEEK[])", bytes).await?;
        Ok(fetched
            .into_iter()
            .filter_map(|mail| {
                Some(RawEmail {
                    uid: mail.uid?,
                    source: mail.body?,
                })
            })
            .collect())
    }

    async fn fetch(
        &mut self,
        uids: &[u32],
        query: &str,
        bytes: usize,
    ) -> Result<Vec<Fetched>, ProviderError> {
        // Servers state the size of another form of the email than they send.
        let allowed = bytes.saturating_mul(2).saturating_add(OVERHEAD);
        self.inner.get_mut().allow(allowed);
        let fetched = read(responses::fetch(&mut self.inner, uids, query)).await?;
        let asked = |uid: u32| uids.contains(&uid);
        Ok(fetched
            .into_iter()
            .filter(|mail| mail.uid.is_some_and(asked))
            .collect())
    }

    /// Whether the server can wake us.
    pub const fn can_idle(&self) -> bool {
        self.can_idle
    }

    /// Waits until the examined folder changes, at most so long.
    ///
    /// # Errors
    /// If the connection fails; then it is of no more use.
    pub async fn idle(mut self, limit: Duration) -> Result<(Self, Woken), ProviderError> {
        self.inner.get_mut().allow(OVERHEAD);
        let Self {
            inner,
            folders,
            can_idle,
            is_outdated,
        } = self;
        let mut handle = inner.idle();
        match timeout(STEP, handle.init()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(unreachable("imap_unreachable")),
            Err(_) => return Err(timed_out()),
        }
        let woken = {
            // Ends the wait when it is dropped.
            let (wait, _stop) = handle.wait_with_timeout(limit);
            match timeout(limit, wait).await {
                Ok(Ok(IdleResponse::NewData(_))) => Woken::Changed,
                Ok(Ok(IdleResponse::Timeout)) | Err(_) => Woken::TimedOut,
                Ok(Ok(IdleResponse::ManualInterrupt) | Err(_)) => {
                    return Err(unreachable("imap_unreachable"));
                }
            }
        };
        let inner = match timeout(STEP, handle.done()).await {
            Ok(Ok(inner)) => inner,
            Ok(Err(_)) => return Err(unreachable("imap_unreachable")),
            Err(_) => return Err(timed_out()),
        };
        let reader = Self {
            inner,
            folders,
            can_idle,
            is_outdated,
        };
        Ok((reader, woken))
    }

    /// Logs out. Nothing depends on it.
    pub async fn close(mut self) {
        drop(timeout(Duration::from_secs(1), self.inner.logout()).await);
    }
}
