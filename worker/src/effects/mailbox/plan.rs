//! What is to be done to a mail, and what was: [`Plan`] and [`Done`], as the ledger keeps them.

use crate::{
    effects::{Doing, Receipt},
    providers::mailbox::{Among, Role, Spot, Target, keyword},
};
use jobs::domain::action::{Executor, MailboxChange};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One change of one mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// A flag or keyword, set or taken off.
    Mark { flag: String, on: bool },
    /// Into another folder.
    Put { target: Target },
}

/// What was found and is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) message_id: String,
    pub(super) change: Change,
    /// Where the mail was.
    pub(super) spot: Spot,
    /// Whether it was as it is to be before we came.
    pub(super) was: bool,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) plan: Plan,
    /// Whether we did it; otherwise it was so.
    pub(super) changed: bool,
    /// The folder that it was put into.
    pub(super) to: Option<String>,
}

impl Change {
    /// `None` for a type that is not done in a mailbox.
    pub(super) fn of(doing: &Doing<'_>) -> Option<Self> {
        let text = |field| doing.params.get(field).unwrap_or_default();
        let mark = |flag: &str, on| Self::Mark {
            flag: flag.to_owned(),
            on,
        };
        let put = |role| Self::Put {
            target: Target::Role(role),
        };
        let Executor::Mailbox(change) = doing.kind.spec().executor else {
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

    /// Where the mail may be: what was thrown away can only be thrown away once more.
    pub(super) fn among(&self) -> Among {
        match self {
            Self::Put {
                target: Target::Role(Role::Trash),
            } => Among::Anywhere,
            Self::Mark { .. } | Self::Put { .. } => Among::Kept,
        }
    }

    /// For its user.
    pub(super) fn told(&self) -> Value {
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
        let mut receipt = self.plan.change.told();
        receipt["changed"] = json!(self.changed);
        Receipt {
            receipt,
            before_image: Some(json!(self)),
        }
    }
}

/// Servers do not tell upper from lower case here.
pub(super) fn has(flags: &BTreeSet<String>, flag: &str) -> bool {
    flags.iter().any(|known| known.eq_ignore_ascii_case(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_planned_is_read_as_it_was() {
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
                spot: Spot {
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
    fn only_what_is_thrown_away_is_looked_for_in_the_bin() {
        let put = |role| Change::Put {
            target: Target::Role(role),
        };
        assert_eq!(put(Role::Trash).among(), Among::Anywhere);
        assert_eq!(put(Role::Archive).among(), Among::Kept);
    }
}
