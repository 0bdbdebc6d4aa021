//! The planned and the executed change of an email, as the ledger stores them: [`Plan`] and [`Done`].

use crate::{
    effects::{ActionContext, Receipt},
    providers::mailbox::{Mark, MessageKey, MessageLocation, Role, SearchScope, Target},
};
use jobs::domain::action::{Executor, MailboxChange};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One change of one email.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// Sets or removes a flag.
    Mark { flag: String, on: bool },
    /// Sets or removes a label.
    Label { label: String, on: bool },
    /// Moves the email to another folder.
    Put { target: Target },
}

/// What a change does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Mark(Mark<'a>, bool),
    Put(&'a Target),
}

/// The state before and the planned change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    #[serde(flatten)]
    pub(super) key: MessageKey,
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
        let label = |on| Self::Label {
            label: text("label").to_owned(),
            on,
        };
        let put = |role| Self::Put {
            target: Target::Role(role),
        };
        let Executor::Mailbox(change) = action.kind.spec().executor else {
            return None;
        };
        Some(match change {
            MailboxChange::AddLabel => label(true),
            MailboxChange::RemoveLabel => label(false),
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

    pub(super) fn step(&self) -> Step<'_> {
        match self {
            Self::Mark { flag, on } => Step::Mark(Mark::Flag(flag), *on),
            Self::Label { label, on } => Step::Mark(Mark::Label(label), *on),
            Self::Put { target } => Step::Put(target),
        }
    }

    /// Returns the folders to search: the trash only for an action that moves there.
    pub(super) fn among(&self) -> SearchScope {
        match self {
            Self::Put {
                target: Target::Role(Role::Trash),
            } => SearchScope::Anywhere,
            Self::Mark { .. } | Self::Label { .. } | Self::Put { .. } => SearchScope::Kept,
        }
    }

    /// Describes the change for the user.
    pub(super) fn preview(&self) -> Value {
        match self {
            Self::Mark { flag, on } => json!({ "flag": flag, "set": on }),
            Self::Label { label, on } => json!({ "label": label, "set": on }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn plan_and_change_survive_storage_unchanged() {
        for change in [
            Change::Mark {
                flag: "\\Seen".into(),
                on: true,
            },
            Change::Label {
                label: "Needs reply".into(),
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
                key: MessageKey {
                    message_id: "a@b.c".into(),
                    date: Some(DateTime::UNIX_EPOCH),
                    is_ours: false,
                },
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
    fn plan_of_an_older_version_is_read() {
        let stored = json!({
            "message_id": "a@b.c", "was": true,
            "change": {"mark": {"flag": "Needs_reply", "on": true}},
            "spot": {"folder": "INBOX", "uid_validity": 7, "uid": 3},
        });
        let plan = Plan::unpacked(stored.to_string().as_bytes()).unwrap();
        assert_eq!(plan.key.message_id, "a@b.c");
        assert_eq!(plan.key.date, None);
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
