//! The place of an email in its thread, for email that may be a user's own answer: [`OwnAnswer`].

use super::{Mail, is_automatic};
use chrono::{DateTime, Utc};
use std::fmt;

/// So that a forged chain stays small; the thread's first and its newest emails are what is asked for.
const REFERENCES: usize = 30;

/// An email that refers to others, and who says that they wrote it. Message-IDs are in angle brackets.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnAnswer {
    /// In lower case. A claim, not a fact.
    pub by: String,
    pub message_id: Option<String>,
    /// The Message-ID that we gave it, if we sent it.
    pub own_id: Option<String>,
    /// The email that it answers.
    pub answers: Option<String>,
    /// The others of its thread, the newest first.
    pub thread: Vec<String>,
    pub at: Option<DateTime<Utc>>,
}

impl OwnAnswer {
    /// `None` for email that refers to nothing, that a machine wrote, or that its sender's domain disowns.
    pub fn of(mail: &Mail) -> Option<Self> {
        let by = mail.from.as_ref()?.addr.to_lowercase();
        if by.is_empty() || is_automatic(mail) || mail.dmarc_failed() {
            return None;
        }
        let bracketed = |id: &String| format!("<{id}>");
        let answers = mail.in_reply_to.as_ref().map(bracketed);
        let mut thread: Vec<String> = Vec::new();
        for id in mail.references.iter().rev().map(bracketed) {
            if answers.as_ref() != Some(&id) && !thread.contains(&id) && thread.len() < REFERENCES {
                thread.push(id);
            }
        }
        let refers = answers.is_some() || !thread.is_empty();
        refers.then(|| Self {
            by,
            message_id: mail.message_id.as_ref().map(bracketed),
            own_id: mail.own_id(),
            answers,
            thread,
            at: mail.date,
        })
    }
}

/// Says nothing of the email: an address must not reach a log.
impl fmt::Debug for OwnAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnAnswer")
            .field("thread", &self.thread.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(headers: &str) -> Option<OwnAnswer> {
        OwnAnswer::of(&Mail::parse(format!("{headers}\n\nYes.").as_bytes()).unwrap())
    }

    #[test]
    fn answer_names_what_it_answers_and_its_thread_once() {
        let found = written(
            "From: Me@Acme.example\nMessage-ID: <4@a>\nIn-Reply-To: <3@x>\nReferences: <1@x> <2@x> <3@x>",
        )
        .unwrap();
        assert_eq!(found.by, "me@acme.example");
        assert_eq!(found.answers.as_deref(), Some("<3@x>"));
        assert_eq!(found.thread, ["<2@x>", "<1@x>"]);
        assert!(!format!("{found:?}").contains("acme"));
    }

    #[test]
    fn what_refers_to_nothing_or_nobody_wrote_is_no_answer() {
        let answer = "From: me@acme.example\nIn-Reply-To: <3@x>";
        assert!(written(answer).is_some());
        assert_eq!(written("From: me@acme.example\nMessage-ID: <4@a>"), None);
        assert_eq!(
            written(&format!("{answer}\nAuto-Submitted: auto-replied")),
            None
        );
        let disowned = "Authentication-Results: mx.acme.example; dmarc=fail";
        assert_eq!(written(&format!("{answer}\n{disowned}")), None);
        assert_eq!(written("In-Reply-To: <3@x>"), None);
    }
}
