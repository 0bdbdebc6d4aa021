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
use tokio::time::timeout;

/// Timeout of storing a copy. The email is sent already, and its job must end soon.
const TIMEOUT: Duration = Duration::from_secs(20);

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
    let stored = timeout(TIMEOUT, async {
        let Some(mut mailbox) = providers.mailbox(connection).await? else {
            return Ok("none");
        };
        let saved = save(&mut *mailbox, bytes).await;
        mailbox.close().await;
        saved.map(|()| "saved")
    });
    match stored.await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            let error: ProviderError = error;
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
    if let Some(key) = key_of(bytes)
        && mailbox.find_in(&key, &folder).await?.is_some()
    {
        return Ok(());
    }
    mailbox.append(&folder, &["\\Seen"], bytes).await
}

fn key_of(bytes: &[u8]) -> Option<MessageKey> {
    let mail = Mail::parse(bytes).ok()?;
    Some(MessageKey {
        message_id: mail.message_id?,
        date: mail.date,
    })
}

/// Whether the server that sends the emails of an account stores a copy of each itself, in the mailbox of the account: a moment
/// later, so that none is found after sending.
///
/// Gmail and Exchange Online document that they do; for others we store the copy.
fn is_stored_by_server(settings: &MailSettings) -> bool {
    const GMAIL: [&str; 2] = ["gmail.com", "googlemail.com"];
    const EXCHANGE: [&str; 3] = ["office365.com", "outlook.com", "hotmail.com"];
    let Some(imap) = &settings.imap else {
        return false;
    };
    [&GMAIL[..], &EXCHANGE[..]]
        .iter()
        .any(|domains| is_below(&settings.smtp.host, domains) && is_below(&imap.host, domains))
}

/// Whether a host is below one of these domains.
fn is_below(host: &str, domains: &[&str]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    domains.iter().any(|domain| {
        let rest = host.strip_suffix(*domain);
        rest.is_some_and(|rest| rest.ends_with('.'))
    })
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
