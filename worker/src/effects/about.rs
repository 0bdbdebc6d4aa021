//! `reply` with a text, and `forward`: mail about an email that we hold. Recipients of an answer, subject and thread come from
//! code; the text is the person's.

use super::{
    Doing, Far, Prepared, Trouble,
    mail::{Write, prepare, sending_connection},
};
use async_trait::async_trait;
use jobs::{
    domain::{
        draft::{
            OutgoingMessage,
            headers::{self, Headers, Recipients},
        },
        mail::Mail,
    },
    store::{connections, messages, users},
};
use std::fmt::Write as _;

/// Answers the email with what the person wrote.
pub(super) struct Reply;

#[async_trait]
impl Write for Reply {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        if doing.params.get("instructions").is_some() {
            return Err(Trouble::refused(
                "two_texts",
                "Give the text of the answer (`body`) or `instructions` for one, not both.",
            ));
        }
        let mail = held(far, doing).await?;
        let accounts = accounts(far, doing).await?;
        let account = mail.account_among(&accounts);
        let connection = sending_connection(far.ctx, doing, account).await?;
        let own = own_addresses(far, doing, &accounts).await?;
        let headers = headers::answer(&mail, false, &own)
            .map_err(|_| Trouble::refused("nobody_to_answer", "Nobody but you would get it."))?;
        let body = doing.params.get("body").unwrap_or_default().to_owned();
        let letter = letter(headers, body);
        prepare(doing, connection, &letter, far.ctx.clock.now())
    }
}

/// Passes the email on, as we hold it, to one address.
pub(super) struct Forward;

#[async_trait]
impl Write for Forward {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        let mail = held(far, doing).await?;
        let to = Recipients {
            to: doing
                .params
                .get("to")
                .map(str::to_owned)
                .into_iter()
                .collect(),
            ..Recipients::default()
        };
        let headers = headers::forward(&mail, to)
            .map_err(|_| Trouble::refused("bad_address", "Say to whom it goes."))?;
        let letter = letter(headers, quoted(&mail, doing.params.get("note")));
        let connection = sending_connection(far.ctx, doing, None).await?;
        prepare(doing, connection, &letter, far.ctx.clock.now())
    }
}

fn letter(headers: Headers, body_text: String) -> OutgoingMessage {
    OutgoingMessage {
        from: None,
        to: headers.to,
        cc: headers.cc,
        bcc: headers.bcc,
        subject: headers.subject,
        in_reply_to: headers.in_reply_to,
        references: headers.references,
        body_text,
        send_at: None,
    }
}

async fn held(far: &Far<'_>, doing: &Doing<'_>) -> Result<Mail, Trouble> {
    let missing = || {
        Trouble::refused(
            "no_message",
            "Say which mail it is about (`message_id`): one that is still kept.",
        )
    };
    let message = doing.message.ok_or_else(missing)?;
    let mut conn = far.ctx.pool.acquire().await?;
    let stored = messages::find(&mut conn, doing.tenant, message)
        .await?
        .ok_or_else(missing)?;
    drop(conn);
    // An email may have many megabytes: parsing it would hold up every other job of this thread.
    let parsed =
        tokio::task::spawn_blocking(move || Mail::from_source(stored.format, &stored.source));
    parsed
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| Trouble::refused("unparsable_mail", "This email cannot be read."))
}

/// The addresses of the user's mail accounts, oldest first.
async fn accounts(far: &Far<'_>, doing: &Doing<'_>) -> Result<Vec<String>, sqlx::Error> {
    let Some(user) = doing.user else {
        return Ok(Vec::new());
    };
    let mut conn = far.ctx.pool.acquire().await?;
    connections::mail_addresses(&mut conn, doing.tenant, user).await
}

async fn own_addresses(
    far: &Far<'_>,
    doing: &Doing<'_>,
    accounts: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    let mut own: Vec<String> = accounts
        .iter()
        .map(|account| account.to_lowercase())
        .collect();
    if let Some(user) = doing.user {
        let mut conn = far.ctx.pool.acquire().await?;
        let person = users::correspondent(&mut conn, doing.tenant, user).await?;
        own.extend(person.map(|person| person.email.to_lowercase()));
    }
    Ok(own)
}

/// The note, then the email as mail programs show one that was passed on.
fn quoted(mail: &Mail, note: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(note) = note {
        let _ = writeln!(text, "{note}\n");
    }
    let _ = writeln!(text, "---------- Forwarded message ----------");
    let _ = writeln!(text, "From: {}", mail.sender());
    if let Some(date) = mail.date {
        let _ = writeln!(text, "Date: {}", date.to_rfc2822());
    }
    let _ = writeln!(text, "Subject: {}", mail.subject);
    let to: Vec<String> = mail.to.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "To: {}\n", to.join(", "));
    text.push_str(&mail.body_text);
    if mail.truncated {
        text.push_str("\n[The rest was too long to be kept.]");
    }
    let missing = mail.attachments.len();
    if missing > 0 {
        let _ = write!(text, "\n[Attachments that are not included: {missing}]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_passed_on_under_its_own_headers_and_says_what_is_left_out() {
        let mut mail = Mail::parse(
            b"From: Ada <ada@x.example>\nTo: me@acme.example\nSubject: Plan\nDate: Thu, 1 Jan 1970 00:00:00 +0000\n\nWhich one?",
        )
        .unwrap();
        mail.truncated = true;
        let text = quoted(&mail, Some("For you."));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            &lines[..3],
            ["For you.", "", "---------- Forwarded message ----------"]
        );
        for line in [
            "Subject: Plan",
            "To: me@acme.example",
            "Which one?",
            "[The rest was too long to be kept.]",
        ] {
            assert!(lines.contains(&line), "{line} is not in {text}");
        }
        assert!(lines[3].starts_with("From: ") && lines[3].contains("ada@x.example"));
        assert!(quoted(&mail, None).starts_with("-----"));
    }
}
