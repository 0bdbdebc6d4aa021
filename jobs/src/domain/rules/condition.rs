//! The conditions of a rule: [`Match`], compiled, against a [`View`] of a message. Pure and total: no message makes it
//! fail.

use super::glob::Glob;
use crate::domain::mail::{Address, Mail};
use regex::Regex;

/// How a rule's conditions are joined. Several values of one field are alternatives in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Op {
    #[default]
    And,
    Or,
}

/// The static conditions of a rule; an empty list and `None` match everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Match {
    pub(super) from: Vec<Glob>,
    pub(super) to: Vec<Glob>,
    pub(super) cc: Vec<Glob>,
    pub(super) subject: Option<TextMatch>,
    pub(super) body: Option<TextMatch>,
    pub(super) header: Vec<HeaderMatch>,
    pub(super) list: Option<ListMatch>,
    pub(super) has_attachment: Option<AttachmentMatch>,
    pub(super) is_reply: Option<bool>,
}

/// Either kind of test is enough.
#[derive(Clone, Debug, Default)]
pub(super) struct TextMatch {
    /// Lower case.
    pub(super) contains: Vec<String>,
    pub(super) regex: Option<Regex>,
}

#[derive(Clone, Debug)]
pub(super) struct HeaderMatch {
    /// Lower case.
    pub(super) name: String,
    /// `None` asks for the header's presence.
    pub(super) value: Option<TextMatch>,
}

#[derive(Clone, Debug)]
pub(super) enum ListMatch {
    Is(bool),
    Id(Glob),
}

#[derive(Clone, Debug)]
pub(super) enum AttachmentMatch {
    Any(bool),
    Named(Glob),
}

/// A learned pattern: a sender, a subject, or both.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    pub(super) from: Vec<Glob>,
    pub(super) subject: Option<TextMatch>,
}

/// A message with its lower-case forms, made once for all rules.
pub(super) struct View<'m> {
    pub(super) mail: &'m Mail,
    subject: String,
    body: String,
}

impl<'m> View<'m> {
    pub(super) fn of(mail: &'m Mail) -> Self {
        Self {
            mail,
            subject: mail.subject.to_lowercase(),
            body: mail.body_text.to_lowercase(),
        }
    }
}

impl Match {
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes(None).is_empty()
    }

    pub(super) fn holds(&self, op: Op, view: &View<'_>) -> bool {
        let outcomes = self.outcomes(Some(view));
        match op {
            Op::And => outcomes.iter().all(|held| *held),
            Op::Or => outcomes.iter().any(|held| *held),
        }
    }

    /// Returns one outcome per condition that is present; without a message only their number means something.
    fn outcomes(&self, view: Option<&View<'_>>) -> Vec<bool> {
        let mut outcomes = Vec::new();
        let mut test = |present: bool, held: &dyn Fn(&View<'_>) -> bool| {
            if present {
                outcomes.push(view.is_some_and(held));
            }
        };
        test(!self.from.is_empty(), &|v| {
            any_address(&self.from, v.mail.from.as_slice())
        });
        test(!self.to.is_empty(), &|v| any_address(&self.to, &v.mail.to));
        test(!self.cc.is_empty(), &|v| any_address(&self.cc, &v.mail.cc));
        test(self.subject.is_some(), &|v| {
            text_holds(self.subject.as_ref(), &v.mail.subject, &v.subject)
        });
        test(self.body.is_some(), &|v| {
            text_holds(self.body.as_ref(), &v.mail.body_text, &v.body)
        });
        for header in &self.header {
            test(true, &|v| header.holds(v.mail));
        }
        test(self.list.is_some(), &|v| {
            self.list.as_ref().is_some_and(|list| list.holds(v.mail))
        });
        test(self.has_attachment.is_some(), &|v| {
            self.has_attachment
                .as_ref()
                .is_some_and(|attachment| attachment.holds(v.mail))
        });
        test(self.is_reply.is_some(), &|v| {
            self.is_reply == Some(v.mail.is_reply())
        });
        outcomes
    }
}

impl Learned {
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        let from = self.from.is_empty() || any_address(&self.from, view.mail.from.as_slice());
        let subject = self.subject.is_none()
            || text_holds(self.subject.as_ref(), &view.mail.subject, &view.subject);
        from && subject
    }
}

impl TextMatch {
    fn holds(&self, text: &str, lower: &str) -> bool {
        self.contains
            .iter()
            .any(|needle| lower.contains(needle.as_str()))
            || self
                .regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(text))
    }
}

impl HeaderMatch {
    /// Headers may be repeated; one match is enough.
    fn holds(&self, mail: &Mail) -> bool {
        mail.headers
            .iter()
            .filter(|(name, _)| *name == self.name)
            .any(|(_, value)| {
                self.value
                    .as_ref()
                    .is_none_or(|test| test.holds(value, &value.to_lowercase()))
            })
    }
}

impl ListMatch {
    fn holds(&self, mail: &Mail) -> bool {
        match self {
            Self::Is(wanted) => {
                *wanted == (mail.list_id.is_some() || mail.list_unsubscribe.is_some())
            }
            Self::Id(glob) => mail.list_id.as_deref().is_some_and(|id| {
                // `Description <list.example.org>`: the pattern may be for the whole or for the id alone.
                let inner = id
                    .rsplit_once('<')
                    .map_or(id, |(_, inner)| inner.trim_end_matches('>'));
                glob.matches_text(id) || glob.matches_text(inner)
            }),
        }
    }
}

impl AttachmentMatch {
    fn holds(&self, mail: &Mail) -> bool {
        match self {
            Self::Any(wanted) => *wanted != mail.attachments.is_empty(),
            Self::Named(glob) => mail
                .attachments
                .iter()
                .filter_map(|file| file.name.as_deref())
                .any(|name| glob.matches_text(name)),
        }
    }
}

fn any_address(globs: &[Glob], addresses: &[Address]) -> bool {
    addresses
        .iter()
        .any(|address| globs.iter().any(|glob| glob.matches_address(address)))
}

fn text_holds(test: Option<&TextMatch>, text: &str, lower: &str) -> bool {
    test.is_some_and(|test| test.holds(text, lower))
}
