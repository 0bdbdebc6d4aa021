//! An IMAP session: [`Session`] implements [`Mailbox`].

use super::{
    super::{
        ProviderError,
        mailbox::{Mailbox, Mark, MessageKey, MessageLocation, Moved, SearchScope, Target},
    },
    STEP,
    folders::Folders,
    line::Line,
    names,
    namespace::Namespace,
    opening,
    outcomes::{change_error, changed, read, read_error},
    refusals, responses, timed_out,
};
use async_imap::error::Error;
use async_trait::async_trait;
use std::time::Duration;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

/// Limit of folders that are searched by date.
const MAX_DATED: usize = 5;

/// A logged-in session with the capabilities and folders of the server.
pub(super) struct Session {
    pub(super) inner: async_imap::Session<Line>,
    can_move: bool,
    can_expunge_one: bool,
    pub(super) can_idle: bool,
    /// Whether labels are Gmail's own.
    pub(super) is_gmail: bool,
    /// The folders that the server lists.
    pub(super) folders: Folders,
    pub(super) selected: Option<Selected>,
    /// Kept until the session ends.
    pub(super) slot: OwnedSemaphorePermit,
}

/// The folder that is open.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    folder: String,
    pub(super) uid_validity: u32,
    writable: bool,
    /// The flags that can be changed; none if the server does not say.
    flags: Option<Vec<String>>,
}

impl Selected {
    /// Whether the server keeps this flag. One that does not say keeps all (RFC 3501 §7.1).
    pub(super) fn keeps(&self, flag: &str) -> bool {
        let is_known = |known: &String| known == "\\*" || known.eq_ignore_ascii_case(flag);
        self.flags
            .as_ref()
            .is_none_or(|flags| flags.iter().any(is_known))
    }
}

impl Session {
    /// Reads the capabilities and folders of the server.
    pub(super) async fn begin(
        mut inner: async_imap::Session<Line>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Self, ProviderError> {
        let able = read(inner.capabilities()).await?;
        let mut session = Self {
            can_move: able.has_str("MOVE"),
            can_expunge_one: able.has_str("UIDPLUS"),
            can_idle: able.has_str("IDLE"),
            is_gmail: able.has_str("X-GM-EXT-1"),
            folders: Folders::default(),
            selected: None,
            slot,
            inner,
        };
        let namespace = if able.has_str("NAMESPACE") {
            Namespace::ask(session.inner.get_mut()).await?
        } else {
            Namespace::default()
        };
        if able.has_str("SPECIAL-USE") {
            let pattern = "\"*\" RETURN (SPECIAL-USE)";
            let listed = session.list(pattern, namespace.clone()).await;
            match listed {
                // A server without LIST-EXTENDED may refuse to return something; it marks the folders unasked (RFC 6154 §2).
                Err(error) if error.code() == "imap_refused" => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(session),
            }
        }
        session.list("\"*\"", namespace).await?;
        Ok(session)
    }

    async fn list(&mut self, pattern: &str, namespace: Namespace) -> Result<(), ProviderError> {
        let mut folders = Folders::new(namespace, self.is_gmail);
        let listed = responses::list(&mut self.inner, pattern, |folder| folders.listed(folder));
        read(listed).await?;
        self.folders = folders;
        Ok(())
    }

    /// Selects a folder for writing or reading. Returns false if it cannot be selected.
    pub(super) async fn select(
        &mut self,
        folder: &str,
        writable: bool,
    ) -> Result<bool, ProviderError> {
        if let Some(selected) = &self.selected
            && selected.folder == folder
            && (selected.writable || !writable)
        {
            return Ok(true);
        }
        self.selected = None;
        let command = if writable { "SELECT" } else { "EXAMINE" };
        let opened = opening::open(&mut self.inner, command, folder).await?;
        self.selected = opened.map(|opened| Selected {
            folder: folder.to_owned(),
            uid_validity: opened.uid_validity,
            writable,
            flags: opened.permanent_flags,
        });
        Ok(self.selected.is_some())
    }

    /// Selects the folder of an email. Returns false if its UID is no longer valid.
    async fn is_at(
        &mut self,
        spot: &MessageLocation,
        writable: bool,
    ) -> Result<bool, ProviderError> {
        if !self.select(&spot.folder, writable).await? {
            return Ok(false);
        }
        let selected = self.selected.as_ref();
        Ok(selected.is_some_and(|selected| selected.uid_validity == spot.uid_validity))
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
            Ok(Err(Error::No(text) | Error::Bad(text))) if refusals::is_temporary(&text) => {
                return Err(read_error(&Error::No(text)));
            }
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
        key: &MessageKey,
        among: SearchScope,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        // A folder that the server does not open keeps nobody from finding the email in another. If it is in none, one that the
        // server never opens, such as a colleague's, does not keep it from being gone.
        let mut unread = None;
        let places = self.folders.places(among);
        for folder in &places {
            match self.find_by_id(key, folder).await {
                Ok(None) => {}
                Err(error) if error.code() == "imap_refused" => {
                    if self.folders.has_role(folder) {
                        unread = Some(error);
                    }
                }
                ended => return ended,
            }
        }
        if let Some(error) = unread {
            return Err(error);
        }
        for folder in places.iter().take(MAX_DATED) {
            let found = self.find_by_date(key, folder).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn find_in(
        &mut self,
        key: &MessageKey,
        folder: &str,
    ) -> Result<Option<MessageLocation>, ProviderError> {
        match self.find_by_id(key, folder).await? {
            Some(found) => Ok(Some(found)),
            None => self.find_by_date(key, folder).await,
        }
    }

    async fn has_mark(
        &mut self,
        spot: &MessageLocation,
        mark: Mark<'_>,
    ) -> Result<Option<bool>, ProviderError> {
        if self.is_at(spot, false).await? {
            self.is_marked(spot, mark).await
        } else {
            Ok(None)
        }
    }

    async fn mark(
        &mut self,
        spot: &MessageLocation,
        mark: Mark<'_>,
        on: bool,
    ) -> Result<(), ProviderError> {
        if !self.is_at(spot, true).await? {
            return Err(gone());
        }
        self.set_mark(spot.uid, mark, on).await
    }

    async fn move_to(
        &mut self,
        spot: &MessageLocation,
        key: &MessageKey,
        folder: &str,
    ) -> Result<Moved, ProviderError> {
        if !self.can_move && !self.can_expunge_one {
            return Err(ProviderError::Permanent {
                code: "move_not_offered",
                message:
                    "The mail server supports neither MOVE nor UIDPLUS, so emails cannot be moved."
                        .into(),
            });
        }
        // An earlier attempt may have made the copy already.
        let copied = !self.can_move && self.find_in(key, folder).await?.is_some();
        if !self.is_at(spot, true).await? {
            return Err(gone());
        }
        let uid = spot.uid;
        let target = names::quoted(folder).map_err(|error| change_error(&error))?;
        if self.can_move {
            let command = format!("UID MOVE {uid} {target}");
            let is_copied = changed(responses::change(&mut self.inner, &command)).await?;
            return Ok(moved(is_copied));
        }
        let mut is_copied = copied;
        if !copied {
            let command = format!("UID COPY {uid} {target}");
            is_copied = changed(responses::change(&mut self.inner, &command)).await?;
        }
        self.store(uid, "+FLAGS.SILENT (\\Deleted)").await?;
        let command = format!("UID EXPUNGE {uid}");
        changed(responses::change(&mut self.inner, &command)).await?;
        Ok(moved(is_copied))
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

fn moved(is_copied: bool) -> Moved {
    if is_copied {
        Moved::Located
    } else {
        Moved::Accepted
    }
}

fn gone() -> ProviderError {
    ProviderError::Permanent {
        code: "message_gone",
        message: "The email is no longer in the mailbox.".into(),
    }
}
