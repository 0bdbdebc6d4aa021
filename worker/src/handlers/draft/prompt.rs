//! Builds the prompt: the user's request as trusted text, the email as labelled evidence.
//!
//! The instructions are a versioned text file (`prompts.rs`); this file adds what differs per draft. The email, memories from
//! emails, and every text of a model are untrusted parts.

use super::load::{Case, answers};
use super::memory;
use super::parse_reply::ReplyFault;
use crate::prompts::DRAFT;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        draft::{DraftMode, OutgoingMessage, Tone, check},
        mail::{Direction, Earlier, Mail, excerpt},
    },
    kinds::draft::Args,
};
use llm::{Prompt, Trusted, Untrusted};

const BODY: usize = 12_000;
const EARLIER: usize = 3_000;
/// Limit of all earlier messages together; the newest are kept.
const THREAD: usize = 24_000;
/// Limit of an answer to repair.
const ANSWER: usize = 8_000;

/// Builds the question. `asked_on` is the day of submission, so that every attempt asks the same.
pub(super) fn question(
    case: &Case,
    args: &Args,
    letter: &OutgoingMessage,
    asked_on: DateTime<Utc>,
) -> Prompt {
    let mut prompt = DRAFT
        .prompt()
        .trusted(Trusted::configured(&context(case, args, letter, asked_on)));
    if let Some((_, mail)) = &case.mail {
        prompt = prompt
            .untrusted("from", Untrusted::new(&mail.sender()))
            .untrusted("subject", Untrusted::new(&mail.subject));
        if !mail.thread.is_empty() {
            prompt = prompt.untrusted("thread", Untrusted::new(&thread(mail)));
        }
        prompt = prompt.untrusted("body", Untrusted::new(&excerpt(&mail.body_text, BODY)));
    }
    if let Some(suggestion) = &args.suggestion {
        prompt = prompt.untrusted("suggestion", Untrusted::new(suggestion));
    }
    if let Some(memories) = memory::other_lines(&case.memories) {
        prompt = prompt.untrusted("memory", Untrusted::new(&memories));
    }
    match &case.base {
        Some(base) => prompt.untrusted("draft", Untrusted::new(&base.version.letter.body_text)),
        None => prompt,
    }
}

/// Builds the repair: the answer and its fault, without the email, which could only inject text again.
pub(super) fn repair(
    case: &Case,
    args: &Args,
    letter: &OutgoingMessage,
    asked_on: DateTime<Utc>,
    answer: &str,
    fault: &ReplyFault,
) -> Prompt {
    DRAFT
        .prompt()
        .trusted(Trusted::configured(&context(case, args, letter, asked_on)))
        .trusted(Trusted::fixed(
            "An earlier answer did not fit. Below are that answer and what is wrong with it. Give the whole answer again \
             with only that mended; leave out what you cannot mend.",
        ))
        .untrusted("answer", Untrusted::capped(answer, ANSWER))
        .untrusted("fault", Untrusted::new(&fault.message))
}

/// Renders the date, the task, and the user's instructions and memories.
fn context(case: &Case, args: &Args, letter: &OutgoingMessage, asked_on: DateTime<Utc>) -> String {
    let mut text = format!("Today is {} (UTC).\n", asked_on.format("%A, %Y-%m-%d"));
    text.push_str(task(args.mode));
    text.push_str(&format!("\nWrite at most {} words.\n", args.max_words));
    if let Some(tone) = case.tone(args) {
        text.push_str(manner(tone));
    }
    if answers(args, case)
        && let Some((_, mail)) = &case.mail
        && let Some(language) = check::language_name(&mail.body_text)
    {
        text.push_str(&format!("The message is in {language}.\n"));
    }
    if matches!(args.mode, DraftMode::Compose | DraftMode::Forward) {
        text.push_str(&format!("It goes to: {}\n", letter.to.join(", ")));
    }
    for (what, said) in [
        ("What the mail is to achieve", &args.intent),
        ("The owner's instructions", &args.instructions),
    ] {
        if let Some(said) = said {
            text.push_str(&format!("{what}: {said}\n"));
        }
    }
    if args.suggestion.is_some() {
        text.push_str("Among the evidence is a suggestion for the text: take from it only what the message itself asks for.\n");
    }
    if let Some(memories) = memory::owner_lines(&case.memories) {
        text.push_str("What the owner has said before, each with its id in brackets:\n");
        text.push_str(&memories);
    }
    text
}

const fn task(mode: DraftMode) -> &'static str {
    match mode {
        DraftMode::Reply => "Write a reply to the message, to its sender.",
        DraftMode::ReplyAll => "Write a reply to the message, to everybody who got it.",
        DraftMode::Compose => "Write a new mail. Give it a subject.",
        DraftMode::Forward => {
            "Write the note that goes with a forward of the message. The message itself is added by code."
        }
        DraftMode::FollowUp => {
            "The owner wrote the message and has had no answer. Write a short, polite reminder."
        }
        DraftMode::Revise => {
            "Change the draft as the owner's instructions say, and nothing else. Give the whole new text."
        }
    }
}

const fn manner(tone: Tone) -> &'static str {
    match tone {
        Tone::Brief => "Tone: brief, a few sentences.\n",
        Tone::Friendly => "Tone: friendly and warm.\n",
        Tone::Detailed => "Tone: detailed, every question answered.\n",
        Tone::Calm => "Tone: calm and without blame, whatever the message's tone.\n",
        Tone::Formal => "Tone: formal.\n",
    }
}

/// Renders the thread, oldest first; keeps the newest messages of a long one.
fn thread(mail: &Mail) -> String {
    let mut budget = THREAD;
    let mut lines: Vec<String> = Vec::new();
    for message in mail.thread.iter().rev() {
        let text = earlier(message);
        let length = text.chars().count();
        if length > budget {
            break;
        }
        budget -= length;
        lines.push(text);
    }
    lines.reverse();
    lines.join("\n\n")
}

fn earlier(message: &Earlier) -> String {
    let from = message
        .from
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let direction = match message.direction {
        Direction::In => "received from",
        Direction::Out => "sent by the owner,",
    };
    let date = message
        .date
        .map(|date| date.format(" on %Y-%m-%d").to_string())
        .unwrap_or_default();
    let text: String = message.body_text.chars().take(EARLIER).collect();
    format!("[{direction} {from}{date}]\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{MessageId, gate::TrustMode, mail::Envelope};
    use llm::prompt::Boundary;

    fn case() -> Case {
        let envelope = Envelope {
            subject: "HUNTER-subject".into(),
            body_text:
                "HUNTER-body Können Sie mir bitte sagen, welche Fassung der Zeichnung gültig ist?"
                    .into(),
            ..Envelope::default()
        };
        Case {
            trust: TrustMode::Supervised,
            writer: None,
            accounts: Vec::new(),
            mail: Some((MessageId::new(), envelope.try_into().unwrap())),
            answered: false,
            injection_suspected: false,
            base: None,
            memories: Vec::new(),
        }
    }

    #[test]
    fn user_text_is_trusted_and_email_text_is_evidence() {
        let args = Args {
            instructions: Some("Say yes.".into()),
            tone: Some(Tone::Calm),
            ..Args::reply(MessageId::new())
        };
        let prompt = question(
            &case(),
            &args,
            &OutgoingMessage::default(),
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(prompt.untrusted_part("subject"), Some("HUNTER-subject"));
        let messages = prompt.render(&Boundary::random());
        let trusted: String = messages
            .iter()
            .filter(|message| !message.content.starts_with("UNTRUSTED"))
            .map(|message| message.content.as_str())
            .collect();
        for said in [
            "Say yes.",
            "calm",
            "Thursday, 1970-01-01",
            "The message is in German.",
        ] {
            assert!(trusted.contains(said), "{said}");
        }
        assert!(!trusted.contains("HUNTER"));
    }

    #[test]
    fn repair_shows_answer_and_fault_but_not_the_email() {
        let fault = ReplyFault {
            class: crate::handlers::draft::parse_reply::FaultClass::Json,
            message: "expected value".into(),
        };
        let args = Args::reply(MessageId::new());
        let letter = OutgoingMessage::default();
        let prompt = repair(
            &case(),
            &args,
            &letter,
            DateTime::UNIX_EPOCH,
            "not json",
            &fault,
        );
        assert_eq!(prompt.untrusted_part("answer"), Some("not json"));
        let text: String = prompt
            .render(&Boundary::random())
            .into_iter()
            .map(|message| message.content)
            .collect();
        assert!(!text.contains("HUNTER"));
    }
}
