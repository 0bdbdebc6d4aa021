//! What a watch could not read, in the inbox of the mailbox's user: emails ([`report_emails`]) and folders ([`report_missing`]).
//! Each is reported once, so that nothing is lost in silence; a folder that is there again is missing no longer
//! ([`resolve_missing`]).

use crate::{
    commands::inbox,
    domain::{
        ConnectionId, ResourceKind, UserId,
        history::HistoryVerb,
        inbox::{ItemSource, NewItem, title_of},
        judgement::Priority,
        mail::Mail,
        watch::FolderName,
    },
    store::{
        connections,
        history::{self, NewHistoryEntry},
        inbox_items,
        watches::WatchLease,
    },
};
use base::{TenantId, hex};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::fmt::Write as _;

/// Begins the name of the inbox item of a missing folder.
const MISSING: &str = "missing";

/// An email that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadEmail {
    pub uid: u32,
    pub reason: UnreadReason,
}

/// Why it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnreadReason {
    TooLarge {
        bytes: usize,
        /// If the server sent it.
        header: Option<Vec<u8>>,
    },
    /// The server does not send it, or breaks off.
    NotSent,
    /// It is no email.
    Malformed,
}

/// Adds an inbox item for each email. The caller's transaction has renewed the lease.
pub(super) async fn report_emails(
    conn: &mut PgConnection,
    lease: &WatchLease,
    (folder, uid_validity): (&FolderName, u32),
    emails: &[UnreadEmail],
) -> Result<(), sqlx::Error> {
    if emails.is_empty() {
        return Ok(());
    }
    let Some(user) = user_of(conn, lease).await? else {
        return Ok(());
    };
    for email in emails {
        let mail = email.reason.mail();
        // By its Message-ID, because it may be in two folders, and get another UID.
        let named = mail.as_ref().and_then(|mail| mail.message_id.clone());
        let name =
            named.unwrap_or_else(|| format!("{}:{uid_validity}:{}", folder.as_str(), email.uid));
        let text = (
            email.reason.title(mail.as_ref()),
            email.reason.rationale(folder),
        );
        add(conn, lease, user, ("unread", &name), text).await?;
    }
    Ok(())
}

/// Adds an inbox item for a folder that the server does not list.
pub async fn report_missing(
    pool: &PgPool,
    lease: &WatchLease,
    folder: &FolderName,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if let Some(user) = user_of(&mut tx, lease).await? {
        let text = if folder.is_sent() {
            (
                "Your mailbox has no folder for sent email".to_owned(),
                "It is watched, but the mail server names no folder as the one for sent email. Watch the folder by its name, or leave it out.".to_owned(),
            )
        } else {
            (
                format!("The folder {} is missing", folder.as_str()),
                "It is watched, but the mail server does not list it; it was renamed or deleted. Watch the folder that replaces it, or leave it out.".to_owned(),
            )
        };
        add(&mut tx, lease, user, (MISSING, folder.as_str()), text).await?;
    }
    tx.commit().await
}

/// Completes the inbox item of a folder that the server lists again. If it is missing once more, that is another item.
pub async fn resolve_missing(
    pool: &PgPool,
    lease: &WatchLease,
    folder: &FolderName,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    if let Some(user) = user_of(&mut tx, lease).await? {
        end_missing(&mut tx, (lease.tenant, user, lease.connection), folder).await?;
    }
    tx.commit().await
}

/// Completes the inbox item of a folder that is no longer missing, or no longer watched.
pub(super) async fn end_missing(
    conn: &mut PgConnection,
    (tenant, user, connection): (TenantId, UserId, ConnectionId),
    folder: &FolderName,
) -> Result<(), sqlx::Error> {
    let key = dedupe_key(connection, MISSING, folder.as_str());
    let retired = inbox_items::retire(conn, (tenant, user), ItemSource::Manual, &key).await?;
    match retired {
        Some(item) => inbox::complete(conn, tenant, item, None).await.map(drop),
        None => Ok(()),
    }
}

async fn user_of(
    conn: &mut PgConnection,
    lease: &WatchLease,
) -> Result<Option<UserId>, sqlx::Error> {
    let found = connections::find(conn, lease.tenant, lease.connection).await?;
    Ok(found.map(|connection| connection.user))
}

async fn add(
    conn: &mut PgConnection,
    lease: &WatchLease,
    user: UserId,
    (what, name): (&str, &str),
    (title, rationale): (String, String),
) -> Result<(), sqlx::Error> {
    let item = NewItem {
        owner: Some(user),
        source: ItemSource::Manual,
        dedupe_key: dedupe_key(lease.connection, what, name),
        title: title_of(&title),
        rationale,
        priority: Priority::Medium,
        message: None,
        job: None,
    };
    if let Some(added) = inbox_items::insert(conn, lease.tenant, &item).await? {
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Added,
            object_kind: ResourceKind::InboxItem,
            object: added.0,
            job: None,
            rationale: item.title.as_str(),
        };
        history::insert_about(conn, lease.tenant, item.owner, &entry).await?;
    }
    Ok(())
}

fn dedupe_key(connection: ConnectionId, what: &str, name: &str) -> String {
    // A name may be longer than a key.
    let name = hex(&Sha256::digest(name)[..16]);
    format!("{what}:{connection}:{name}")
}

impl UnreadReason {
    fn mail(&self) -> Option<Mail> {
        match self {
            Self::TooLarge {
                header: Some(header),
                ..
            } => Mail::parse(header).ok(),
            Self::TooLarge { header: None, .. } | Self::NotSent | Self::Malformed => None,
        }
    }

    fn title(&self, mail: Option<&Mail>) -> String {
        let sender = mail.and_then(|mail| mail.from.as_ref());
        let from = sender.map(|from| from.name.as_deref().unwrap_or(&from.addr));
        let mut title = "An email".to_owned();
        if let Some(from) = from.filter(|from| !from.is_empty()) {
            let _ = write!(title, " from {from}");
        }
        if let Self::TooLarge { bytes, .. } = self {
            let _ = write!(title, " ({} MB)", bytes.div_ceil(1 << 20));
        }
        title.push_str(" was not read");
        title
    }

    fn rationale(&self, folder: &FolderName) -> String {
        let why = match self {
            Self::TooLarge { .. } => "It is larger than 25 MB.",
            Self::NotSent => "The mail server does not send it.",
            Self::Malformed => "It is not in the format of an email.",
        };
        let name = if folder.is_sent() {
            "of sent email"
        } else {
            folder.as_str()
        };
        format!("{why} It is in the folder {name}; read it in your mail program.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_names_sender_and_size_if_they_are_known() {
        let large = |header: Option<&str>| UnreadReason::TooLarge {
            bytes: 34 << 20,
            header: header.map(|header| header.as_bytes().to_vec()),
        };
        for (reason, title) in [
            (
                large(Some(
                    "From: Bob <bob@example.org>\r\nSubject: Plans\r\n\r\n",
                )),
                "An email from Bob (34 MB) was not read",
            ),
            (
                large(Some("From: bob@example.org\r\n\r\n")),
                "An email from bob@example.org (34 MB) was not read",
            ),
            (large(None), "An email (34 MB) was not read"),
            (UnreadReason::NotSent, "An email was not read"),
        ] {
            assert_eq!(reason.title(reason.mail().as_ref()), title);
        }
    }
}
