//! Sends email: rendered once, with a fixed Message-ID, before the first attempt.

use super::{
    ActionContext, Lookup, PrepareError, Prepared, ProviderContext, Receipt, RemoteEffect,
    provider_context::internal_error, sent_folder,
};
use crate::providers::{OnDeferral, ProviderError};
use async_trait::async_trait;
use base::hex;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        DraftId,
        draft::{DraftMode, DraftStatus, OutgoingMessage},
        effect::{RenderedEmail, message_id},
        mail::{OWN_ID, deliverable},
    },
    store::{
        connections::{self, StoredConnection},
        draft_versions::{self, StoredVersion},
        drafts::{self, StoredDraft},
        effects::StoredEffect,
        own_messages, thread_answers,
    },
};
use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
};
use queue::runtime::handler::JobContext;
use serde_json::json;
use sqlx::PgConnection;

/// The refusal to send a reply after another one; checked again in the transaction that begins it.
pub const OTHER_REPLY: (&str, &str) = (
    "answered_meanwhile",
    "Another reply to this email was sent meanwhile; nothing was sent. To send this one too, revise it first.",
);

/// Composes one kind of email; all kinds are sent and looked up the same way.
#[async_trait]
pub(super) trait Compose: std::marker::Send + Sync {
    /// Renders the email, as [`RemoteEffect::prepare`].
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError>;
}

/// The effect of sending one kind of email.
pub(super) struct MailEffect<W>(pub(super) W);

#[async_trait]
impl<W: Compose> RemoteEffect for MailEffect<W> {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        self.0.prepare(providers, action).await
    }

    async fn perform(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        send(providers, connection, rendered).await
    }

    async fn look_up(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        effect: &StoredEffect,
        _rendered: &[u8],
    ) -> Result<Lookup, ProviderError> {
        sent_folder::look_up(providers, connection, effect).await
    }
}

/// `send`: an email whose text the caller gives.
pub(super) struct Send;

#[async_trait]
impl Compose for Send {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let text = |name| action.params.get(name).unwrap_or_default().to_owned();
        let outgoing = OutgoingMessage {
            to: vec![text("to")],
            subject: text("subject"),
            body_text: text("body"),
            ..OutgoingMessage::default()
        };
        let connection = sending_connection(providers.ctx, action, None).await?;
        let now = providers.ctx.clock.now();
        prepare(action, connection, &outgoing, Writer::Person, now)
    }
}

/// `send_draft`: a version of a draft, exactly as it was approved.
pub(super) struct SendDraft;

#[async_trait]
impl Compose for SendDraft {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let changed = || {
            PrepareError::refused(
                "draft_changed",
                "The draft was changed after its approval; nothing was sent.",
            )
        };
        let text = |name| action.params.get(name).unwrap_or_default();
        let id: DraftId = text("draft_id").parse().map_err(|_| changed())?;
        let number: i32 = text("version").parse().map_err(|_| changed())?;
        let mut conn = providers.ctx.pool.acquire().await?;
        let draft = drafts::find(&mut conn, action.tenant, id).await?;
        let version = draft_versions::find(&mut conn, action.tenant, id, number).await?;
        drop(conn);
        let (Some(draft), Some(version)) = (draft, version) else {
            return Err(changed());
        };
        let hash = version.message.content_hash();
        let intact = hash == version.content_hash[..] && hex(&hash) == text("content_hash");
        if draft.status != DraftStatus::Sending || draft.version != number || !intact {
            return Err(changed());
        }
        let mut conn = providers.ctx.pool.acquire().await?;
        if is_answered_reminder(&mut conn, action, &draft, &version).await? {
            return Err(PrepareError::refused(
                "answered_meanwhile",
                "The email that this draft follows up has been answered; nothing was sent.",
            ));
        }
        if own_messages::has_overtaken(&mut conn, action.tenant, id).await? {
            return Err(PrepareError::refused(
                "answered_by_user",
                "You have already answered this email with another program; nothing was sent.",
            ));
        }
        if drafts::replies::has_other(&mut conn, action.tenant, id).await? {
            let (code, message) = OTHER_REPLY;
            return Err(PrepareError::refused(code, message));
        }
        drop(conn);
        let from = version.message.from.as_deref();
        let connection = sending_connection(providers.ctx, action, from).await?;
        let now = providers.ctx.clock.now();
        prepare(action, connection, &version.message, Writer::Person, now)
    }
}

/// Whether the draft reminds somebody of an email that was answered while the draft waited.
async fn is_answered_reminder(
    conn: &mut PgConnection,
    action: &ActionContext<'_>,
    draft: &StoredDraft,
    version: &StoredVersion,
) -> Result<bool, sqlx::Error> {
    match (draft.mode, draft.user, &version.message.in_reply_to) {
        (DraftMode::FollowUp, Some(user), Some(id)) => {
            thread_answers::answered_by_others(conn, action.tenant, user, id).await
        }
        _ => Ok(false),
    }
}

/// Finds the account to send from: the one with this address, else the user's oldest.
pub(super) async fn sending_connection(
    ctx: &JobContext,
    action: &ActionContext<'_>,
    address: Option<&str>,
) -> Result<StoredConnection, PrepareError> {
    let missing = || {
        PrepareError::refused(
            "no_connection",
            "There is no email account to send from. Add one with POST /v1/connections.",
        )
    };
    let user = action.user.ok_or_else(missing)?;
    let mut conn = ctx.pool.acquire().await?;
    let own = connections::of_user(&mut conn, action.tenant, user).await?;
    let wanted = |found: &StoredConnection| {
        found.settings.mail().is_some()
            && address.is_none_or(|address| found.address.eq_ignore_ascii_case(address))
    };
    own.into_iter().find(wanted).ok_or_else(missing)
}

/// Who wrote the text of an email.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A person wrote or approved it.
    Person,
    /// Nobody did, and the email says so (RFC 3834 §5).
    Program,
}

/// Renders the email. Rendering it again gives the same bytes except for its date; only the first rendering is kept.
pub(super) fn prepare(
    action: &ActionContext<'_>,
    connection: StoredConnection,
    outgoing: &OutgoingMessage,
    writer: Writer,
    now: DateTime<Utc>,
) -> Result<Prepared, PrepareError> {
    let recipients: Vec<String> = outgoing
        .to
        .iter()
        .chain(&outgoing.cc)
        .chain(&outgoing.bcc)
        .cloned()
        .collect();
    let limit = usize::try_from(connection.max_recipients).unwrap_or(usize::MAX);
    if recipients.is_empty() || recipients.len() > limit {
        return Err(PrepareError::refused(
            "too_many_recipients",
            format!("An email of this account may have 1 to {limit} recipients."),
        ));
    }
    let sender = deliverable(&connection.address).unwrap_or_default();
    let domain = sender
        .rsplit_once('@')
        .map_or("localhost", |(_, domain)| domain);
    let id = message_id(action.tenant, &action.key, domain);
    let email = RenderedEmail {
        bytes: render(&connection, outgoing, writer, (&id, now))?,
        from: connection.address.clone(),
        recipients,
    };
    Ok(Prepared {
        would: json!({ "send_as": connection.address, "to": outgoing.to, "cc": outgoing.cc, "subject": outgoing.subject }),
        connection,
        message_id: Some(id),
        rendered: email.pack(),
    })
}

fn render(
    connection: &StoredConnection,
    outgoing: &OutgoingMessage,
    writer: Writer,
    (id, now): (&str, DateTime<Utc>),
) -> Result<Vec<u8>, PrepareError> {
    let mailbox = |name: Option<String>, text: &str| {
        let address = deliverable(text).and_then(|address| address.parse().ok());
        let refused = || PrepareError::refused("bad_address", "The email has an invalid address.");
        address
            .map(|address| Mailbox::new(name, address))
            .ok_or_else(refused)
    };
    let from = mailbox(connection.display_name.clone(), &connection.address)?;
    let mut mail = Message::builder()
        .from(from)
        .date(now.into())
        .message_id(Some(id.to_owned()))
        .subject(&outgoing.subject);
    for to in &outgoing.to {
        mail = mail.to(mailbox(None, to)?);
    }
    for cc in &outgoing.cc {
        mail = mail.cc(mailbox(None, cc)?);
    }
    if let Some(parent) = &outgoing.in_reply_to {
        mail = mail.in_reply_to(parent.clone());
    }
    if !outgoing.references.is_empty() {
        mail = mail.references(outgoing.references.join(" "));
    }
    let own_id = HeaderName::new_from_ascii_str(OWN_ID);
    mail = mail.raw_header(HeaderValue::new(own_id, id.to_owned()));
    if writer == Writer::Program {
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        mail = mail.raw_header(HeaderValue::new(name, "auto-generated".to_owned()));
    }
    let mail = mail
        // Without it, MIME fields have no meaning (RFC 2045 §4); lettre adds it to multipart emails only.
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(outgoing.body_text.clone())
        .map_err(|_| {
            PrepareError::refused("unrenderable_email", "The email could not be written.")
        })?;
    Ok(mail.formatted())
}

/// Sends the prepared email and stores a copy in the sent folder.
async fn send(
    providers: &ProviderContext<'_>,
    connection: &StoredConnection,
    packed: Vec<u8>,
) -> Result<Receipt, ProviderError> {
    let mailer = providers.mailer(connection).await?;
    let outgoing = RenderedEmail::unpack(packed)
        .ok_or_else(|| internal_error("the stored email is unreadable"))?;
    let on_deferral = match providers.ctx.job.is_last_attempt() {
        true => OnDeferral::SendToOthers,
        false => OnDeferral::SendNothing,
    };
    let mut receipt = mailer.send(&outgoing, on_deferral).await?;
    receipt["sent_folder"] =
        json!(sent_folder::store(providers, connection, &outgoing.bytes).await);
    Ok(Receipt {
        receipt,
        before_image: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{
        ConnectionId, UserId,
        connection::{ConnectionStatus, MailSettings, Security, Server, Settings},
    };

    #[test]
    fn rendered_email_has_a_mime_version_and_a_labels() {
        let connection = StoredConnection {
            id: ConnectionId::new(),
            user: UserId::new(),
            address: "ada@b\u{fc}cher.example".into(),
            display_name: Some("Ada Gr\u{fc}n".into()),
            settings: Settings::Mail(MailSettings {
                smtp: Server {
                    host: "smtp.example.org".into(),
                    port: 465,
                    security: Security::Tls,
                },
                imap: None,
            }),
            status: ConnectionStatus::Active,
            last_error: None,
            sends_per_hour: 60,
            max_recipients: 20,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        };
        let outgoing = OutgoingMessage {
            to: vec![
                "bob@m\u{fc}ller.example".into(),
                "\u{7528}\u{6237}@x.example".into(),
            ],
            subject: "Gr\u{fc}\u{df}e".into(),
            body_text: "Sch\u{f6}n.".into(),
            ..OutgoingMessage::default()
        };
        let id = "<1@x.example>";
        let render = |writer| {
            let bytes = render(&connection, &outgoing, writer, (id, DateTime::UNIX_EPOCH));
            String::from_utf8(bytes.unwrap()).unwrap()
        };
        let text = render(Writer::Person);
        assert!(!text.contains("Auto-Submitted"), "{text}");
        let text = render(Writer::Program);
        assert!(
            text.contains("Auto-Submitted: auto-generated\r\n"),
            "{text}"
        );
        assert_eq!(text.matches("MIME-Version: 1.0\r\n").count(), 1, "{text}");
        assert!(text.contains("X-Postroom-Id: <1@x.example>\r\n"), "{text}");
        assert!(text.contains("<ada@xn--bcher-kva.example>"), "{text}");
        assert!(text.contains("bob@xn--mller-kva.example"), "{text}");
        assert!(text.contains("\u{7528}\u{6237}@x.example"), "{text}");
    }
}
