//! A mailbox of any provider: [`Mailbox`]. Emails are found by Message-ID, the only identifier that we and the server share.

use super::ProviderError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use super::imap::keyword;
use std::collections::BTreeSet;

/// The role of a folder; its name depends on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Inbox,
    Archive,
    Trash,
    Junk,
    Sent,
    Drafts,
    /// All emails, on servers with such a view.
    All,
}

/// The folders to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchScope {
    /// `Sent`, then `All`.
    Sent,
    /// All folders but trash and junk, the inbox first.
    Kept,
    /// As `Kept`, and trash and junk.
    Anywhere,
}

/// The target folder of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Role(Role),
    /// A folder by its name.
    Named(String),
}

/// The location of an email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLocation {
    /// The folder's name on the server.
    pub folder: String,
    pub uid_validity: u32,
    pub uid: u32,
}

/// An open mailbox. Flags have their IMAP names: `\Seen`, `\Flagged`, or a keyword.
///
/// A change whose response was lost is [`ProviderError::Unknown`].
#[async_trait]
pub trait Mailbox: Send {
    /// Returns the folder's name; creates a missing folder.
    async fn folder(&mut self, target: &Target) -> Result<String, ProviderError>;

    /// Finds the newest email with this Message-ID in the first folder that has one.
    async fn find(
        &mut self,
        message_id: &str,
        among: SearchScope,
    ) -> Result<Option<MessageLocation>, ProviderError>;

    /// As [`find`](Self::find), in one folder.
    async fn find_in(
        &mut self,
        message_id: &str,
        folder: &str,
    ) -> Result<Option<MessageLocation>, ProviderError>;

    /// Returns the flags of an email; none if it is gone.
    async fn flags(
        &mut self,
        spot: &MessageLocation,
    ) -> Result<Option<BTreeSet<String>>, ProviderError>;

    /// Sets or removes a flag.
    async fn mark(
        &mut self,
        spot: &MessageLocation,
        flag: &str,
        on: bool,
    ) -> Result<(), ProviderError>;

    /// Moves an email to another folder.
    async fn move_to(
        &mut self,
        spot: &MessageLocation,
        message_id: &str,
        folder: &str,
    ) -> Result<(), ProviderError>;

    /// Appends an email with flags to a folder.
    async fn append(
        &mut self,
        folder: &str,
        flags: &[&str],
        bytes: &[u8],
    ) -> Result<(), ProviderError>;

    /// Logs out. Ignores errors, because all changes are complete.
    async fn close(self: Box<Self>);
}
