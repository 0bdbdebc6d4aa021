//! A mailbox of any provider: [`Mailbox`]. Emails are found by Message-ID, the only identifier that we and the server share.

use super::ProviderError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use chrono::{DateTime, Utc};

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

/// What identifies an email in any mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageKey {
    /// Without angle brackets.
    pub message_id: String,
    /// Its `Date`, for servers that do not find it by the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<DateTime<Utc>>,
    /// We sent it: it bears the id in a field of our own too, because servers replace a Message-ID.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_ours: bool,
}

/// What an email is marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// A flag or keyword by its IMAP name, such as `\Seen`.
    Flag(&'a str),
    /// A label as its user writes it.
    Label(&'a str),
}

/// How a server confirms a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It says where the email is now.
    Located,
    /// It has no complaint; some have none either if the email was gone.
    Accepted,
}

/// An open mailbox.
///
/// A change whose response was lost is [`ProviderError::Unknown`].
#[async_trait]
pub trait Mailbox: Send {
    /// Returns the folder's name; creates a missing folder.
    async fn folder(&mut self, target: &Target) -> Result<String, ProviderError>;

    /// Finds the newest email with this key in the first folder that has one.
    async fn find(
        &mut self,
        key: &MessageKey,
        among: SearchScope,
    ) -> Result<Option<MessageLocation>, ProviderError>;

    /// As [`find`](Self::find), in one folder.
    async fn find_in(
        &mut self,
        key: &MessageKey,
        folder: &str,
    ) -> Result<Option<MessageLocation>, ProviderError>;

    /// Returns whether an email has a mark; none if it is gone.
    async fn has_mark(
        &mut self,
        spot: &MessageLocation,
        mark: Mark<'_>,
    ) -> Result<Option<bool>, ProviderError>;

    /// Sets or removes a mark.
    async fn mark(
        &mut self,
        spot: &MessageLocation,
        mark: Mark<'_>,
        on: bool,
    ) -> Result<(), ProviderError>;

    /// Moves an email to another folder.
    async fn move_to(
        &mut self,
        spot: &MessageLocation,
        key: &MessageKey,
        folder: &str,
    ) -> Result<Moved, ProviderError>;

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
