//! The folders of a mailbox by name and by role: [`Folders`]. Knows what the server listed, and asks it nothing.

use super::{names, namespace::Namespace};
use crate::providers::mailbox::{Role, SearchScope, Target};
use async_imap::{imap_proto::MailboxListData, types::NameAttribute};

/// Limit of folders searched for one email.
const MAX_FOLDERS: usize = 200;

/// The folders that the server lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Folders {
    list: Vec<Folder>,
    delimiter: Option<String>,
    namespace: Namespace,
}

#[derive(Clone, Debug)]
struct Folder {
    name: String,
    role: Option<Role>,
}

impl Folders {
    pub(super) fn new(namespace: Namespace) -> Self {
        Self {
            delimiter: namespace.delimiter.clone(),
            namespace,
            list: Vec::new(),
        }
    }

    /// Adds a folder that the server lists.
    pub(super) fn listed(&mut self, folder: &MailboxListData<'_>) {
        if self.delimiter.is_none() {
            self.delimiter = folder.delimiter.as_deref().map(str::to_owned);
        }
        if !folder.name_attributes.contains(&NameAttribute::NoSelect) {
            self.list.push(Folder {
                name: folder.name.to_string(),
                role: folder.name_attributes.iter().find_map(role_of),
            });
        }
    }

    /// Adds a folder that was created since.
    pub(super) fn add(&mut self, name: String) {
        self.list.push(Folder { name, role: None });
    }

    /// Finds the folder of a role: by SPECIAL-USE, else by its usual names.
    pub(super) fn known(&self, role: Role) -> Option<&str> {
        if role == Role::Inbox {
            return Some("INBOX");
        }
        let marked = self.list.iter().find(|folder| folder.role == Some(role));
        let named = || {
            usual_names(role).iter().find_map(|usual| {
                self.list.iter().find(|folder| {
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

    /// Returns the name of a folder that the server has.
    pub(super) fn existing(&self, target: &Target) -> Option<String> {
        match target {
            Target::Role(role) => self.known(*role).map(str::to_owned),
            Target::Named(name) if name.eq_ignore_ascii_case("INBOX") => Some("INBOX".to_owned()),
            Target::Named(name) => {
                let wire = self.wire(name);
                // A folder outside the personal namespace is meant if its whole name is given.
                let names = [self.namespace.full_name(&wire), wire];
                let is_listed = |name: &String| self.list.iter().any(|folder| folder.name == *name);
                names.into_iter().rev().find(is_listed)
            }
        }
    }

    /// Returns the name under which to create a folder.
    pub(super) fn new_name(&self, target: &Target) -> String {
        match target {
            Target::Role(role) => {
                let usual = usual_names(*role).first().unwrap_or(&"Archive");
                self.namespace.full_name(usual)
            }
            Target::Named(name) => self.namespace.full_name(&self.wire(name)),
        }
    }

    /// Users write paths with a slash, whatever delimiter the server uses.
    fn wire(&self, name: &str) -> String {
        let wire = names::encode(name);
        match &self.delimiter {
            Some(delimiter) => wire.replace('/', delimiter),
            None => wire,
        }
    }

    /// Returns the folders to search, in order.
    pub(super) fn places(&self, among: SearchScope) -> Vec<String> {
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
        for folder in &self.list {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn below_the_inbox(names: &[&str]) -> Folders {
        let mut folders = Folders {
            delimiter: Some(".".into()),
            namespace: Namespace {
                prefix: "INBOX.".into(),
                delimiter: Some(".".into()),
            },
            list: Vec::new(),
        };
        for name in names {
            folders.add((*name).to_owned());
        }
        folders
    }

    #[test]
    fn folder_below_the_inbox_is_found_and_created_with_the_prefix() {
        let folders = below_the_inbox(&["INBOX", "INBOX.Trash", "shared.Team"]);
        let named = |name: &str| Target::Named(name.to_owned());
        let trash = Target::Role(Role::Trash);
        assert_eq!(folders.existing(&trash).as_deref(), Some("INBOX.Trash"));
        assert_eq!(folders.existing(&Target::Role(Role::Archive)), None);
        assert_eq!(
            folders.new_name(&Target::Role(Role::Archive)),
            "INBOX.Archive"
        );
        assert_eq!(folders.new_name(&named("Clients/Ada")), "INBOX.Clients.Ada");
        assert_eq!(
            folders.existing(&named("Trash")).as_deref(),
            Some("INBOX.Trash")
        );
        assert_eq!(
            folders.existing(&named("shared/Team")).as_deref(),
            Some("shared.Team")
        );
        assert_eq!(folders.existing(&named("inbox")).as_deref(), Some("INBOX"));
    }
}
