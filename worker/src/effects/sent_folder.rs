//! The folder of sent mail: stores a copy of each sent email, and finds an email that may have been sent.

use super::{Lookup, ProviderContext, Receipt};
use crate::providers::{
    ProviderError,
    mailbox::{Mailbox, MessageKey, Role, SearchScope, Target},
};
use jobs::{
    domain::{connection::MailSettings, mail::Mail},
    store::{connections::StoredConnection, effects::StoredEffect},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{error::Elapsed, timeout};

/// Timeout of storing a copy. The email is sent already, and its job must end soon.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of the session for it, which may wait for others of the account.
const OPEN_TIMEOUT: Duration = Duration::from_secs(40);

/// Stores a copy of a sent email. Returns `saved`, `failed`, or `none` if the account has no mailbox.
///
/// Stores no second copy if the server stores one itself.
pub(super) async fn store(
    providers: &ProviderContext<'_>,
    connection: &StoredConnection,
    bytes: &[u8],
) -> &'static str {
    if connection.settings.mail().is_some_and(is_stored_by_server) {
        return "saved";
    }
    let stored = async {
        let opened = timeout(OPEN_TIMEOUT, providers.mailbox(connection)).await?;
        let mut mailbox = match opened {
            Ok(Some(mailbox)) => mailbox,
            Ok(None) => return Ok(Ok("none")),
            Err(error) => return Ok(Err(error)),
        };
        timeout(TIMEOUT, async {
            let saved = save(&mut *mailbox, bytes).await;
            mailbox.close().await;
            saved.map(|()| "saved")
        })
        .await
    };
    let stored: Result<Result<_, ProviderError>, Elapsed> = stored.await;
    match stored {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            tracing::warn!(
                code = error.code(),
                "could not store a copy of a sent email in the sent folder"
            );
            "failed"
        }
        Err(_) => {
            tracing::warn!(
                code = "imap_timeout",
                "could not store a copy of a sent email in the sent folder"
            );
            "failed"
        }
    }
}

async fn save(mailbox: &mut dyn Mailbox, bytes: &[u8]) -> Result<(), ProviderError> {
    let folder = mailbox.folder(&Target::Role(Role::Sent)).await?;
    if let Some(key) = id_of(bytes)
        && mailbox.find_in(&key, &folder).await?.is_some()
    {
        return Ok(());
    }
    mailbox.append(&folder, &["\\Seen"], bytes).await
}

/// Returns what to search for. Without the date: that an email is not there yet is the rule, and a search by date is slow.
fn id_of(bytes: &[u8]) -> Option<MessageKey> {
    let mail = Mail::parse(bytes).ok()?;
    Some(MessageKey {
        message_id: mail.message_id?,
        date: None,
        is_ours: true,
    })
}

/// Whether the server that sends the emails of an account stores a copy of each itself, in the mailbox of the account: a moment
/// later, so that none is found after sending.
///
/// Gmail and Exchange Online document that they do; for others we store the copy.
fn is_stored_by_server(settings: &MailSettings) -> bool {
    // The servers of the accounts themselves: a relay such as smtp-relay.gmail.com stores nothing.
    const HOSTS: [(&str, &[&str]); 2] = [
        ("gmail", &["smtp.gmail.com", "smtp.googlemail.com"]),
        (
            "exchange",
            &[
                "smtp.office365.com",
                "smtp-mail.outlook.com",
                "smtp.live.com",
            ],
        ),
    ];
    let smtp = normal(&settings.smtp.host);
    let stores = HOSTS
        .iter()
        .find(|(_, hosts)| hosts.contains(&smtp.as_str()));
    let imap = settings.imap.as_ref().map(|server| normal(&server.host));
    match (stores, imap) {
        (Some(("gmail", _)), Some(imap)) => {
            ["imap.gmail.com", "imap.googlemail.com"].contains(&imap.as_str())
        }
        (Some(_), Some(imap)) => {
            ["outlook.office365.com", "imap-mail.outlook.com"].contains(&imap.as_str())
        }
        _ => false,
    }
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Looks for an email that may have been sent. Its absence proves nothing: not every server stores what it sends, and none
/// says when.
pub(super) async fn look_up(
    providers: &ProviderContext<'_>,
    connection: &StoredConnection,
    effect: &StoredEffect,
) -> Result<Lookup, ProviderError> {
    let Some(id) = &effect.message_id else {
        return Ok(Lookup::Unknown);
    };
    let key = MessageKey {
        message_id: id.clone(),
        date: Some(effect.created_at),
        is_ours: true,
    };
    let Some(mut mailbox) = providers.mailbox(connection).await? else {
        return Ok(Lookup::Unknown);
    };
    let found = mailbox.find(&key, SearchScope::Sent).await;
    mailbox.close().await;
    Ok(match found? {
        Some(_) => Lookup::Done(Receipt {
            receipt: json!({ "found": "among the sent mail", "sent_folder": "saved" }),
            before_image: None,
        }),
        None => Lookup::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::connection::{Security, Server};

    #[test]
    fn copy_is_left_to_servers_that_store_their_own_in_the_same_mailbox() {
        let server = |host: &str| Server {
            host: host.into(),
            port: 1,
            security: Security::Tls,
        };
        for (smtp, imap, expected) in [
            ("smtp.gmail.com", Some("imap.gmail.com"), true),
            ("SMTP.Office365.com", Some("outlook.office365.com"), true),
            ("smtp-mail.outlook.com", Some("outlook.office365.com"), true),
            ("smtp.gmail.com", Some("imap.example.org"), false),
            ("smtp.gmail.com", None, false),
            ("smtp.notgmail.com", Some("imap.notgmail.com"), false),
            ("smtp.example.org", Some("imap.example.org"), false),
        ] {
            let settings = MailSettings {
                smtp: server(smtp),
                imap: imap.map(server),
            };
            assert_eq!(is_stored_by_server(&settings), expected, "{smtp} {imap:?}");
        }
    }
}
