//! Builds the prompt: trusted context of our own, and the email as labelled evidence.
//!
//! The instructions are a versioned text file (`prompts.rs`); this file adds what differs per email. The email goes into
//! untrusted parts only.

use super::load::Case;
use super::parse_reply::ReplyFault;
use crate::handlers::{documents::attachment_lines, draft::memory};
use crate::prompts::TRIAGE;
use chrono::{DateTime, Utc};
use jobs::domain::{
    action::{ActionType, FieldKind, OpenTo},
    mail::{Direction, Earlier, Mail, excerpt},
    rules::{Rule, Verdict},
};
use llm::{Prompt, Trusted, Untrusted};

/// Limit of the body, enough to judge an email by.
const BODY: usize = 12_000;
const EARLIER: usize = 500;
const EARLIER_MESSAGES: usize = 20;
const RECIPIENTS: usize = 20;
/// Limit of an answer to repair.
const ANSWER: usize = 6_000;

/// Builds the question. `asked_on` is the day of submission, so that every attempt asks the same.
pub(super) fn question(case: &Case, verdict: &Verdict<'_>, asked_on: DateTime<Utc>) -> Prompt {
    question_by(TRIAGE.prompt(), case, verdict, asked_on)
}

/// Builds the question after other instructions.
pub(super) fn question_by(
    instructions: Prompt,
    case: &Case,
    verdict: &Verdict<'_>,
    asked_on: DateTime<Utc>,
) -> Prompt {
    let context = context(case, verdict, asked_on);
    with_email(instructions.trusted(Trusted::configured(&context)), case)
}

/// Adds the email and what was read elsewhere, as evidence.
fn with_email(prompt: Prompt, case: &Case) -> Prompt {
    let mail = &case.mail;
    let mut prompt = prompt
        .untrusted("from", Untrusted::new(&mail.sender()))
        .untrusted("subject", Untrusted::new(&mail.subject))
        .untrusted("headers", Untrusted::new(&headers(mail)));
    if !mail.thread.is_empty() {
        prompt = prompt.untrusted("thread", Untrusted::new(&thread(&mail.thread)));
    }
    if !mail.attachments.is_empty() {
        prompt = prompt.untrusted("attachments", Untrusted::new(&attachment_lines(mail)));
    }
    if let Some(memories) = memory::other_lines(&case.mailbox.memories) {
        prompt = prompt.untrusted("memory", Untrusted::new(&memories));
    }
    if let Some(corrected) = case.mailbox.examples.evidence_lines() {
        prompt = prompt.untrusted("corrections", Untrusted::new(&corrected));
    }
    prompt.untrusted("body", Untrusted::new(&excerpt(&mail.body_text, BODY)))
}

/// Builds the repair: the answer and its fault. Shows the email again only if the answer held no judgement: one made
/// without it would be invented, and one that exists needs no second chance for the email to inject text.
pub(super) fn repair(
    case: &Case,
    verdict: &Verdict<'_>,
    asked_on: DateTime<Utc>,
    answer: &str,
    fault: &ReplyFault,
) -> Prompt {
    let prompt = TRIAGE
        .prompt()
        .trusted(Trusted::configured(&context(case, verdict, asked_on)));
    let prompt = if fault.judged {
        prompt.trusted(Trusted::fixed(
            "An earlier answer did not fit the schema. Below are that answer and what is wrong with it. Give the answer \
             again with only that mended; leave out what you cannot mend.",
        ))
    } else {
        with_email(prompt, case).trusted(Trusted::fixed(
            "An earlier answer about this email held no judgement. Below are that answer and what is wrong with it. Judge \
             the email, and answer with the JSON object only.",
        ))
    };
    prompt
        .untrusted("answer", Untrusted::capped(answer, ANSWER))
        .untrusted("fault", Untrusted::new(&fault.message))
}

/// Renders whose mailbox it is, the owner's memory, the allowed actions, and the candidate rules with their effects.
fn context(case: &Case, verdict: &Verdict<'_>, asked_on: DateTime<Utc>) -> String {
    let owner = &case.mailbox.owner;
    let mut text = owner.lines(asked_on);
    if let Some(addressed) = owner.addressed(&case.mail) {
        text.push_str(addressed.line());
    }
    if let Some(memories) = memory::owner_lines(&case.mailbox.memories) {
        text.push_str("What the owner has said before:\n");
        text.push_str(&memories);
    }
    if let Some(decisions) = case.mailbox.examples.owner_lines() {
        text.push_str("How the owner corrected former judgements:\n");
        text.push_str(&decisions);
    }
    text.push_str(
        "\nActions you may propose, with their params (* = required; give null for the others):\n",
    );
    for action in ActionType::open_to(OpenTo::Models) {
        let fields: Vec<_> = action
            .spec()
            .parameters
            .iter()
            .map(|field| {
                let mark = if field.required { "*" } else { "" };
                match field.kind {
                    FieldKind::Text(max) => {
                        format!("{}{mark} (at most {max} characters)", field.name)
                    }
                    FieldKind::Recipient | FieldKind::Connection => format!("{}{mark}", field.name),
                }
            })
            .collect();
        let fields = if fields.is_empty() {
            "none".to_owned()
        } else {
            fields.join(", ")
        };
        text.push_str(&format!("- {action}: {fields}\n"));
    }
    // Last, because a long list is cut at its end: a cut-off rule cannot be chosen, and nothing else is lost.
    text.push('\n');
    if verdict.candidates.is_empty() {
        text.push_str("There are no rules to choose from: matched_rule is null.\n");
    } else {
        text.push_str("Rules to choose from for matched_rule; null if none fits:\n");
        for rule in &verdict.candidates {
            text.push_str(&described(rule));
        }
    }
    if !verdict.hits.is_empty() {
        let names: Vec<_> = verdict
            .hits
            .iter()
            .map(|hit| hit.rule.name.as_str())
            .collect();
        text.push_str(&format!(
            "These rules apply already and need no action of yours: {}.\n",
            names.join(", ")
        ));
    }
    text
}

/// Renders a rule with its condition and effects: a model that does not know the effects chooses wrongly.
fn described(rule: &Rule) -> String {
    let mut text = format!(
        "- {}: applies if {}",
        rule.name,
        rule.llm_condition.as_deref().unwrap_or("it fits")
    );
    if let Some(description) = &rule.description {
        text.push_str(&format!(" ({description})"));
    }
    let set = rule.settings;
    let mut does: Vec<String> = rule
        .actions
        .iter()
        .map(|action| action.kind.to_string())
        .collect();
    does.extend(set.category.map(|category| format!("category {category}")));
    does.extend(
        set.disposition
            .map(|disposition| format!("disposition {disposition}")),
    );
    does.extend(set.priority.map(|priority| format!("priority {priority}")));
    does.extend(set.sla.map(|sla| format!("sla {sla}")));
    let does = if does.is_empty() {
        "nothing more".to_owned()
    } else {
        does.join(", ")
    };
    text.push_str(&format!(" → {does}\n"));
    text
}

fn headers(mail: &Mail) -> String {
    let people = |list: &[jobs::domain::mail::Address]| {
        list.iter()
            .take(RECIPIENTS)
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut lines = vec![format!("To: {}", people(&mail.to))];
    let day = |date: Option<DateTime<Utc>>| {
        date.map(|date| date.format("%Y-%m-%d %H:%M UTC").to_string())
    };
    for (name, value) in [
        ("Cc", (!mail.cc.is_empty()).then(|| people(&mail.cc))),
        (
            "Reply-To",
            (!mail.reply_to.is_empty()).then(|| people(&mail.reply_to)),
        ),
        ("Date", day(mail.date)),
        ("List-Id", mail.list_id.clone()),
        (
            "List-Unsubscribe",
            mail.list_unsubscribe.as_ref().map(|_| "present".to_owned()),
        ),
        ("Auto-Submitted", mail.auto_submitted.clone()),
        ("Is a reply", mail.is_reply().then(|| "yes".to_owned())),
    ] {
        lines.extend(value.map(|value| format!("{name}: {value}")));
    }
    lines.join("\n")
}

/// Renders the thread, oldest first; keeps the newest messages of a long one.
fn thread(messages: &[Earlier]) -> String {
    let surplus = messages.len().saturating_sub(EARLIER_MESSAGES);
    let lines: Vec<String> = messages[surplus..]
        .iter()
        .map(|message| {
            let from = message
                .from
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let direction = match message.direction {
                Direction::In => "received from",
                Direction::Out => "sent by us,",
            };
            let date = message
                .date
                .map(|date| date.format(" on %Y-%m-%d").to_string())
                .unwrap_or_default();
            let text: String = message.body_text.chars().take(EARLIER).collect();
            format!("[{direction} {from}{date}]\n{text}")
        })
        .collect();
    lines.join("\n\n")
}

#[cfg(test)]
mod snapshot;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::corrections::Examples;
    use crate::handlers::triage::guards::Correspondents;
    use crate::handlers::triage::mailbox::Mailbox;
    use crate::handlers::triage::parse_reply::FaultClass;
    use crate::prompts::mailbox::Owner;
    use jobs::{
        domain::{
            MemoryId, MessageId,
            gate::TrustMode,
            memory::{Level, Provenance, ScopeKind},
            rules::RuleSet,
        },
        store::memory_items::Recalled,
    };
    use llm::prompt::Boundary;

    const RULES: &str = "rules:\n- {name: contracts, description: Wait for a signature, match: {subject: contract}, \
        llm_condition: it asks to sign, set: {priority: high}, actions: [{type: create_task, params: {title: Sign}}]}";

    fn case(mail: &str) -> Case {
        let mail = Mail::parse(mail.as_bytes()).unwrap();
        Case {
            message: MessageId::new(),
            content_hash: mail.content_hash(),
            mail,
            correspondents: Correspondents::default(),
            bounced: None,
            owner: None,
            mailbox: Mailbox::default(),
            trust: TrustMode::TrainingWheels,
            rules: std::sync::Arc::new(RuleSet::compile(RULES).unwrap()),
            outage_jobs: Vec::new(),
            former: None,
        }
    }

    fn rendered(prompt: &Prompt) -> String {
        let messages = prompt.render(&Boundary::random());
        messages
            .into_iter()
            .map(|message| message.content)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn rules_are_shown_with_their_effects() {
        let case = case("From: a@b.c\nSubject: Contract\n\nPlease sign.");
        let text = rendered(&question(
            &case,
            &case.rules.evaluate(&case.mail),
            DateTime::UNIX_EPOCH,
        ));
        assert!(
            text.contains("- contracts: applies if it asks to sign (Wait for a signature) → create_task, priority high"),
            "{text}"
        );
        assert!(text.contains("Thursday, 1970-01-01"), "{text}");
    }

    #[test]
    fn email_is_shown_as_evidence_only() {
        let case = case("From: Eve <eve@x.y>\nSubject: HUNTER-subject\n\nHUNTER-body");
        let prompt = question(
            &case,
            &case.rules.evaluate(&case.mail),
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(prompt.untrusted_part("subject"), Some("HUNTER-subject"));
        assert_eq!(prompt.untrusted_part("body"), Some("HUNTER-body"));
        assert_eq!(prompt.untrusted_part("from"), Some("Eve <eve@x.y>"));
        let fenced = |message: &str| message.starts_with("UNTRUSTED");
        for message in prompt.render(&Boundary::random()) {
            assert!(fenced(&message.content) || !message.content.contains("HUNTER"));
        }
    }

    #[test]
    fn answer_below_a_long_quote_and_text_of_a_file_are_shown() {
        let quote = "> as you wrote before, the matter stands open\n".repeat(400);
        let case = case(&format!(
            "From: a@b.c\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n{quote}\nNo, cancel it.\n\
             --x\nContent-Type: text/csv\nContent-Disposition: attachment; filename=rooms.csv\n\nroom,12\n--x--\n"
        ));
        let prompt = question(
            &case,
            &case.rules.evaluate(&case.mail),
            DateTime::UNIX_EPOCH,
        );
        let body = prompt.untrusted_part("body").unwrap();
        assert!(body.ends_with("No, cancel it.") && body.contains("quoted lines left out"));
        assert_eq!(
            prompt.untrusted_part("attachments"),
            Some("rooms.csv (text/csv, 7 bytes):\nroom,12")
        );
    }

    #[test]
    fn owner_memory_is_trusted_and_read_memory_is_evidence() {
        let mut case = case("From: a@b.c\nTo: Sam <sam@acme.example>\nSubject: x\n\nHello");
        let item = |provenance, key: &str| Recalled {
            id: MemoryId::new(),
            level: Level::Semantic,
            scope: ScopeKind::Global,
            key: key.into(),
            provenance,
            value: serde_json::json!("v"),
        };
        case.mailbox = Mailbox {
            owner: Owner::new("sam@acme.example", &[], "Europe/Berlin".into()),
            memories: vec![
                item(Provenance::User, "OWNER-said"),
                item(Provenance::Email, "HUNTER-read"),
            ],
            examples: Examples::default(),
        };
        let prompt = question(
            &case,
            &case.rules.evaluate(&case.mail),
            DateTime::UNIX_EPOCH,
        );
        let read = prompt.untrusted_part("memory").unwrap();
        assert!(read.contains("HUNTER-read"));
        let messages = prompt.render(&Boundary::random());
        let trusted: String = messages
            .iter()
            .filter(|message| !message.content.starts_with("UNTRUSTED"))
            .map(|message| message.content.as_str())
            .collect();
        for said in [
            "OWNER-said",
            "The mailbox belongs to: sam@acme.example",
            "Thursday, 1970-01-01 01:00 in the zone Europe/Berlin",
            "addressed to the owner (To)",
        ] {
            assert!(trusted.contains(said), "{said}");
        }
        assert!(!trusted.contains("HUNTER"));
    }

    #[test]
    fn repair_shows_the_email_again_only_if_the_answer_held_no_judgement() {
        let case = case("From: Eve <eve@x.y>\nSubject: HUNTER-subject\n\nHUNTER-body");
        let repaired = |judged| {
            let fault = ReplyFault {
                class: FaultClass::Json,
                message: "expected value".into(),
                judged,
            };
            repair(
                &case,
                &case.rules.evaluate(&case.mail),
                DateTime::UNIX_EPOCH,
                "not json",
                &fault,
            )
        };
        for judged in [true, false] {
            let prompt = repaired(judged);
            assert_eq!(prompt.untrusted_part("answer"), Some("not json"));
            assert_eq!(prompt.untrusted_part("fault"), Some("expected value"));
            assert_eq!(rendered(&prompt).contains("HUNTER"), !judged);
            assert_eq!(prompt.untrusted_part("body").is_some(), !judged);
        }
    }
}
