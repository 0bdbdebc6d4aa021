//! Reads emails without changing anything: [`Reader`]. Folders are examined, not selected, and bodies are peeked at, so that
//! no email becomes seen; UIDs, not flags, say what is new.

use super::{
    STEP,
    folders::Folders,
    line::Line,
    opening,
    outcomes::{read, read_long},
    responses::{self, Fetched, Opened},
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
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// UIDs of one search. A response is one line, which the library parses from its start whenever more of it arrives.
const WINDOW: u32 = 20_000;
/// What a response may hold besides the emails that were asked for.
const OVERHEAD: usize = 4 << 20;

/// A session that only reads.
#[derive(Debug)]
pub struct Reader {
    inner: async_imap::Session<Line>,
    folders: Folders,
    can_idle: bool,
    is_outdated: bool,
    opened: Opened,
    slot: OwnedSemaphorePermit,
}

/// An email as the server lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    pub uid: u32,
    pub bytes: usize,
    /// When the server received it.
    pub received_at: Option<DateTime<Utc>>,
}

/// A part of a folder: its emails by UID, and after which UID the next part begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub uids: Vec<u32>,
    /// None if it is the last part.
    pub next: Option<u32>,
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
            opened: Opened::default(),
            slot: session.slot,
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
        self.opened = opened.clone().unwrap_or_default();
        Ok(opened.map(|opened| FolderState {
            uid_validity: opened.uid_validity,
            uid_next: opened.uid_next,
        }))
    }

    /// Lists the next emails with a greater UID that the server may have received in this period: those of the first search that
    /// finds any, so that a folder of a million emails is not held in memory.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn list_after(&mut self, uid: u32, period: &Period) -> Result<Page, ProviderError> {
        // The server compares dates in a time zone of its own; the exact moment is compared later.
        let date = |moment: DateTime<Utc>, days: i64| {
            let near = moment.checked_add_signed(TimeDelta::days(days));
            near.unwrap_or(moment).format("%-d-%b-%Y").to_string()
        };
        let mut dates = format!("SINCE {}", date(period.since, -2));
        if let Some(until) = period.until {
            dates.push_str(&format!(" BEFORE {}", date(until, 2)));
        }
        let mut page = Page::default();
        for (first, last) in windows(uid.saturating_add(1), &self.opened) {
            self.inner.get_mut().allow(OVERHEAD);
            let query = format!("UID {} {dates}", range(first, last));
            let found = read(responses::search(&mut self.inner, &query)).await?;
            // `5:*` names the last email, whatever its UID.
            page.uids = found.into_iter().filter(|found| *found > uid).collect();
            page.next = last;
            if !page.uids.is_empty() {
                break;
            }
        }
        page.uids.sort_unstable();
        page.uids.dedup();
        Ok(page)
    }

    /// Lists the first few emails of the folder.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn first(&mut self, count: u32) -> Result<Vec<u32>, ProviderError> {
        let count = count.min(self.opened.emails);
        if count == 0 {
            return Ok(Vec::new());
        }
        self.inner.get_mut().allow(OVERHEAD);
        // By their places in the folder.
        read(responses::search(&mut self.inner, &format!("1:{count}"))).await
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

    /// Reads the header of an email; `None` if it is gone.
    ///
    /// # Errors
    /// If the connection fails.
    pub async fn header(&mut self, uid: u32) -> Result<Option<Vec<u8>>, ProviderError> {
        let fetched = self.fetch(&[uid], "(UID BODY.PEEK[HEADER])", 0).await?;
        Ok(fetched.into_iter().find_map(|mail| mail.header))
    }

    async fn fetch(
        &mut self,
        uids: &[u32],
        query: &str,
        bytes: usize,
    ) -> Result<Vec<Fetched>, ProviderError> {
        // Servers state the size of another form of the email than they send.
        let allowed = bytes.saturating_mul(2).saturating_add(OVERHEAD);
        let line = self.inner.get_mut();
        line.allow(allowed);
        let received = line.received();
        let command = responses::fetch(&mut self.inner, uids, query);
        let fetched = read_long(&received, command).await?;
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
            opened,
            slot,
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
            opened,
            slot,
        };
        Ok((reader, woken))
    }

    /// Logs out. Nothing depends on it.
    pub async fn close(mut self) {
        drop(timeout(Duration::from_secs(1), self.inner.logout()).await);
    }
}

/// Divides the UIDs from `first` on into ranges of about [`WINDOW`] emails. The last one is open: emails may have arrived since the
/// folder was opened.
fn windows(first: u32, folder: &Opened) -> Vec<(u32, Option<u32>)> {
    let end = folder.uid_next.unwrap_or(0);
    // Old folders have far more UIDs than emails.
    let spread = end / folder.emails.max(1);
    let width = WINDOW.saturating_mul(spread.max(1));
    let mut windows = Vec::new();
    let mut first = first;
    while folder.emails > WINDOW && end.saturating_sub(first) > width {
        let next = first + width;
        windows.push((first, Some(next - 1)));
        first = next;
    }
    windows.push((first, None));
    windows
}

/// Writes a range of UIDs as a search names it.
fn range(first: u32, last: Option<u32>) -> String {
    match last {
        Some(last) => format!("{first}:{last}"),
        None => format!("{first}:*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_folder_is_searched_in_windows() {
        let folder = |uid_next, emails| Opened {
            uid_next,
            emails,
            ..Opened::default()
        };
        let searched = |first, folder: &Opened| {
            let windows = windows(first, folder);
            let written = windows.iter().map(|(first, last)| range(*first, *last));
            written.collect::<Vec<_>>().join(" ")
        };
        for (first, folder, expected) in [
            (1, folder(None, 500_000), "1:*"),
            (1, folder(Some(900), 899), "1:*"),
            // Few emails, whatever their UIDs.
            (1, folder(Some(4_000_000_000), 900), "1:*"),
            (
                1,
                folder(Some(50_001), 50_000),
                "1:20000 20001:40000 40001:*",
            ),
            (45_000, folder(Some(50_001), 50_000), "45000:*"),
            (u32::MAX, folder(Some(50_001), 50_000), "4294967295:*"),
        ] {
            assert_eq!(searched(first, &folder), expected);
        }
        let sparse = folder(Some(4_000_000_000), 1_000_000);
        assert_eq!(windows(1, &sparse).len(), 50);
    }
}
