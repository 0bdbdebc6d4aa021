//! Builds the prompt: the user's request as trusted text, the email as labelled evidence.
//!
//! The instructions are a versioned text file (`prompts.rs`); this file adds what differs per draft. The email, memories from
//! emails, and every text of a model are untrusted parts.

use super::load::{Case, answers};
use super::memory;
use super::parse_reply::{FaultClass, ReplyFault};
use crate::handlers::documents::attachment_lines;
use crate::prompts::{DRAFT, mailbox::Owner};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        draft::{DraftMode, OutgoingMessage, Tone, check, send_at},
        mail::{Address, Direction, Earlier, Mail, excerpt},
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
const RECIPIENTS: usize = 20;
/// Planned times that are shown.
const TAKEN: usize = 20;

/// Builds the question. `asked_on` is the day of submission, so that every attempt asks the same.
pub(super) fn question(
    case: &Case,
    args: &Args,
    outgoing: &OutgoingMessage,
    asked_on: DateTime<Utc>,
) -> Prompt {
    let prompt = DRAFT.prompt().trusted(Trusted::configured(&context(
        case, args, outgoing, asked_on,
    )));
    with_evidence(prompt, case, args)
}

/// Adds the email and every text that the user did not write.
fn with_evidence(mut prompt: Prompt, case: &Case, args: &Args) -> Prompt {
    if let Some((_, mail)) = &case.mail {
        prompt = prompt
            .untrusted("from", Untrusted::new(&mail.sender()))
            .untrusted("subject", Untrusted::new(&mail.subject))
            .untrusted("headers", Untrusted::new(&headers(mail)));
        if let Some(name) = case.owner().name(mail) {
            prompt = prompt.untrusted("name to sign with", Untrusted::new(&name));
        }
        if !mail.thread.is_empty() {
            prompt = prompt.untrusted("thread", Untrusted::new(&thread(mail)));
        }
        if !mail.attachments.is_empty() {
            prompt = prompt.untrusted("attachments", Untrusted::new(&attachment_lines(mail)));
        }
        prompt = prompt.untrusted("body", Untrusted::new(&excerpt(&mail.body_text, BODY)));
    }
    if let Some(suggestion) = &args.suggestion {
        prompt = prompt.untrusted("suggestion", Untrusted::new(suggestion));
    }
    if let Some(memories) = memory::other_lines(&case.memories) {
        prompt = prompt.untrusted("memory", Untrusted::new(&memories));
    }
    if let Some(corrected) = case.examples.evidence_lines() {
        prompt = prompt.untrusted("corrections", Untrusted::new(&corrected));
    }
    match case.base_text() {
        Some(text) => prompt.untrusted("draft", Untrusted::new(text)),
        None => prompt,
    }
}

/// Builds the repair: the answer and its fault. Shows the email again only if the answer held no text: one written
/// without it would be invented, and one that exists needs no second chance for the email to inject text.
pub(super) fn repair(
    case: &Case,
    args: &Args,
    outgoing: &OutgoingMessage,
    asked_on: DateTime<Utc>,
    answer: &str,
    fault: &ReplyFault,
) -> Prompt {
    let prompt = DRAFT.prompt().trusted(Trusted::configured(&context(
        case, args, outgoing, asked_on,
    )));
    let prompt = match fault.class {
        FaultClass::Json | FaultClass::Schema => with_evidence(prompt, case, args),
        FaultClass::Text(_) => prompt,
    };
    prompt
        .trusted(Trusted::fixed(
            "An earlier answer did not fit. Below are that answer and what is wrong with it. Give the whole answer again \
             with only that mended; leave out what you cannot mend.",
        ))
        .untrusted("answer", Untrusted::capped(answer, ANSWER))
        .untrusted("fault", Untrusted::new(&fault.message))
}

/// Renders the date, the task, and the user's instructions and memories.
fn context(
    case: &Case,
    args: &Args,
    outgoing: &OutgoingMessage,
    asked_on: DateTime<Utc>,
) -> String {
    let owner = case.owner();
    let mut text = owner.lines(asked_on);
    text.push_str(&taken(case, &owner));
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
        text.push_str(&format!("It goes to: {}\n", outgoing.to.join(", ")));
    }
    for (what, said) in [
        ("What the email is to achieve", &args.intent),
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
    if let Some(decisions) = case.examples.owner_lines() {
        text.push_str("How the owner corrected former drafts:\n");
        text.push_str(&decisions);
    }
    text
}

/// Renders when the owner is busy, as far as our blocks and a connected calendar say.
fn taken(case: &Case, owner: &Owner) -> String {
    let zone = send_at::zone(&owner.timezone);
    let spans: Vec<String> = case
        .taken
        .iter()
        .take(TAKEN)
        .map(|span| {
            let (start, end) = (
                span.start().with_timezone(&zone),
                span.end().with_timezone(&zone),
            );
            format!(
                "{} to {}",
                start.format("%a %Y-%m-%d %H:%M"),
                end.format("%H:%M")
            )
        })
        .collect();
    match spans.as_slice() {
        [] => String::new(),
        spans => format!(
            "The owner is busy, among other times unknown to you: {}.\n",
            spans.join("; ")
        ),
    }
}

/// Renders who got the email and when.
fn headers(mail: &Mail) -> String {
    let people = |list: &[Address]| {
        let shown = list.iter().take(RECIPIENTS).map(ToString::to_string);
        shown.collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![format!("To: {}", people(&mail.to))];
    if !mail.cc.is_empty() {
        lines.push(format!("Cc: {}", people(&mail.cc)));
    }
    lines.extend(
        mail.date
            .map(|date| format!("Date: {}", date.format("%Y-%m-%d %H:%M UTC"))),
    );
    lines.join("\n")
}

const fn task(mode: DraftMode) -> &'static str {
    match mode {
        DraftMode::Reply => "Write a reply to the message, to its sender.",
        DraftMode::ReplyAll => "Write a reply to the message, to everybody who got it.",
        DraftMode::Compose => "Write a new email. Give it a subject.",
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
mod snapshot;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::corrections::Examples;
    use jobs::{
        domain::{
            MessageId, UserId,
            blocks::Span,
            gate::TrustMode,
            mail::{Attachment, Envelope},
        },
        store::users::Correspondent,
    };
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
            follow_up_ended: false,
            quote_original: false,
            injection_suspected: false,
            base: None,
            memories: Vec::new(),
            examples: Examples::default(),
            taken: Vec::new(),
        }
    }

    #[test]
    fn text_of_a_document_is_evidence() {
        let mut case = case();
        let (_, mail) = case.mail.as_mut().unwrap();
        mail.attachments = vec![Attachment {
            name: Some("offer.pdf".into()),
            content_type: "application/pdf".into(),
            size: 9,
            text: Some("Room 12".into()),
            sha256: None,
        }];
        let args = Args::reply(MessageId::new());
        let outgoing = OutgoingMessage::default();
        let prompt = question(&case, &args, &outgoing, DateTime::UNIX_EPOCH);
        assert_eq!(
            prompt.untrusted_part("attachments"),
            Some("offer.pdf (application/pdf, 9 bytes):\nRoom 12")
        );
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
    fn repair_shows_the_email_again_only_if_the_answer_held_no_text() {
        let args = Args::reply(MessageId::new());
        let outgoing = OutgoingMessage::default();
        for (class, shown) in [
            (FaultClass::Json, true),
            (FaultClass::Schema, true),
            (FaultClass::Text(check::TextFault::Secret), false),
        ] {
            let fault = ReplyFault {
                class,
                message: "expected value".into(),
            };
            let at = DateTime::UNIX_EPOCH;
            let prompt = repair(&case(), &args, &outgoing, at, "not json", &fault);
            assert_eq!(prompt.untrusted_part("answer"), Some("not json"));
            assert_eq!(prompt.untrusted_part("body").is_some(), shown);
        }
    }

    #[test]
    fn prompt_names_the_owner_the_busy_times_and_the_name_to_sign_with() {
        let span = |start: &str, end: &str| {
            Span::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
        };
        let mut case = case();
        case.writer = Some(Correspondent {
            user: UserId::new(),
            email: "sam@acme.example".into(),
            timezone: "Europe/Berlin".into(),
        });
        case.taken = vec![span("1970-01-02T09:00:00Z", "1970-01-02T10:30:00Z")];
        case.mail = Some((
            MessageId::new(),
            Mail::parse(b"From: a@b.c\nTo: Sam Porter <sam@acme.example>\n\nHello").unwrap(),
        ));
        let args = Args::reply(MessageId::new());
        let outgoing = OutgoingMessage::default();
        let prompt = question(&case, &args, &outgoing, DateTime::UNIX_EPOCH);
        let text: String = prompt
            .render(&Boundary::random())
            .into_iter()
            .map(|message| message.content)
            .collect();
        for said in [
            "The mailbox belongs to: sam@acme.example",
            "in the zone Europe/Berlin",
            "Fri 1970-01-02 10:00 to 11:30",
        ] {
            assert!(text.contains(said), "{said}");
        }
        assert_eq!(
            prompt.untrusted_part("name to sign with"),
            Some("Sam Porter")
        );
    }
}
