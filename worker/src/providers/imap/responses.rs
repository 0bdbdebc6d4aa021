//! Commands whose responses carry data: [`search`], [`fetch`] and [`list`], each complete or an error.
//!
//! The library's own streams end at the last line of a response and do not read whether it says OK. A server that refuses, or
//! that fails halfway, looks as if nothing were there: an email that it could not send passes for one that was deleted.

use super::line::Line;
use async_imap::{
    error::{Error, Result},
    imap_proto::{
        AttributeValue, MailboxDatum, MailboxListData, MessageSection, Response, SectionPath,
        Status,
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
        match response.parsed() {
            Response::Done { tag, status, .. } if *tag == id => {
                return match status {
                    Status::Ok => Ok(()),
                    Status::No => Err(Error::No(String::new())),
                    _ => Err(Error::Bad(String::new())),
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
                _ => {}
            }
        }
        fetched
    }
}
