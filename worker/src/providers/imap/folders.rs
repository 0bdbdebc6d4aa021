//! The folders of a mailbox by name and by role: [`Folders`]. Knows what the server listed, and asks it nothing.

use super::{
    names,
    namespace::Namespace,
    usual_names::{created_name, usual_names},
};
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
    /// Gmail has no archive: what is in no other folder is in the one of all emails.
    is_gmail: bool,
}

#[derive(Clone, Debug)]
struct Folder {
    name: String,
    role: Option<Role>,
}

impl Folders {
    pub(super) fn new(namespace: Namespace, is_gmail: bool) -> Self {
        Self {
            delimiter: namespace.delimiter.clone(),
            namespace,
            is_gmail,
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
        let marked = |role| self.list.iter().find(|folder| folder.role == Some(role));
        let is_all = role == Role::Archive && self.is_gmail;
        let archive = || is_all.then(|| marked(Role::All)).flatten();
        marked(role)
            .or_else(archive)
            .or_else(|| self.named(role))
            .map(|folder| folder.name.as_str())
    }

    /// Finds the folder with a usual name of a role. One further down is of something else: `Acme/Archive` is not the archive.
    fn named(&self, role: Role) -> Option<&Folder> {
        let usual = usual_names(role);
        let ranked = self.list.iter().filter_map(|folder| {
            let (level, name) = self.own_name(&folder.name)?;
            let name = names::folded(name);
            let place = usual.iter().position(|usual| *usual == name)?;
            let is_free = folder.role.is_none();
            is_free.then_some(((level, place), folder))
        });
        ranked
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, folder)| folder)
    }

    /// The name of a folder directly in the personal namespace (level 0) or the inbox (level 1).
    fn own_name<'a>(&self, name: &'a str) -> Option<(u8, &'a str)> {
        let delimiter = self.delimiter.as_deref().unwrap_or_default();
        let is_last = |name: &&str| delimiter.is_empty() || !name.contains(delimiter);
        let below_inbox = || {
            let (inbox, name) = name.split_once(delimiter)?;
            let is_inbox = !delimiter.is_empty() && inbox.eq_ignore_ascii_case("INBOX");
            is_inbox.then_some(name)
        };
        let own = name.strip_prefix(&self.namespace.prefix).filter(is_last);
        own.map(|name| (0, name))
            .or_else(|| below_inbox().filter(is_last).map(|name| (1, name)))
    }

    /// Returns the name of a folder that the server has.
    pub(super) fn existing(&self, target: &Target) -> Option<String> {
        match target {
            Target::Role(role) => self.known(*role).map(str::to_owned),
            Target::Named(name) if name.eq_ignore_ascii_case("INBOX") => Some("INBOX".to_owned()),
            Target::Named(name) => {
                let wire = self.wire(name);
                // A folder outside the personal namespace is meant if its whole name is given.
                let names = [wire.clone(), self.namespace.full_name(&wire)];
                // Compared as text: the same name has more than one form on the wire.
                let text = |wire: &str| names::composed(&names::decode(wire));
                let find = |name: &String| {
                    let name = text(name);
                    self.list.iter().find(|folder| text(&folder.name) == name)
                };
                names
                    .iter()
                    .find_map(find)
                    .map(|folder| folder.name.clone())
            }
        }
    }

    /// Returns the name under which to create a folder.
    pub(super) fn new_name(&self, target: &Target) -> String {
        match target {
            Target::Role(role) => self.namespace.full_name(created_name(*role)),
            Target::Named(name) => self.namespace.full_name(&self.wire(name)),
        }
    }

    /// Users write paths with a slash, whatever delimiter the server uses.
    fn wire(&self, name: &str) -> String {
        let wire = names::encode(&names::composed(name));
        match &self.delimiter {
            Some(delimiter) => wire.replace('/', delimiter),
            None => wire,
        }
    }

    /// Whether this is the inbox or another folder with a role.
    pub(super) fn has_role(&self, name: &str) -> bool {
        let roles = [
            Role::Inbox,
            Role::Archive,
            Role::Trash,
            Role::Junk,
            Role::Sent,
            Role::Drafts,
            Role::All,
        ];
        roles.iter().any(|role| self.known(*role) == Some(name))
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
        let mut last = known(&[Role::Junk, Role::All]);
        // Gmail's archive is the folder of all emails.
        last.retain(|name| !places.contains(name));
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
            ..Folders::default()
        };
        for name in names {
            folders.add((*name).to_owned());
        }
        folders
    }

    fn at_the_top(names: &[&str]) -> Folders {
        let mut folders = Folders {
            delimiter: Some("/".into()),
            ..Folders::default()
        };
        for name in names {
            folders.add((*name).to_owned());
        }
        folders
    }

    #[test]
    fn role_is_of_a_folder_at_the_top_or_directly_in_the_inbox() {
        let folders = at_the_top(&["Acme/Archive", "Archive", "Acme/Trash", "INBOX/Trash"]);
        assert_eq!(folders.known(Role::Archive), Some("Archive"));
        assert_eq!(folders.known(Role::Trash), Some("INBOX/Trash"));
        assert_eq!(folders.known(Role::Junk), None);
        let folders = at_the_top(&["INBOX/Sent", "Sent", "INBOX/Old/Drafts", "Acme/Archive"]);
        assert_eq!(folders.known(Role::Sent), Some("Sent"));
        assert_eq!(folders.known(Role::Drafts), None);
        assert_eq!(folders.known(Role::Archive), None);
        let folders = below_the_inbox(&["INBOX.Acme.Archive", "shared.Trash", "INBOX.Sent"]);
        assert_eq!(folders.known(Role::Archive), None);
        assert_eq!(folders.known(Role::Trash), None);
        assert_eq!(folders.known(Role::Sent), Some("INBOX.Sent"));
    }

    #[test]
    fn role_is_known_by_its_name_in_other_languages() {
        for (role, name) in [
            (Role::Sent, "Gesendete Elemente"),
            (Role::Sent, "&AMk-l&AOk-ments envoy&AOk-s"),
            (Role::Sent, "Enviados"),
            (Role::Sent, "&kAFP4W4IMH8wojCkMMYw4A-"),
            (Role::Trash, "Papierkorb"),
            (Role::Trash, "Corbeille"),
            (Role::Trash, "Gel&APY-schte Elemente"),
            // As macOS writes it, and as a server that lists UTF-8 does.
            (Role::Trash, "Gelo&Awg-schte Elemente"),
            (Role::Trash, "Gel\u{f6}schte Elemente"),
            (Role::Drafts, "ENTW&ANw-RFE"),
            (Role::Archive, "&BBAEQARFBDgEMg-"),
        ] {
            assert_eq!(at_the_top(&["INBOX", name]).known(role), Some(name));
        }
        assert_eq!(at_the_top(&["Clients"]).known(Role::Archive), None);
    }

    #[test]
    fn usual_names_are_in_the_form_in_which_they_are_compared() {
        let roles = [
            Role::Archive,
            Role::Trash,
            Role::Junk,
            Role::Sent,
            Role::Drafts,
        ];
        for role in roles {
            for name in usual_names(role) {
                assert_eq!(names::folded(name), *name);
            }
            assert_eq!(usual_names(role)[0], created_name(role).to_lowercase());
        }
    }

    #[test]
    fn folder_that_a_user_names_is_found_in_any_form_and_created_in_one() {
        let named = |name: &str| Target::Named(name.to_owned());
        for listed in [
            "Kunden/M&APw-ller",
            "Kunden/Mu&Awg-ller",
            "Kunden/M\u{fc}ller",
        ] {
            let folders = at_the_top(&[listed]);
            for typed in ["Kunden/M\u{fc}ller", "Kunden/Mu\u{308}ller"] {
                assert_eq!(folders.existing(&named(typed)).as_deref(), Some(listed));
            }
            assert_eq!(folders.existing(&named("kunden/m\u{fc}ller")), None);
        }
        let created = at_the_top(&[]).new_name(&named("Mu\u{308}ller"));
        assert_eq!(created, "M&APw-ller");
    }

    #[test]
    fn archive_of_gmail_is_the_folder_of_all_emails() {
        let mut folders = at_the_top(&["INBOX", "Archive", "[Gmail]/All Mail"]);
        folders.list[2].role = Some(Role::All);
        assert_eq!(folders.known(Role::Archive), Some("Archive"));
        folders.is_gmail = true;
        assert_eq!(folders.known(Role::Archive), Some("[Gmail]/All Mail"));
        let places = folders.places(SearchScope::Kept);
        assert_eq!(places, ["INBOX", "[Gmail]/All Mail", "Archive"]);
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
