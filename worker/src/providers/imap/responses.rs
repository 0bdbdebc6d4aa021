//! Commands and their responses: [`open`], [`search`], [`fetch`], [`list`] and [`change`], each complete or an error.
//!
//! The library's own streams end at the last line of a response and do not read whether it says OK. A server that refuses, or
//! that fails halfway, looks as if nothing were there: an email that it could not send passes for one that was deleted.

use super::{line::Line, names};
use async_imap::{
    error::{Error, Result},
    imap_proto::{
        AttributeValue, MailboxDatum, MailboxListData, MessageSection, Outcome, Response,
        ResponseCode, SectionPath, Status,
    },
};
use chrono::{DateTime, Utc};

/// Format of INTERNALDATE (RFC 3501, `date-time`).
const DATE_TIME: &str = "%d-%b-%Y %H:%M:%S %z";

/// What a server says of an email.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub(super) uid: Option<u32>,
    pub(super) size: Option<u32>,
    pub(super) received_at: Option<DateTime<Utc>>,
    /// The whole email. Empty if the server says that it has none.
    pub(super) body: Option<Vec<u8>>,
    pub(super) header: Option<Vec<u8>>,
    pub(super) flags: Vec<String>,
    /// Gmail's.
    pub(super) labels: Vec<String>,
}

/// A folder that was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Without it, UIDs are valid for this session only.
    pub(super) uid_validity: u32,
    pub(super) uid_next: Option<u32>,
    pub(super) emails: u32,
    /// The flags that can be changed; none if the server does not say.
    pub(super) permanent_flags: Option<Vec<String>>,
}

/// Opens a folder with this command, `SELECT` or `EXAMINE`.
///
/// The library takes a warning, such as `* NO [ALERT] Mailbox is at 98% of quota` (RFC 3501 §7.1.2), for a refusal.
pub(super) async fn open(
    session: &mut async_imap::Session<Line>,
    command: &str,
    folder: &str,
) -> Result<Opened> {
    let mut opened = Opened::default();
    let command = format!("{command} {}", names::quoted(folder)?);
    run(session, &command, |response| match response {
        Response::MailboxData(MailboxDatum::Exists(emails)) => opened.emails = *emails,
        Response::Data {
            status: Status::Ok,
            outcome,
        } => match &outcome.code {
            Some(ResponseCode::UidValidity(number)) => opened.uid_validity = *number,
            Some(ResponseCode::UidNext(number)) => opened.uid_next = Some(*number),
            Some(ResponseCode::PermanentFlags(flags)) => {
                let flags = flags.iter().map(ToString::to_string);
                opened.permanent_flags = Some(flags.collect());
            }
            _ => {}
        },
        _ => {}
    })
    .await?;
    Ok(opened)
}

/// Runs a command that changes something. Returns whether the server says where it put copies (RFC 4315, COPYUID).
pub(super) async fn change(session: &mut async_imap::Session<Line>, command: &str) -> Result<bool> {
    let mut is_copied = false;
    run(session, command, |response| {
        if let Response::Data { outcome, .. } | Response::Done { outcome, .. } = response
            && let Some(ResponseCode::CopyUid(_, from, _)) = &outcome.code
        {
            is_copied |= !from.is_empty();
        }
    })
    .await?;
    Ok(is_copied)
}

/// Lists the UIDs of the emails that match.
pub(super) async fn search(
    session: &mut async_imap::Session<Line>,
    query: &str,
) -> Result<Vec<u32>> {
    let mut uids = Vec::new();
    run(session, &format!("UID SEARCH {query}"), |response| {
        if let Response::MailboxData(MailboxDatum::Search(found)) = response {
            uids.extend(found);
        }
    })
    .await?;
    Ok(uids)
}

/// Reads what is asked for of these emails. A server may also report changes of others meanwhile.
pub(super) async fn fetch(
    session: &mut async_imap::Session<Line>,
    uids: &[u32],
    query: &str,
) -> Result<Vec<Fetched>> {
    let set: Vec<String> = uids.iter().map(u32::to_string).collect();
    let mut fetched = Vec::new();
    let command = format!("UID FETCH {} {query}", set.join(","));
    run(session, &command, |response| {
        if let Response::Fetch(_, attributes) = response {
            fetched.push(Fetched::of(attributes));
        }
    })
    .await?;
    Ok(fetched)
}

/// Lists the folders that match a pattern.
pub(super) async fn list(
    session: &mut async_imap::Session<Line>,
    pattern: &str,
    mut each: impl FnMut(&MailboxListData<'_>),
) -> Result<()> {
    run(session, &format!("LIST \"\" {pattern}"), |response| {
        if let Response::MailboxData(MailboxDatum::List(folder)) = response {
            each(folder);
        }
    })
    .await
}

/// Runs a command and reads its responses to the end. An error if the server did not complete it.
async fn run(
    session: &mut async_imap::Session<Line>,
    command: &str,
    mut each: impl FnMut(&Response<'_>),
) -> Result<()> {
    let id = session.run_command(command).await?;
    while let Some(response) = session.read_response().await? {
        let response = response.parsed();
        match response {
            Response::Done {
                tag,
                status,
                outcome,
            } if *tag == id => {
                // Says whether to come back later. Codes that the library does not know are part of the text.
                each(response);
                return match status {
                    Status::Ok => Ok(()),
                    Status::No => Err(Error::No(text_of(outcome))),
                    _ => Err(Error::Bad(text_of(outcome))),
                };
            }
            Response::Data {
                status: Status::Bye,
                ..
            } => return Err(Error::ConnectionLost),
            other => each(other),
        }
    }
    Err(Error::ConnectionLost)
}

/// The text of a refusal with its code, for [`refusals`](super::refusals) only.
fn text_of(outcome: &Outcome<'_>) -> String {
    let text = outcome.information.as_deref().unwrap_or_default();
    match &outcome.code {
        Some(code) => format!("[{code:?}] {text}"),
        None => text.to_owned(),
    }
}

impl Fetched {
    fn of(attributes: &[AttributeValue<'_>]) -> Self {
        let mut fetched = Self::default();
        let owned = |data: &Option<std::borrow::Cow<'_, [u8]>>| {
            Some(data.as_deref().unwrap_or_default().to_vec())
        };
        for attribute in attributes {
            match attribute {
                AttributeValue::Uid(uid) => fetched.uid = Some(*uid),
                AttributeValue::Rfc822Size(size) => fetched.size = Some(*size),
                AttributeValue::InternalDate(text) => {
                    let date = DateTime::parse_from_str(text, DATE_TIME);
                    fetched.received_at = date.ok().map(|date| date.to_utc());
                }
                AttributeValue::BodySection {
                    section: None,
                    data,
                    ..
                }
                | AttributeValue::Rfc822(data) => fetched.body = owned(data),
                AttributeValue::BodySection {
                    section: Some(SectionPath::Full(MessageSection::Header)),
                    data,
                    ..
                } => fetched.header = owned(data),
                AttributeValue::Flags(flags) => {
                    fetched.flags = flags.iter().map(ToString::to_string).collect();
                }
                AttributeValue::GmailLabels(labels) => {
                    fetched.labels = labels.iter().map(ToString::to_string).collect();
                }
                _ => {}
            }
        }
        fetched
    }
}
