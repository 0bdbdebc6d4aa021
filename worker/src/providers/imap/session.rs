//! An IMAP session: [`Session`] implements [`Mailbox`].

use super::{
    super::{
        ProviderError,
        mailbox::{Mailbox, MessageLocation, SearchScope, Target},
    },
    STEP,
    folders::Folders,
    line::Line,
    names,
    namespace::Namespace,
    responses, timed_out, unreachable,
};
use async_imap::{error::Error, types::Flag};
use async_trait::async_trait;
use jobs::domain::mail::message_id_in;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;

/// Limit of emails whose Message-ID is compared, the newest first, if a search finds more than the one.
const MAX_CANDIDATES: usize = 50;

/// A logged-in session with the capabilities and folders of the server.
pub(super) struct Session {
    pub(super) inner: async_imap::Session<Line>,
    can_move: bool,
    can_expunge_one: bool,
    pub(super) can_idle: bool,
    /// The folders that the server lists.
    pub(super) folders: Folders,
    selected: Option<Selected>,
}

#[derive(Clone, Debug)]
struct Selected {
    folder: String,
    uid_validity: u32,
    writable: bool,
    takes_any_keyword: bool,
    flags: BTreeSet<String>,
}

impl Session {
    /// Reads the capabilities and folders of the server.
    pub(super) async fn begin(mut inner: async_imap::Session<Line>) -> Result<Self, ProviderError> {
        let able = read(inner.capabilities()).await?;
        let mut session = Self {
            can_move: able.has_str("MOVE"),
            can_expunge_one: able.has_str("UIDPLUS"),
            can_idle: able.has_str("IDLE"),
            folders: Folders::default(),
            selected: None,
            inner,
        };
        let namespace = if able.has_str("NAMESPACE") {
            Namespace::ask(session.inner.get_mut()).await?
        } else {
            Namespace::default()
        };
        let pattern = if able.has_str("SPECIAL-USE") {
            "\"*\" RETURN (SPECIAL-USE)"
        } else {
            "\"*\""
        };
        session.list(pattern, namespace).await?;
        Ok(session)
    }

    async fn list(&mut self, pattern: &str, namespace: Namespace) -> Result<(), ProviderError> {
        let mut folders = Folders::new(namespace);
        let listed = responses::list(&mut self.inner, pattern, |folder| folders.listed(folder));
        read(listed).await?;
        self.folders = folders;
        Ok(())
    }

    /// Selects a folder for writing or reading. Returns false if it cannot be selected.
    async fn select(&mut self, folder: &str, writable: bool) -> Result<bool, ProviderError> {
        if let Some(selected) = &self.selected
            && selected.folder == folder
            && (selected.writable || !writable)
        {
            return Ok(true);
        }
        self.selected = None;
        let opened = async {
            if writable {
                self.inner.select(folder).await
            } else {
                self.inner.examine(folder).await
            }
        };
        let opened = match timeout(STEP, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(Error::No(_) | Error::Validate(_))) => return Ok(false),
            Ok(Err(error)) => return Err(read_error(&error)),
            Err(_) => return Err(timed_out()),
        };
        // Without UIDVALIDITY, UIDs are valid for this session only.
        let uid_validity = opened.uid_validity.unwrap_or(0);
        self.selected = Some(Selected {
            folder: folder.to_owned(),
            uid_validity,
            writable,
            takes_any_keyword: opened.permanent_flags.contains(&Flag::MayCreate),
            flags: opened.permanent_flags.iter().filter_map(name_of).collect(),
        });
        Ok(true)
    }

    /// Selects the folder of an email; none if its UID is no longer valid.
    async fn at(
        &mut self,
        spot: &MessageLocation,
        writable: bool,
    ) -> Result<Option<Selected>, ProviderError> {
        if !self.select(&spot.folder, writable).await? {
            return Ok(None);
        }
        let selected = self.selected.clone();
        Ok(selected.filter(|selected| selected.uid_validity == spot.uid_validity))
    }

    /// Returns the newest of these emails that has exactly this Message-ID.
    async fn newest_with(
        &mut self,
        message_id: &str,
        found: impl IntoIterator<Item = u32>,
    ) -> Result<Option<u32>, ProviderError> {
        let mut candidates: Vec<u32> = found.into_iter().collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        candidates.truncate(MAX_CANDIDATES);
        if candidates.is_empty() {
            return Ok(None);
        }
        let query = "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
        let fetched = read(responses::fetch(&mut self.inner, &candidates, query)).await?;
        // Read by the code that read the id of the stored email, so that both are in the same form.
        let wanted = message_id_in(format!("Message-ID: {message_id}\n\n").as_bytes());
        let same = fetched.iter().filter(|mail| {
            let id = mail.header.as_deref().and_then(message_id_in);
            id.is_some() && id == wanted
        });
        Ok(same.filter_map(|mail| mail.uid).max())
    }

    async fn store(&mut self, uid: u32, change: &str) -> Result<(), ProviderError> {
        // Not a response stream, which ends silently when the connection breaks.
        let command = format!("UID STORE {uid} {change}");
        changed(self.inner.run_command_and_check_ok(command)).await
    }
}

#[async_trait]
impl Mailbox for Session {
    async fn folder(&mut self, target: &Target) -> Result<String, ProviderError> {
        if let Some(name) = self.folders.existing(target) {
            return Ok(name);
        }
        let name = self.folders.new_name(target);
        match timeout(STEP, self.inner.create(&name)).await {
            Ok(Ok(())) => {}
            // Another client may have created it meanwhile.
            Ok(Err(Error::No(_) | Error::Bad(_) | Error::Validate(_))) => {
                if !self.select(&name, false).await? {
                    return Err(ProviderError::Permanent {
                        code: "folder_refused",
                        message: "The mail server has no such folder and did not create it.".into(),
                    });
                }
            }
            Ok(Err(error)) => return Err(read_error(&error)),
            Err(_) => return Err(timed_out()),
        }
        self.folders.add(name.clone());
        Ok(name)
    }

    async fn find(
        &mut self,
        message_id: &str,
        among: SearchScope,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        for folder in self.folders.places(among) {
            let found = self.find_in(message_id, &folder).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn find_in(
        &mut self,
        message_id: &str,
        folder: &str,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        let Some(search) = names::by_message_id(message_id) else {
            return Ok(None);
        };
        // Selects again, because a server need not report new emails in a selected folder.
        self.selected = None;
        if !self.select(folder, false).await? {
            return Ok(None);
        }
        let query = format!("UNDELETED {search}");
        let found = read(responses::search(&mut self.inner, &query)).await?;
        let uid_validity = self
            .selected
            .as_ref()
            .map_or(0, |selected| selected.uid_validity);
        let newest = self.newest_with(message_id, found).await?;
        Ok(newest.map(|uid| MessageLocation {
            folder: folder.to_owned(),
            uid_validity,
            uid,
        }))
    }

    async fn flags(
        &mut self,
        spot: &MessageLocation,
    ) -> Result<Option<BTreeSet<String>>, ProviderError> {
        if self.at(spot, false).await?.is_none() {
            return Ok(None);
        }
        let fetched = read(responses::fetch(&mut self.inner, &[spot.uid], "(FLAGS)")).await?;
        let ours = fetched.iter().find(|mail| mail.uid == Some(spot.uid));
        let named = |flags: &[String]| {
            let flags = flags.iter().map(|flag| Flag::from(flag.as_str()));
            flags.filter_map(|flag| name_of(&flag)).collect()
        };
        Ok(ours.map(|mail| named(&mail.flags)))
    }

    async fn mark(
        &mut self,
        spot: &MessageLocation,
        flag: &str,
        on: bool,
    ) -> Result<(), ProviderError> {
        let selected = self.at(spot, true).await?.ok_or_else(gone)?;
        let permitted = selected.takes_any_keyword
            || selected
                .flags
                .iter()
                .any(|known| known.eq_ignore_ascii_case(flag));
        if on && !permitted {
            return Err(ProviderError::Permanent {
                code: "flag_not_kept",
                message: "The mail server does not store this flag.".into(),
            });
        }
        let sign = if on { '+' } else { '-' };
        self.store(spot.uid, &format!("{sign}FLAGS.SILENT ({flag})"))
            .await
    }

    async fn move_to(
        &mut self,
        spot: &MessageLocation,
        message_id: &str,
        folder: &str,
    ) -> Result<(), ProviderError> {
        if !self.can_move && !self.can_expunge_one {
            return Err(ProviderError::Permanent {
                code: "move_not_offered",
                message:
                    "The mail server supports neither MOVE nor UIDPLUS, so emails cannot be moved."
                        .into(),
            });
        }
        // An earlier attempt may have made the copy already.
        let copied = !self.can_move && self.find_in(message_id, folder).await?.is_some();
        self.at(spot, true).await?.ok_or_else(gone)?;
        let uid = spot.uid.to_string();
        if self.can_move {
            return changed(self.inner.uid_mv(&uid, folder)).await;
        }
        if !copied {
            changed(self.inner.uid_copy(&uid, folder)).await?;
        }
        self.store(spot.uid, "+FLAGS.SILENT (\\Deleted)").await?;
        let command = format!("UID EXPUNGE {uid}");
        changed(self.inner.run_command_and_check_ok(command)).await
    }

    async fn append(
        &mut self,
        folder: &str,
        flags: &[&str],
        bytes: &[u8],
    ) -> Result<(), ProviderError> {
        let flags = format!("({})", flags.join(" "));
        changed(self.inner.append(folder, Some(&flags), None, bytes)).await
    }

    async fn close(mut self: Box<Self>) {
        drop(timeout(Duration::from_secs(1), self.inner.logout()).await);
    }
}

fn name_of(flag: &Flag<'_>) -> Option<String> {
    let name = match flag {
        Flag::Seen => "\\Seen",
        Flag::Answered => "\\Answered",
        Flag::Flagged => "\\Flagged",
        Flag::Deleted => "\\Deleted",
        Flag::Draft => "\\Draft",
        Flag::Recent | Flag::MayCreate => return None,
        Flag::Custom(name) => name,
    };
    Some(name.to_owned())
}

fn gone() -> ProviderError {
    ProviderError::Permanent {
        code: "message_gone",
        message: "The email is no longer in the mailbox.".into(),
    }
}

/// Runs a command that changes nothing.
pub(super) async fn read<T>(
    action: impl Future<Output = Result<T, Error>>,
) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(read_error(&error)),
        Err(_) => Err(timed_out()),
    }
}

pub(super) fn read_error(error: &Error) -> ProviderError {
    match error {
        Error::No(_) | Error::Bad(_) => ProviderError::Retryable {
            code: "imap_refused",
            detail: "the server rejected a command".into(),
        },
        _ => unreachable("imap_unreachable"),
    }
}

/// Runs a command that changes something: done, refused, or unknown.
async fn changed<T>(action: impl Future<Output = Result<T, Error>>) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::No(_) | Error::Bad(_) | Error::Append | Error::Validate(_))) => {
            Err(ProviderError::Permanent {
                code: "imap_refused",
                message: "The mail server refused the change.".into(),
            })
        }
        Ok(Err(_)) | Err(_) => Err(ProviderError::Unknown {
            code: "imap_reply_lost",
            detail: "the server sent no readable response to a change".into(),
        }),
    }
}
