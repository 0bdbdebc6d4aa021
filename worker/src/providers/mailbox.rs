//! What can be done in a mailbox, whoever keeps it: [`Mailbox`]. Mails are found by their Message-ID, for that is the only
//! name of theirs that we and the server both know.

use super::ProviderError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use super::imap::keyword;
use std::collections::BTreeSet;

/// A folder by what it is for; its name is the server's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Inbox,
    Archive,
    Trash,
    Junk,
    Sent,
    Drafts,
    /// Everything there is, where a server has such a view.
    All,
}

/// Where to look for a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// What was sent: `Sent`, then everything.
    Sent,
    /// Wherever the user may have put it, the inbox first; what was thrown away is gone.
    Kept,
    /// The same, and what was thrown away.
    Anywhere,
}

/// Where to put a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Role(Role),
    /// A folder as its user calls it.
    Named(String),
}

/// A mail in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// The server's name of the folder.
    pub folder: String,
    pub uid_validity: u32,
    pub uid: u32,
}

/// A mailbox that was opened. Names of flags are as IMAP writes them: `\Seen`, `\Flagged`, or a keyword.
///
/// Errors are those of [`ProviderError`]; what was broken off while something was being changed is
/// [`Unknown`](ProviderError::Unknown).
#[async_trait]
pub trait Mailbox: Send {
    /// The folder's name; one that a mail can be put into is made if it is missing.
    async fn folder(&mut self, target: &Target) -> Result<String, ProviderError>;

    /// The mail of this Message-ID, the newest of the first folder that has one.
    async fn find(&mut self, message_id: &str, among: Among)
    -> Result<Option<Spot>, ProviderError>;

    /// The same in one folder.
    async fn find_in(
        &mut self,
        message_id: &str,
        folder: &str,
    ) -> Result<Option<Spot>, ProviderError>;

    /// The flags of a mail; `None` if it is not there any more.
    async fn flags(&mut self, spot: &Spot) -> Result<Option<BTreeSet<String>>, ProviderError>;

    /// Sets a flag, or takes it off.
    async fn mark(&mut self, spot: &Spot, flag: &str, on: bool) -> Result<(), ProviderError>;

    /// Puts a mail into another folder.
    async fn move_to(
        &mut self,
        spot: &Spot,
        message_id: &str,
        folder: &str,
    ) -> Result<(), ProviderError>;

    /// Adds a mail to a folder, with flags.
    async fn append(
        &mut self,
        folder: &str,
        flags: &[&str],
        bytes: &[u8],
    ) -> Result<(), ProviderError>;

    /// Says goodbye. What was done stands, whatever becomes of it.
    async fn close(self: Box<Self>);
}
