//! Mail that leaves the house: rendered once, with a Message-ID that stays, before anything is tried.

use super::{Doing, Far, Found, Prepared, Receipt, Remote, Trouble, far::unready, sent};
use crate::providers::{Outgoing, ProviderError};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        DraftId,
        draft::{DraftStatus, OutgoingMessage, hex},
        effect::message_id,
    },
    store::{
        connections::{self, StoredConnection},
        draft_versions, drafts,
        effects::StoredEffect,
        own_messages,
    },
};
use lettre::{
    Message,
    message::{Mailbox, header::ContentType},
};
use queue::runtime::handler::JobContext;
use serde_json::{Value, json};

/// What becomes a mail: each kind is written in its own way, and sent and looked for as all are.
#[async_trait]
pub(super) trait Write: std::marker::Send + Sync {
    /// Renders the mail, as [`Remote::prepare`].
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble>;
}

/// A kind of mail as it leaves the house.
pub(super) struct ByMail<W>(pub(super) W);

#[async_trait]
impl<W: Write> Remote for ByMail<W> {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        self.0.prepare(far, doing).await
    }

    async fn perform(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        send(far, connection, rendered).await
    }

    async fn look(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Found, ProviderError> {
        sent::look(far, connection, effect).await
    }
}

/// `send`: a mail that was written out by whoever asked for it.
pub(super) struct Send;

#[async_trait]
impl Write for Send {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        let text = |name| doing.params.get(name).unwrap_or_default().to_owned();
        let letter = OutgoingMessage {
            to: vec![text("to")],
            subject: text("subject"),
            body_text: text("body"),
            ..OutgoingMessage::default()
        };
        let connection = sending_connection(far.ctx, doing, None).await?;
        prepare(doing, connection, &letter, far.ctx.clock.now())
    }
}

/// `send_draft`: a version of a draft, exactly as it was put before a person.
pub(super) struct SendDraft;

#[async_trait]
impl Write for SendDraft {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        let changed = || {
            Trouble::refused(
                "draft_changed",
                "The draft is not what was agreed to any more; nothing was sent.",
            )
        };
        let text = |name| doing.params.get(name).unwrap_or_default();
        let id: DraftId = text("draft_id").parse().map_err(|_| changed())?;
        let number: i32 = text("version").parse().map_err(|_| changed())?;
        let mut conn = far.ctx.pool.acquire().await?;
        let draft = drafts::find(&mut conn, doing.tenant, id).await?;
        let version = draft_versions::find(&mut conn, doing.tenant, id, number).await?;
        drop(conn);
        let (Some(draft), Some(version)) = (draft, version) else {
            return Err(changed());
        };
        let hash = version.letter.content_hash();
        let intact = hash == version.content_hash[..] && hex(&hash) == text("content_hash");
        if draft.status != DraftStatus::Sending || draft.version != number || !intact {
            return Err(changed());
        }
        let mut conn = far.ctx.pool.acquire().await?;
        if own_messages::has_overtaken(&mut conn, doing.tenant, id).await? {
            return Err(Trouble::refused(
                "answered_by_user",
                "You have answered this mail with another program meanwhile; nothing was sent.",
            ));
        }
        drop(conn);
        let from = version.letter.from.as_deref();
        let connection = sending_connection(far.ctx, doing, from).await?;
        prepare(doing, connection, &version.letter, far.ctx.clock.now())
    }
}

/// The connection that the user's mail leaves by: the one of this address, or the oldest of theirs.
pub(super) async fn sending_connection(
    ctx: &JobContext,
    doing: &Doing<'_>,
    address: Option<&str>,
) -> Result<StoredConnection, Trouble> {
    let missing = || {
        Trouble::refused(
            "no_connection",
            "There is no mail account to send from. Add one with POST /v1/connections.",
        )
    };
    let user = doing.user.ok_or_else(missing)?;
    let mut conn = ctx.pool.acquire().await?;
    let own = connections::of_user(&mut conn, doing.tenant, user).await?;
    let wanted = |found: &StoredConnection| {
        found.settings.mail().is_some()
            && address.is_none_or(|address| found.address.eq_ignore_ascii_case(address))
    };
    own.into_iter().find(wanted).ok_or_else(missing)
}

/// Renders it. The same letter by the same connection under the same name is the same bytes but for its date, and only
/// the first are kept.
pub(super) fn prepare(
    doing: &Doing<'_>,
    connection: StoredConnection,
    letter: &OutgoingMessage,
    now: DateTime<Utc>,
) -> Result<Prepared, Trouble> {
    let recipients: Vec<String> = letter
        .to
        .iter()
        .chain(&letter.cc)
        .chain(&letter.bcc)
        .cloned()
        .collect();
    let most = usize::try_from(connection.max_recipients).unwrap_or(usize::MAX);
    if recipients.is_empty() || recipients.len() > most {
        return Err(Trouble::refused(
            "too_many_recipients",
            format!("A mail of this account may have 1 to {most} recipients."),
        ));
    }
    let domain = connection
        .address
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain);
    let id = message_id(doing.tenant, &doing.key, domain);
    let bytes = render(&connection, letter, &id, now)?;
    let envelope = json!({ "from": connection.address, "recipients": recipients });
    Ok(Prepared {
        would: json!({ "send_as": connection.address, "to": letter.to, "cc": letter.cc, "subject": letter.subject }),
        connection,
        message_id: Some(id),
        rendered: pack(&envelope, &bytes),
    })
}

fn render(
    connection: &StoredConnection,
    letter: &OutgoingMessage,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Vec<u8>, Trouble> {
    let bad_address =
        |_| Trouble::refused("bad_address", "An address of this mail cannot be used.");
    let mailbox = |text: &String| text.parse::<Mailbox>().map_err(bad_address);
    let from = Mailbox::new(
        connection.display_name.clone(),
        connection.address.parse().map_err(bad_address)?,
    );
    let mut mail = Message::builder()
        .from(from)
        .date(now.into())
        .message_id(Some(id.to_owned()))
        .subject(&letter.subject);
    for to in &letter.to {
        mail = mail.to(mailbox(to)?);
    }
    for cc in &letter.cc {
        mail = mail.cc(mailbox(cc)?);
    }
    if let Some(parent) = &letter.in_reply_to {
        mail = mail.in_reply_to(parent.clone());
    }
    if !letter.references.is_empty() {
        mail = mail.references(letter.references.join(" "));
    }
    let mail = mail
        .header(ContentType::TEXT_PLAIN)
        .body(letter.body_text.clone())
        .map_err(|_| Trouble::refused("unrenderable_mail", "This mail cannot be written."))?;
    Ok(mail.formatted())
}

/// The envelope travels with the bytes, so that what is sent again goes to whom it went.
fn pack(envelope: &Value, bytes: &[u8]) -> Vec<u8> {
    let mut packed = envelope.to_string().into_bytes();
    packed.push(b'\n');
    packed.extend_from_slice(bytes);
    packed
}

fn unpack(packed: Vec<u8>) -> Option<Outgoing> {
    let end = packed.iter().position(|byte| *byte == b'\n')?;
    let envelope: Value = serde_json::from_slice(&packed[..end]).ok()?;
    Some(Outgoing {
        from: envelope["from"].as_str()?.to_owned(),
        recipients: serde_json::from_value(envelope["recipients"].clone()).ok()?,
        bytes: packed[end + 1..].to_vec(),
    })
}

/// Sends what was prepared, and files a copy where its user looks for it.
async fn send(
    far: &Far<'_>,
    connection: &StoredConnection,
    packed: Vec<u8>,
) -> Result<Receipt, ProviderError> {
    let mailer = far.mailer(connection).await?;
    let outgoing = unpack(packed).ok_or_else(|| unready("the stored mail cannot be read"))?;
    let mut receipt = mailer.send(&outgoing).await?;
    receipt["sent_folder"] = json!(sent::file(far, connection, &outgoing.bytes).await);
    Ok(Receipt {
        receipt,
        before_image: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let envelope = json!({"from": "a@b.c", "recipients": ["d@e.f", "g@h.i"]});
        let outgoing = unpack(pack(&envelope, b"Subject: x\r\n\r\nhello\n")).unwrap();
        assert_eq!(outgoing.from, "a@b.c");
        assert_eq!(outgoing.recipients, ["d@e.f", "g@h.i"]);
        assert_eq!(outgoing.bytes, b"Subject: x\r\n\r\nhello\n");
        assert!(unpack(b"no envelope".to_vec()).is_none());
    }
}
