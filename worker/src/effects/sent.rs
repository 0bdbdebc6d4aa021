//! The folder of sent mail: a copy of each mail is filed there, and by it one is found that may have been sent.

use super::{Far, Found, Receipt};
use crate::providers::{
    ProviderError,
    mailbox::{Among, Mailbox, Role, Target},
};
use jobs::store::{connections::StoredConnection, effects::StoredEffect};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// For all of the filing. The mail is out and nobody may wait long to hear so.
const FILING: Duration = Duration::from_secs(20);

/// Files a mail that was sent, and says what became of that: `saved`, `failed`, or `none` if the account has no mailbox.
/// Many servers file what they send themselves: it is there once, whoever does it.
pub(super) async fn file(
    far: &Far<'_>,
    connection: &StoredConnection,
    bytes: &[u8],
) -> &'static str {
    let filed = timeout(FILING, async {
        let Some(mut mailbox) = far.mailbox(connection).await? else {
            return Ok("none");
        };
        let saved = save(&mut *mailbox, bytes).await;
        mailbox.close().await;
        saved.map(|()| "saved")
    });
    match filed.await {
        Ok(Ok(word)) => word,
        Ok(Err(error)) => {
            let error: ProviderError = error;
            tracing::warn!(code = error.code(), "a sent mail was not filed");
            "failed"
        }
        Err(_) => {
            tracing::warn!(code = "imap_timeout", "a sent mail was not filed");
            "failed"
        }
    }
}

async fn save(mailbox: &mut dyn Mailbox, bytes: &[u8]) -> Result<(), ProviderError> {
    let folder = mailbox.folder(&Target::Role(Role::Sent)).await?;
    if let Some(id) = message_id_of(bytes)
        && mailbox.find_in(id, &folder).await?.is_some()
    {
        return Ok(());
    }
    mailbox.append(&folder, &["\\Seen"], bytes).await
}

/// As our own renderer writes it.
fn message_id_of(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    head.lines()
        .find_map(|line| line.strip_prefix("Message-ID:"))
        .map(str::trim)
}

/// Whether a mail that may have been sent is among those that were. That it is not there proves nothing: not every server
/// files what it sends, and none says when.
pub(super) async fn look(
    far: &Far<'_>,
    connection: &StoredConnection,
    effect: &StoredEffect,
) -> Result<Found, ProviderError> {
    let Some(id) = &effect.message_id else {
        return Ok(Found::CannotSay);
    };
    let Some(mut mailbox) = far.mailbox(connection).await? else {
        return Ok(Found::CannotSay);
    };
    let found = mailbox.find(id, Among::Sent).await;
    mailbox.close().await;
    Ok(match found? {
        Some(_) => Found::Done(Receipt {
            receipt: json!({ "found": "among the sent mail", "sent_folder": "saved" }),
            before_image: None,
        }),
        None => Found::CannotSay,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_mail_is_read_from_its_head_alone() {
        let mail = b"From: a@b.c\r\nMessage-ID: <1@b.c>\r\n\r\nMessage-ID: <2@b.c>\r\n";
        assert_eq!(message_id_of(mail), Some("<1@b.c>"));
        assert_eq!(
            message_id_of(b"From: a@b.c\r\n\r\nMessage-ID: <2@b.c>\r\n"),
            None
        );
    }
}
