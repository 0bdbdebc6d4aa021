//! The planned and the executed change of an email, as the ledger stores them: [`Plan`] and [`Done`].

use crate::{
    effects::{ActionContext, Receipt},
    providers::mailbox::{MessageLocation, Role, SearchScope, Target, keyword},
};
use jobs::domain::action::{Executor, MailboxChange};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One change of one email.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// Sets or removes a flag or keyword.
    Mark { flag: String, on: bool },
    /// Moves the email to another folder.
    Put { target: Target },
}

/// The state before and the planned change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) message_id: String,
    pub(super) change: Change,
    /// The place of the email before the change.
    pub(super) spot: MessageLocation,
    /// Whether the change was in place before.
    pub(super) was: bool,
}

/// The executed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) plan: Plan,
    /// Whether we made the change; otherwise it was in place before.
    pub(super) changed: bool,
    /// The target folder of a move.
    pub(super) to: Option<String>,
}

impl Change {
    /// Returns the change of an action; none for types that do not change a mailbox.
    pub(super) fn of(action: &ActionContext<'_>) -> Option<Self> {
        let text = |field| action.params.get(field).unwrap_or_default();
        let mark = |flag: &str, on| Self::Mark {
            flag: flag.to_owned(),
            on,
        };
        let put = |role| Self::Put {
            target: Target::Role(role),
        };
        let Executor::Mailbox(change) = action.kind.spec().executor else {
            return None;
        };
        Some(match change {
            MailboxChange::AddLabel => mark(&keyword(text("label")), true),
            MailboxChange::RemoveLabel => mark(&keyword(text("label")), false),
            MailboxChange::MarkRead => mark("\\Seen", true),
            MailboxChange::Star => mark("\\Flagged", true),
            MailboxChange::Archive => put(Role::Archive),
            MailboxChange::Trash => put(Role::Trash),
            MailboxChange::ReportSpam => put(Role::Junk),
            MailboxChange::Move => Self::Put {
                target: Target::Named(text("folder").to_owned()),
            },
        })
    }

    /// Returns the folders to search: the trash only for an action that moves there.
    pub(super) fn among(&self) -> SearchScope {
        match self {
            Self::Put {
                target: Target::Role(Role::Trash),
            } => SearchScope::Anywhere,
            Self::Mark { .. } | Self::Put { .. } => SearchScope::Kept,
        }
    }

    /// Describes the change for the user.
    pub(super) fn preview(&self) -> Value {
        match self {
            Self::Mark { flag, on } => json!({ "flag": flag, "set": on }),
            Self::Put { target } => json!({ "folder": target }),
        }
    }
}

impl Plan {
    pub(super) fn packed(&self) -> Vec<u8> {
        json!(self).to_string().into_bytes()
    }

    pub(super) fn unpacked(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Done {
    pub(super) fn read(stored: &Value) -> Option<Self> {
        Self::deserialize(stored).ok()
    }

    pub(super) fn receipt(&self) -> Receipt {
        let mut receipt = self.plan.change.preview();
        receipt["changed"] = json!(self.changed);
        Receipt {
            receipt,
            before_image: Some(json!(self)),
        }
    }
}

/// Returns whether the flags contain this one, ignoring case as servers do.
pub(super) fn has(flags: &BTreeSet<String>, flag: &str) -> bool {
    flags.iter().any(|known| known.eq_ignore_ascii_case(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_and_change_survive_storage_unchanged() {
        for change in [
            Change::Mark {
                flag: "\\Seen".into(),
                on: true,
            },
            Change::Put {
                target: Target::Role(Role::Archive),
            },
            Change::Put {
                target: Target::Named("Kunden/Müller".into()),
            },
        ] {
            let plan = Plan {
                message_id: "a@b.c".into(),
                change,
                spot: MessageLocation {
                    folder: "INBOX".into(),
                    uid_validity: 7,
                    uid: 3,
                },
                was: false,
            };
            assert_eq!(Plan::unpacked(&plan.packed()).as_ref(), Some(&plan));
            let done = Done {
                plan,
                changed: true,
                to: None,
            };
            let receipt = done.receipt();
            let kept = receipt.before_image.as_ref().and_then(Done::read);
            assert_eq!(kept.as_ref(), Some(&done));
        }
    }

    #[test]
    fn trash_is_searched_for_trash_actions_only() {
        let put = |role| Change::Put {
            target: Target::Role(role),
        };
        assert_eq!(put(Role::Trash).among(), SearchScope::Anywhere);
        assert_eq!(put(Role::Archive).among(), SearchScope::Kept);
    }
}
