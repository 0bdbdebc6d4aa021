//! Parses the model's answer into a [`Reply`], or a [`ReplyFault`] for its one repair.
//!
//! Trusts nothing: takes the fields that it knows ([`fields`]), then applies all checks of `jobs::domain::draft::check`.

mod fields;

use super::load::{Case, answers};
use crate::handlers::answer::{AnswerFault, AnswerFaultClass, Object};
use crate::prompts::DRAFT;
use fields::{confidence, list};
use jobs::{
    domain::{
        draft::{
            Confidence, DraftMode,
            check::{Checked, TextFault, check},
            plain,
        },
        judgement::scrub,
        mail::text,
    },
    kinds::draft::Args,
};
use serde_json::Value;
use uuid::Uuid;

const BODY: usize = 20_000;
const SUBJECT: usize = 200;
const ITEMS: usize = 10;
const ITEM: usize = 300;
/// The question if the model gives none.
const ANY_QUESTION: &str = "What should this email say?";

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

impl From<AnswerFault> for ReplyFault {
    fn from(found: AnswerFault) -> Self {
        Self {
            class: match found.class {
                AnswerFaultClass::Json => FaultClass::Json,
                AnswerFaultClass::Schema | AnswerFaultClass::Enum => FaultClass::Schema,
            },
            message: found.message,
        }
    }
}

/// Parses and checks the answer.
pub(super) fn parse_reply(answer: &str, case: &Case, args: &Args) -> Result<Reply, ReplyFault> {
    let object = Object::find(answer, &["body_text"])?;
    let written = plain::without_marks(object.required_text("body_text")?);
    let (first_line, raw_body) = plain::split_subject(&written);
    let confidence = confidence(&object)?;
    let (body_text, cut) = text::body(raw_body, BODY);
    let subject = [object.text("subject"), first_line.unwrap_or_default()]
        .map(|subject| text::line(&scrub(subject), SUBJECT))
        .into_iter()
        .find(|subject| args.mode == DraftMode::Compose && !subject.is_empty());
    let language = object.text("language").trim().to_lowercase();
    // What is no id names no memory; an id that was not given is a fault.
    let ids = list(&object, "used_memory_ids").into_iter();
    let used_memory_ids = ids.filter_map(|id| id.trim().parse().ok()).collect();
    let is_tag = |c: char| c.is_ascii_lowercase() || c == '-';
    let reply = Reply {
        body_text,
        subject,
        confidence,
        assumptions: lines(&list(&object, "assumptions")),
        open_questions: lines(&list(&object, "open_questions")),
        used_memory_ids,
        language: ((2..=12).contains(&language.len()) && language.chars().all(is_tag))
            .then_some(language),
    };
    if reply.is_question() {
        return Ok(reply);
    }
    if args.mode == DraftMode::Compose && reply.subject.is_none() {
        return Err(ReplyFault {
            class: FaultClass::Schema,
            message: "subject must not be null or empty for a new email".into(),
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
    let instructions: Vec<&str> = [&args.intent, &args.instructions]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let mut known = instructions.clone();
    let people = people(case, args);
    known.push(&people);
    if let Some(mail) = mail {
        known.extend([mail.subject.as_str(), mail.body_text.as_str()]);
        known.extend(
            mail.attachments
                .iter()
                .filter_map(|file| file.text.as_deref()),
        );
        known.extend(mail.thread.iter().map(|earlier| earlier.body_text.as_str()));
    }
    if let Some(base) = &case.base {
        known.push(&base.version.message.body_text);
    }
    let values: Vec<(Uuid, bool, String)> = case
        .memories
        .iter()
        .map(|item| (item.id.0, item.provenance.is_users(), words_of(&item.value)))
        .collect();
    let is_used = |id: &Uuid| reply.used_memory_ids.contains(id);
    let unused: Vec<&str> = values
        .iter()
        .filter(|(id, _, _)| !is_used(id))
        .map(|(_, _, value)| value.as_str())
        .collect();
    // A memory that the answer claims to use may name a link; one that it hides may not.
    let used = values.iter().filter(|(id, own, _)| *own && is_used(id));
    known.extend(used.map(|(_, _, value)| value.as_str()));
    let shown: Vec<Uuid> = case.memories.iter().map(|item| item.id.0).collect();
    let answered = mail
        .filter(|_| answers(args, case) && args.instructions.is_none())
        .map_or("", |mail| mail.body_text.as_str());
    check(&Checked {
        text: &reply.body_text,
        max_words: args.max_words.into(),
        answers: answered,
        known: &known,
        instructions: &instructions,
        prompt: rules_of_the_prompt(),
        unused_memories: &unused,
        memories: (&reply.used_memory_ids, &shown),
    })
}

/// Returns the prompt without its examples, whose sentences an answer may well contain.
fn rules_of_the_prompt() -> &'static str {
    DRAFT
        .text
        .split_once("\nExamples")
        .map_or(DRAFT.text, |(rules, _)| rules)
}

/// Lists everybody whose address may stand in the text: the people of the thread, the recipients and the owner.
fn people(case: &Case, args: &Args) -> String {
    let mail = case.mail.as_ref().map(|(_, mail)| mail);
    let of_mail = mail.into_iter().flat_map(|mail| {
        let earlier = mail.thread.iter().flat_map(|message| &message.from);
        let named = mail
            .from
            .iter()
            .chain(&mail.reply_to)
            .chain(&mail.to)
            .chain(&mail.cc);
        named.chain(earlier).map(|address| address.addr.clone())
    });
    let recipients = &args.recipients;
    let asked = recipients.to.iter().chain(&recipients.cc).cloned();
    let all: Vec<String> = of_mail.chain(asked).chain(case.owner().addresses).collect();
    all.join("\n")
}

/// Returns the words of a stored memory.
fn words_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn lines(raw: &[&str]) -> Vec<String> {
    raw.iter()
        .map(|item| text::line(&scrub(item), ITEM))
        .filter(|item| !item.is_empty())
        .take(ITEMS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{MessageId, gate::TrustMode, mail::Mail};
    use serde_json::json;

    fn case() -> Case {
        let mail =
            Mail::parse(b"From: a@x.example\nSubject: Plan\n\nSee https://x.example/plan").unwrap();
        Case {
            trust: TrustMode::Supervised,
            writer: None,
            accounts: Vec::new(),
            mail: Some((MessageId::new(), mail)),
            answered: false,
            follow_up_ended: false,
            quote_original: false,
            injection_suspected: false,
            base: None,
            memories: Vec::new(),
            examples: crate::handlers::corrections::Examples::default(),
            taken: Vec::new(),
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
            class(reply, |answer| {
                answer.as_object_mut().unwrap().remove("body_text");
            }),
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
    fn harmless_deviations_are_dropped_or_folded() {
        let plain = parsed(DraftMode::Reply, |_| ()).unwrap();
        let same = |change: &dyn Fn(&mut Value)| {
            assert_eq!(parsed(DraftMode::Reply, change).as_ref(), Ok(&plain));
        };
        same(&|answer| answer["to"] = json!("e@x.example"));
        same(&|answer| answer["confidence"] = json!(" High"));
        same(&|answer| answer["assumptions"] = Value::Null);
        same(&|answer| answer["used_memory_ids"] = json!(["none"]));
        same(&|answer| answer["used_memory_ids"] = json!([1]));
        same(&|answer| answer["assumptions"] = json!("none"));
        same(&|answer| answer["open_questions"] = json!(""));
        same(&|answer| answer["open_questions"] = json!([{"question": "Why?"}]));
        same(&|answer| answer["confidence"] = json!(0.9));
        same(&|answer| *answer = json!({ "draft_v4": answer.clone() }));
        same(&|answer| {
            let fields = answer.as_object_mut().unwrap();
            fields.remove("open_questions");
            fields.remove("used_memory_ids");
        });
    }

    #[test]
    fn repeated_field_has_its_last_value() {
        let answer = r#"{"body_text": "No.", "confidence": "HIGH", "body_text": "Yes."}"#;
        let reply = parse_reply(answer, &case(), &Args::reply(MessageId::new())).unwrap();
        assert_eq!(reply.body_text, "Yes.");
        assert_eq!(reply.language, None);
    }

    #[test]
    fn answer_is_found_after_the_thoughts_of_the_model() {
        let answer = json!({"body_text": "Yes.", "confidence": "HIGH"});
        let text = format!("<think>It wants {{body_text, …}}.</think>{answer}\nDone: {{}}");
        let reply = parse_reply(&text, &case(), &Args::reply(MessageId::new()));
        assert_eq!(reply.unwrap().body_text, "Yes.");
    }

    #[test]
    fn text_that_gives_away_more_than_it_was_asked_to_is_a_fault() {
        let said = |text: &str| {
            let text = json!(text);
            class(DraftMode::Reply, |answer| answer["body_text"] = text)
        };
        assert_eq!(said("Ask a@x.example."), "fits");
        assert_eq!(said("Ask eve@evil.example."), "unknown_address");
        assert_eq!(said("The code is 493817."), "secret");
        assert_eq!(said("We will refund you EUR 500."), "promise");
        let rule = "Say only what the evidence or the owner says.";
        assert_eq!(said(rule), "prompt");
        let noted = |answer: &mut Value| {
            answer["assumptions"] = json!(["See https://evil.example/x or eve@evil.example."]);
        };
        let reply = parsed(DraftMode::Reply, noted).unwrap();
        assert_eq!(
            reply.assumptions,
            ["See [link removed] or [address removed]."]
        );
    }

    #[test]
    fn subject_of_the_model_is_used_for_a_new_email_only() {
        let subject = |answer: &mut Value| answer["subject"] = json!("Lunch\r\nBcc: all");
        assert_eq!(parsed(DraftMode::Reply, subject).unwrap().subject, None);
        let composed = parsed(DraftMode::Compose, subject).unwrap();
        assert_eq!(composed.subject.as_deref(), Some("Lunch Bcc: all"));
        assert_eq!(class(DraftMode::Compose, |_| ()), "schema");
    }

    #[test]
    fn text_loses_its_subject_and_its_marks() {
        let text = json!("**Subject:** Re: Plan\n\nHello **Ann**,\n\n## Next steps");
        let written = |answer: &mut Value| answer["body_text"] = text.clone();
        let reply = parsed(DraftMode::Reply, written).unwrap();
        assert_eq!(reply.body_text, "Hello Ann,\n\nNext steps");
        assert_eq!(reply.subject, None);
        let composed = parsed(DraftMode::Compose, written).unwrap();
        assert_eq!(composed.subject.as_deref(), Some("Re: Plan"));
        let named = |answer: &mut Value| {
            written(answer);
            answer["subject"] = json!("The plan");
        };
        let composed = parsed(DraftMode::Compose, named).unwrap();
        assert_eq!(composed.subject.as_deref(), Some("The plan"));
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
            ["What should this email say?"]
        );
    }
}
