//! An IMAP session: [`Session`] implements [`Mailbox`].

use super::{
    super::{
        ProviderError,
        mailbox::{Mailbox, MessageLocation, Role, SearchScope, Target},
    },
    STEP,
    line::Line,
    names, timed_out, unreachable,
};
use async_imap::{
    error::Error,
    types::{Flag, NameAttribute},
};
use async_trait::async_trait;
use futures::TryStreamExt;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::timeout;

/// Limit of folders searched for one email.
const MAX_FOLDERS: usize = 200;

/// A logged-in session with the capabilities and folders of the server.
pub(super) struct Session {
    inner: async_imap::Session<Line>,
    can_move: bool,
    can_expunge_one: bool,
    /// The folders that the server lists.
    folders: Vec<Folder>,
    delimiter: Option<String>,
    selected: Option<Selected>,
}

#[derive(Clone, Debug)]
struct Folder {
    name: String,
    role: Option<Role>,
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
            folders: Vec::new(),
            delimiter: None,
            selected: None,
            inner,
        };
        let pattern = if able.has_str("SPECIAL-USE") {
            "\"*\" RETURN (SPECIAL-USE)"
        } else {
            "\"*\""
        };
        session.list(pattern).await?;
        Ok(session)
    }

    async fn list(&mut self, pattern: &str) -> Result<(), ProviderError> {
        let names = async {
            let names = self.inner.list(None, Some(pattern)).await?;
            names.try_collect::<Vec<_>>().await
        };
        let names = read(names).await?;
        // Detects a broken connection, which otherwise looks like a short list.
        read(self.inner.noop()).await?;
        for name in names {
            if let Some(delimiter) = name.delimiter() {
                self.delimiter = Some(delimiter.to_owned());
            }
            if !name.attributes().contains(&NameAttribute::NoSelect) {
                self.folders.push(Folder {
                    name: name.name().to_owned(),
                    role: name.attributes().iter().find_map(role_of),
                });
            }
        }
        Ok(())
    }

    /// Finds the folder of a role: by SPECIAL-USE, else by its usual names.
    fn known(&self, role: Role) -> Option<&str> {
        if role == Role::Inbox {
            return Some("INBOX");
        }
        let marked = self.folders.iter().find(|folder| folder.role == Some(role));
        let named = || {
            usual_names(role).iter().find_map(|usual| {
                self.folders.iter().find(|folder| {
                    let last = match &self.delimiter {
                        Some(delimiter) => folder.name.rsplit(delimiter.as_str()).next(),
                        None => None,
                    };
                    folder.role.is_none()
                        && last.unwrap_or(&folder.name).eq_ignore_ascii_case(usual)
                })
            })
        };
        marked.or_else(named).map(|folder| folder.name.as_str())
    }

    /// Returns the folders to search, in order.
    fn places(&self, among: SearchScope) -> Vec<String> {
        let known = |roles: &[Role]| -> Vec<String> {
            roles
                .iter()
                .filter_map(|role| self.known(*role))
                .map(str::to_owned)
                .collect()
        };
        if among == SearchScope::Sent {
            return known(&[Role::Sent, Role::All]);
        }
        let mut places = known(&[Role::Inbox, Role::Archive]);
        let last = known(&[Role::Junk, Role::All]);
        let trash = known(&[Role::Trash]);
        for folder in &self.folders {
            let name = &folder.name;
            let taken = name.eq_ignore_ascii_case("INBOX")
                || places.contains(name)
                || last.contains(name)
                || trash.contains(name);
            if !taken {
                places.push(name.clone());
            }
        }
        places.truncate(MAX_FOLDERS);
        places.extend(last);
        if among == SearchScope::Anywhere {
            places.extend(trash);
        }
        places
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

    async fn store(&mut self, uid: u32, change: &str) -> Result<(), ProviderError> {
        // Not a response stream, which ends silently when the connection breaks.
        let command = format!("UID STORE {uid} {change}");
        changed(self.inner.run_command_and_check_ok(command)).await
    }
}

#[async_trait]
impl Mailbox for Session {
    async fn folder(&mut self, target: &Target) -> Result<String, ProviderError> {
        let name = match target {
            Target::Role(role) => {
                if let Some(name) = self.known(*role) {
                    return Ok(name.to_owned());
                }
                usual_names(*role)
                    .first()
                    .map_or_else(|| "Archive".to_owned(), |name| (*name).to_owned())
            }
            Target::Named(name) if name.eq_ignore_ascii_case("INBOX") => "INBOX".to_owned(),
            Target::Named(name) => {
                let wire = names::encode(name);
                // Users write paths with a slash, whatever delimiter the server uses.
                match &self.delimiter {
                    Some(delimiter) => wire.replace('/', delimiter),
                    None => wire,
                }
            }
        };
        if self.folders.iter().any(|folder| folder.name == name) || name == "INBOX" {
            return Ok(name);
        }
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
        self.folders.push(Folder {
            name: name.clone(),
            role: None,
        });
        Ok(name)
    }

    async fn find(
        &mut self,
        message_id: &str,
        among: SearchScope,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        for folder in self.places(among) {
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
        let found = read(self.inner.uid_search(format!("UNDELETED {search}"))).await?;
        let uid_validity = self
            .selected
            .as_ref()
            .map_or(0, |selected| selected.uid_validity);
        Ok(found.into_iter().max().map(|uid| MessageLocation {
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
        let fetched = async {
            let stream = self
                .inner
                .uid_fetch(spot.uid.to_string(), "(FLAGS)")
                .await?;
            stream.try_collect::<Vec<_>>().await
        };
        let fetched = read(fetched).await?;
        // Detects a broken connection, which otherwise looks like an empty response.
        read(self.inner.noop()).await?;
        let ours = fetched.iter().find(|mail| mail.uid == Some(spot.uid));
        Ok(ours.map(|mail| mail.flags().filter_map(|flag| name_of(&flag)).collect()))
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
                message: "The mail server supports neither MOVE nor UIDPLUS, so that emails cannot be moved.".into(),
            });
        }
        // An earlier try may have made the copy already.
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

fn role_of(attribute: &NameAttribute<'_>) -> Option<Role> {
    match attribute {
        NameAttribute::Archive => Some(Role::Archive),
        NameAttribute::Trash => Some(Role::Trash),
        NameAttribute::Junk => Some(Role::Junk),
        NameAttribute::Sent => Some(Role::Sent),
        NameAttribute::Drafts => Some(Role::Drafts),
        NameAttribute::All => Some(Role::All),
        _ => None,
    }
}

/// Returns the usual names of a role; the first is created if none exists.
const fn usual_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Inbox => &["INBOX"],
        Role::Archive => &["Archive", "Archives"],
        Role::Trash => &["Trash", "Deleted Items", "Deleted Messages"],
        Role::Junk => &["Junk", "Spam", "Junk E-mail"],
        Role::Sent => &["Sent", "Sent Items", "Sent Messages"],
        Role::Drafts => &["Drafts"],
        Role::All => &[],
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
async fn read<T>(action: impl Future<Output = Result<T, Error>>) -> Result<T, ProviderError> {
    match timeout(STEP, action).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(read_error(&error)),
        Err(_) => Err(timed_out()),
    }
}

fn read_error(error: &Error) -> ProviderError {
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
