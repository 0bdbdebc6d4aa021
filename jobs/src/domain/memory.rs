//! A user's memory: [`NewMemory`], its level, its scope and its provenance.
//!
//! Reading a message stores no facts and no habits ([`Provenance::may_write`]), and nothing that a user said is
//! replaced by what a model or a message says ([`Provenance::may_replace`]).

mod redact;

pub use redact::for_prompt_at;

use base::str_enum;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// The longest key and the longest value of a scope.
const MAX_KEY: usize = 200;
const MAX_SCOPE: usize = 320;
/// The longest value, as JSON.
const MAX_VALUE: usize = 4_000;

str_enum! {
    /// The kind of knowledge, which decides how much of it is stored and for how long.
    #[schemars(rename = "MemoryLevel")]
    Level {
        /// Events.
        Episodic = "episodic",
        /// Facts.
        Semantic = "semantic",
        /// Procedures.
        Procedural = "procedural",
        /// Developments over a longer time.
        Narrative = "narrative",
    }
}

str_enum! {
    /// What a memory applies to.
    #[schemars(rename = "MemoryScope")]
    ScopeKind {
        /// Everything.
        Global = "global",
        /// Email of one address.
        Sender = "sender",
        /// Email of one domain.
        Domain = "domain",
        /// One topic.
        Topic = "topic",
    }
}

str_enum! {
    /// Where a memory came from.
    #[schemars(rename = "MemoryProvenance")]
    Provenance {
        /// The user stated it.
        User = "user",
        /// The user changed a proposal.
        UserEdit = "user_edit",
        /// A model concluded it.
        Llm = "llm",
        /// The text of an email.
        Email = "email",
    }
}

str_enum! {
    /// The status of a memory item.
    #[schemars(rename = "MemoryStatus")]
    Status {
        Active = "active",
        /// Its time to live ended.
        Expired = "expired",
        /// It was the least recently used when its level was full.
        Evicted = "evicted",
        /// Another item replaced it under the same key.
        Superseded = "superseded",
        /// The user deleted it.
        Deleted = "deleted",
    }
}

impl Level {
    /// How many items of this level a user has at most, pinned ones included.
    pub const fn cap(self) -> i64 {
        match self {
            Self::Episodic => 500,
            Self::Semantic => 200,
            Self::Procedural => 100,
            Self::Narrative => 50,
        }
    }

    /// How long an item lives if nobody says otherwise.
    pub const fn time_to_live(self) -> Option<TimeDelta> {
        match self {
            Self::Episodic => Some(TimeDelta::days(30)),
            Self::Narrative => Some(TimeDelta::days(180)),
            Self::Semantic | Self::Procedural => None,
        }
    }
}

impl Provenance {
    /// Reports whether the user said it.
    pub const fn is_users(self) -> bool {
        matches!(self, Self::User | Self::UserEdit)
    }

    /// Keeps memory from being poisoned: what was only read never becomes a fact or a habit.
    pub const fn may_write(self, level: Level) -> bool {
        self.is_users() || matches!(level, Level::Episodic | Level::Narrative)
    }

    /// Reports whether it may replace an item with the provenance `other`.
    pub const fn may_replace(self, other: Self) -> bool {
        self.is_users() || !other.is_users()
    }
}

/// The scope of an item: everything, or one sender, domain or topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemoryScope {
    kind: ScopeKind,
    /// In lower case; empty for a global scope.
    value: String,
}

/// A field of a new item is not valid, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct MemoryFault {
    pub field: &'static str,
    /// `MISSING_FIELD`, `INVALID_VALUE` or `TOO_LONG`.
    pub code: &'static str,
    pub message: &'static str,
}

impl MemoryScope {
    pub const fn global() -> Self {
        Self {
            kind: ScopeKind::Global,
            value: String::new(),
        }
    }

    /// # Errors
    /// If a global scope has a value, another scope has none, or the value is no address, domain or short text.
    pub fn parse(kind: ScopeKind, value: &str) -> Result<Self, MemoryFault> {
        let fault = |code, message| MemoryFault {
            field: "scope_value",
            code,
            message,
        };
        let value = value.trim().to_lowercase();
        if value.chars().count() > MAX_SCOPE {
            return Err(fault("TOO_LONG", "Must have at most 320 characters."));
        }
        let fits = match kind {
            ScopeKind::Global if !value.is_empty() => {
                return Err(fault("INVALID_VALUE", "A global scope has no value."));
            }
            ScopeKind::Global => true,
            _ if value.is_empty() => {
                return Err(fault(
                    "MISSING_FIELD",
                    "Give the sender, domain or topic that it is about.",
                ));
            }
            ScopeKind::Sender => value
                .split_once('@')
                .is_some_and(|(local, domain)| !local.is_empty() && is_domain(domain)),
            ScopeKind::Domain => is_domain(&value),
            ScopeKind::Topic => !value.chars().any(char::is_control),
        };
        if fits {
            Ok(Self { kind, value })
        } else {
            Err(fault(
                "INVALID_VALUE",
                "Give an address, a domain or a short text, as the scope asks.",
            ))
        }
    }

    /// Lists the scopes of a message from this sender: its address and its domain.
    pub fn of_sender(address: &str) -> Vec<Self> {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        [(ScopeKind::Sender, address), (ScopeKind::Domain, domain)]
            .into_iter()
            .filter_map(|(kind, value)| Self::parse(kind, value).ok())
            .collect()
    }

    pub const fn kind(&self) -> ScopeKind {
        self.kind
    }

    pub fn value(&self) -> &str {
        &self.value
    }
}

fn is_domain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control())
}

/// An item to be stored, with checked fields.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMemory {
    pub level: Level,
    pub scope: MemoryScope,
    /// Unique per user, level and scope.
    pub key: String,
    pub value: Value,
    pub provenance: Provenance,
    /// 0 to 1.
    pub confidence: f32,
    /// Never evicted, and without expiry unless one is given.
    pub pinned: bool,
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewMemory {
    /// # Errors
    /// If the key or the value is too long, the confidence is out of range, or the provenance may not write this level.
    pub fn checked(self) -> Result<Self, MemoryFault> {
        let fault = |field, code, message| {
            Err(MemoryFault {
                field,
                code,
                message,
            })
        };
        let key = self.key.trim();
        if key.is_empty() || key.chars().any(char::is_control) {
            return fault("key", "INVALID_VALUE", "Must be one line of text.");
        }
        if key.chars().count() > MAX_KEY {
            return fault("key", "TOO_LONG", "Must have at most 200 characters.");
        }
        if self.value.is_null() {
            return fault("value", "INVALID_VALUE", "There is nothing to remember.");
        }
        let json = self.value.to_string();
        if json.contains("\\u0000") {
            return fault("value", "INVALID_VALUE", "U+0000 cannot be stored.");
        }
        if json.chars().count() > MAX_VALUE {
            return fault(
                "value",
                "TOO_LONG",
                "Must have at most 4000 characters of JSON.",
            );
        }
        if !(0.0..=1.0).contains(&self.confidence) {
            return fault("confidence", "INVALID_VALUE", "Must be from 0 to 1.");
        }
        if !self.provenance.may_write(self.level) {
            return fault(
                "level",
                "INVALID_VALUE",
                "Facts and habits are only learnt from the user's own words.",
            );
        }
        let key = key.to_owned();
        Ok(Self { key, ..self })
    }

    /// Returns the expiry: the requested one, else none if it is pinned, else the level's.
    pub fn ends_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let by_level = self.level.time_to_live().map(|ttl| now + ttl);
        self.expires_at.or(by_level.filter(|_| !self.pinned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn note(level: Level, provenance: Provenance) -> NewMemory {
        NewMemory {
            level,
            scope: MemoryScope::global(),
            key: " sign-off ".into(),
            value: json!("Cheers"),
            provenance,
            confidence: 1.0,
            pinned: false,
            expires_at: None,
        }
    }

    #[test]
    fn facts_and_habits_are_only_learnt_from_the_user() {
        for level in Level::ALL.iter().copied() {
            for provenance in Provenance::ALL.iter().copied() {
                let read = matches!(provenance, Provenance::Llm | Provenance::Email);
                let lasting = matches!(level, Level::Semantic | Level::Procedural);
                assert_eq!(
                    note(level, provenance).checked().is_err(),
                    read && lasting,
                    "{level} {provenance}"
                );
            }
        }
    }

    #[test]
    fn nothing_that_the_user_said_is_replaced_by_what_was_read() {
        use Provenance::{Email, Llm, User, UserEdit};
        for (new, old) in [
            (Llm, User),
            (Email, User),
            (Llm, UserEdit),
            (Email, UserEdit),
        ] {
            assert!(!new.may_replace(old), "{new} {old}");
        }
        for (new, old) in [(User, Email), (UserEdit, User), (Llm, Email), (Email, Llm)] {
            assert!(new.may_replace(old), "{new} {old}");
        }
    }

    #[test]
    fn scope_is_one_however_it_is_capitalised_and_names_what_its_kind_asks_for() {
        let ada = MemoryScope::parse(ScopeKind::Sender, " Ada@Client.COM ").unwrap();
        assert_eq!(ada.value(), "ada@client.com");
        let of_ada = MemoryScope::of_sender("Ada@client.com");
        assert_eq!(of_ada[0], ada);
        assert_eq!(of_ada[1].value(), "client.com");
        assert!(MemoryScope::of_sender("nobody").is_empty());
        for (kind, value) in [
            (ScopeKind::Global, "x"),
            (ScopeKind::Sender, ""),
            (ScopeKind::Sender, "client.com"),
            (ScopeKind::Domain, "a@b"),
            (ScopeKind::Topic, "a\nb"),
            (ScopeKind::Topic, " "),
        ] {
            assert!(MemoryScope::parse(kind, value).is_err(), "{kind} {value}");
        }
        let long = "x".repeat(MAX_SCOPE + 1);
        assert_eq!(
            MemoryScope::parse(ScopeKind::Topic, &long).map_err(|fault| fault.code),
            Err("TOO_LONG")
        );
    }

    #[test]
    fn keys_and_values_have_their_bounds() {
        let good = note(Level::Semantic, Provenance::User);
        assert_eq!(good.clone().checked().unwrap().key, "sign-off");
        let faulty = [
            NewMemory {
                key: " ".into(),
                ..good.clone()
            },
            NewMemory {
                key: "k".repeat(MAX_KEY + 1),
                ..good.clone()
            },
            NewMemory {
                value: Value::Null,
                ..good.clone()
            },
            NewMemory {
                value: json!("v".repeat(MAX_VALUE)),
                ..good.clone()
            },
            NewMemory {
                confidence: f32::NAN,
                ..good.clone()
            },
        ];
        let fields: Vec<_> = faulty
            .into_iter()
            .map(|faulty| faulty.checked().unwrap_err().field)
            .collect();
        assert_eq!(fields, ["key", "key", "value", "value", "confidence"]);
    }

    #[test]
    fn what_is_pinned_ends_only_when_it_was_said_to() {
        let now = DateTime::UNIX_EPOCH;
        let episode = note(Level::Episodic, Provenance::Email);
        assert_eq!(episode.ends_at(now), Some(now + TimeDelta::days(30)));
        let pinned = NewMemory {
            pinned: true,
            ..episode
        };
        assert_eq!(pinned.ends_at(now), None);
        let until = Some(now + TimeDelta::days(1));
        let ending = NewMemory {
            expires_at: until,
            ..pinned
        };
        assert_eq!(ending.ends_at(now), until);
        assert_eq!(note(Level::Semantic, Provenance::User).ends_at(now), None);
    }
}
