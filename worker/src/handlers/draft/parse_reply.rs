//! Parses the model's answer into a [`Reply`], or a [`ReplyFault`] for its one repair.
//!
//! Trusts nothing: rejects unknown fields, then applies all checks of `jobs::domain::draft::check`.

use super::load::{Case, answers};
use crate::handlers::triage::parse_reply::without_fences;
use jobs::{
    domain::{
        draft::{
            Confidence, DraftMode,
            check::{Checked, TextFault, check},
        },
        mail::text,
    },
    kinds::draft::Args,
};
use serde::Deserialize;
use uuid::Uuid;

const BODY: usize = 20_000;
const SUBJECT: usize = 200;
const ITEMS: usize = 10;
const ITEM: usize = 300;
/// The question if the model gives none.
const ANY_QUESTION: &str = "What should this mail say?";

/// A checked answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) body_text: String,
    /// For a new email only.
    pub(super) subject: Option<String>,
    pub(super) confidence: Confidence,
    pub(super) assumptions: Vec<String>,
    pub(super) open_questions: Vec<String>,
    pub(super) used_memory_ids: Vec<Uuid>,
    /// A language tag, such as `en`.
    pub(super) language: Option<String>,
}

impl Reply {
    /// Returns whether the model is too unsure to write the text.
    pub(super) fn is_question(&self) -> bool {
        self.confidence == Confidence::Low
    }

    /// Adds a question if it has none.
    pub(super) fn with_question(mut self) -> Self {
        if self.open_questions.is_empty() {
            self.open_questions.push(ANY_QUESTION.to_owned());
        }
        self
    }
}

/// The fault of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReplyFault {
    pub(super) class: FaultClass,
    /// For the model. May quote its answer, so it goes back as untrusted text and never into a log.
    pub(super) message: String,
}

/// The label of a fault in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultClass {
    Json,
    Schema,
    Text(TextFault),
}

impl FaultClass {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Schema => "schema",
            Self::Text(fault) => fault.as_str(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReply {
    body_text: String,
    subject: Option<String>,
    confidence: Confidence,
    assumptions: Vec<String>,
    open_questions: Vec<String>,
    used_memory_ids: Vec<Uuid>,
    language: String,
}

/// Parses and checks the answer.
pub(super) fn parse_reply(answer: &str, case: &Case, args: &Args) -> Result<Reply, ReplyFault> {
    let raw: RawReply = serde_json::from_str(without_fences(answer)).map_err(|error| {
        let class = if error.is_data() {
            FaultClass::Schema
        } else {
            FaultClass::Json
        };
        ReplyFault {
            class,
            message: error.to_string().chars().take(400).collect(),
        }
    })?;
    let (body_text, cut) = text::body(&raw.body_text, BODY);
    let subject = raw
        .subject
        .filter(|_| args.mode == DraftMode::Compose)
        .map(|subject| text::line(&subject, SUBJECT))
        .filter(|subject| !subject.is_empty());
    let language = raw.language.trim().to_lowercase();
    let is_tag = |c: char| c.is_ascii_lowercase() || c == '-';
    let reply = Reply {
        body_text,
        subject,
        confidence: raw.confidence,
        assumptions: lines(raw.assumptions),
        open_questions: lines(raw.open_questions),
        used_memory_ids: raw.used_memory_ids,
        language: ((2..=12).contains(&language.len()) && language.chars().all(is_tag))
            .then_some(language),
    };
    if reply.is_question() {
        return Ok(reply);
    }
    if args.mode == DraftMode::Compose && reply.subject.is_none() {
        return Err(ReplyFault {
            class: FaultClass::Schema,
            message: "subject must not be null or empty for a new mail".into(),
        });
    }
    let mut faults = faults_of(&reply, case, args);
    if cut {
        faults.insert(0, TextFault::TooLong);
    }
    match faults.first() {
        None => Ok(reply),
        Some(first) => Err(ReplyFault {
            class: FaultClass::Text(*first),
            message: faults
                .iter()
                .map(|fault| fault.advice())
                .collect::<Vec<_>>()
                .join(" "),
        }),
    }
}

fn faults_of(reply: &Reply, case: &Case, args: &Args) -> Vec<TextFault> {
    let mail = case.mail.as_ref().map(|(_, mail)| mail);
    let mut known: Vec<&str> = [&args.intent, &args.instructions]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if let Some(mail) = mail {
        known.extend([mail.subject.as_str(), mail.body_text.as_str()]);
        known.extend(mail.thread.iter().map(|earlier| earlier.body_text.as_str()));
    }
    if let Some(base) = &case.base {
        known.push(&base.version.letter.body_text);
    }
    let owner_memories: Vec<String> = case
        .memories
        .iter()
        .filter(|item| item.provenance.is_users())
        .map(|item| item.value.to_string())
        .collect();
    known.extend(owner_memories.iter().map(String::as_str));
    let shown: Vec<Uuid> = case.memories.iter().map(|item| item.id.0).collect();
    let answered = mail
        .filter(|_| answers(args, case) && args.instructions.is_none())
        .map_or("", |mail| mail.body_text.as_str());
    check(&Checked {
        text: &reply.body_text,
        max_words: args.max_words.into(),
        answers: answered,
        known: &known,
        memories: (&reply.used_memory_ids, &shown),
    })
}

fn lines(raw: Vec<String>) -> Vec<String> {
    raw.iter()
        .map(|item| text::line(item, ITEM))
        .filter(|item| !item.is_empty())
        .take(ITEMS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{MessageId, gate::TrustMode, mail::Mail};
    use serde_json::{Value, json};

    fn case() -> Case {
        let mail =
            Mail::parse(b"From: a@x.example\nSubject: Plan\n\nSee https://x.example/plan").unwrap();
        Case {
            trust: TrustMode::Supervised,
            writer: None,
            accounts: Vec::new(),
            mail: Some((MessageId::new(), mail)),
            answered: false,
            injection_suspected: false,
            base: None,
            memories: Vec::new(),
        }
    }

    fn parsed(mode: DraftMode, change: impl FnOnce(&mut Value)) -> Result<Reply, ReplyFault> {
        let mut answer = json!({
            "body_text": "Yes, see https://x.example/plan.", "subject": null, "confidence": "HIGH", "assumptions": [],
            "open_questions": [], "used_memory_ids": [], "language": "en",
        });
        change(&mut answer);
        let args = Args {
            mode,
            ..Args::reply(MessageId::new())
        };
        parse_reply(&format!("```json\n{answer}\n```"), &case(), &args)
    }

    fn class(mode: DraftMode, change: impl FnOnce(&mut Value)) -> &'static str {
        parsed(mode, change).map_or_else(|fault| fault.class.as_str(), |_| "fits")
    }

    #[test]
    fn answer_must_follow_the_schema_and_pass_all_text_checks() {
        let reply = DraftMode::Reply;
        assert_eq!(class(reply, |_| ()), "fits");
        assert_eq!(
            class(reply, |answer| answer["to"] = json!("e@x.example")),
            "schema"
        );
        assert_eq!(
            class(reply, |answer| answer["confidence"] = json!("SURE")),
            "schema"
        );
        assert_eq!(
            class(reply, |answer| answer["body_text"] = json!(" ")),
            "empty"
        );
        let linked = json!("See https://evil.example/plan.");
        assert_eq!(
            class(reply, |answer| answer["body_text"] = linked),
            "unknown_link"
        );
        let memory = json!([Uuid::now_v7()]);
        assert_eq!(
            class(reply, |answer| answer["used_memory_ids"] = memory),
            "unknown_memory"
        );
    }

    #[test]
    fn subject_of_the_model_is_used_for_a_new_email_only() {
        let subject = |answer: &mut Value| answer["subject"] = json!("Lunch\r\nBcc: e@x.example");
        assert_eq!(parsed(DraftMode::Reply, subject).unwrap().subject, None);
        let composed = parsed(DraftMode::Compose, subject).unwrap();
        assert_eq!(composed.subject.as_deref(), Some("Lunch Bcc: e@x.example"));
        assert_eq!(class(DraftMode::Compose, |_| ()), "schema");
    }

    #[test]
    fn unsure_answer_becomes_a_question_and_may_have_gaps() {
        let unsure = |answer: &mut Value| {
            answer["confidence"] = json!("LOW");
            answer["body_text"] = json!("Dear [Name]");
        };
        let reply = parsed(DraftMode::Reply, unsure).unwrap();
        assert!(reply.is_question());
        assert_eq!(
            reply.with_question().open_questions,
            ["What should this mail say?"]
        );
    }
}
