//! Merging of rules and answer: rules win, the model only adds.

use super::*;
use jobs::domain::{judgement::ThreadStatus, rules::RuleSet};
use serde_json::json;

fn mail() -> Mail {
    Mail::parse(b"From: ann@client.com\nSubject: Invoice 42\n\nPlease pay.").unwrap()
}

fn task(title: &str) -> Proposal {
    Proposal {
        kind: ActionType::CreateTask,
        params: Params::read(
            ActionType::CreateTask,
            json!({"title": title}).as_object().unwrap(),
        )
        .unwrap(),
        confirmation: Confirmation::AsTrusted,
        confidence: 0.4,
        rationale: None,
    }
}

fn reply() -> Reply {
    Reply {
        reasoning: "Because.".into(),
        disposition: Disposition::Respond,
        category: Category::NeedsResponse,
        priority: Priority::Urgent,
        sla: Sla::ThreeDays,
        matched_rule: None,
        confidence: 0.7,
        proposals: vec![task("Pay it")],
        injection_suspected: false,
    }
}

fn decide(yaml: &str, answer: &ModelAnswer) -> Decision {
    decide_about(Contact::Known, yaml, answer)
}

fn decide_about(contact: Contact, yaml: &str, answer: &ModelAnswer) -> Decision {
    let rules = RuleSet::compile(&format!("rules: [{yaml}]")).unwrap();
    merge(&mail(), &rules.evaluate(&mail()), answer, contact)
}

const INVOICES: &str = "{name: invoices, match: {subject: invoice}, set: {priority: low}, \
    actions: [{type: create_task, params: {title: Pay it}}]}";
const QUESTION: &str =
    "{name: question, match: {subject: invoice}, llm_condition: c, set: {category: scheduling}}";

#[test]
fn rule_decides_without_a_model() {
    let Decision {
        judgement,
        proposals,
    } = decide(INVOICES, &ModelAnswer::NotCalled);
    assert_eq!(
        (judgement.source, judgement.category, judgement.priority),
        (Source::Rule, Category::Task, Priority::Low)
    );
    assert_eq!(judgement.rules_applied, ["invoices"]);
    assert!((judgement.confidence - 0.9).abs() < f32::EPSILON && !judgement.degraded);
    assert_eq!(proposals.len(), 1);
}

#[test]
fn model_adds_to_a_rule_and_overrides_nothing() {
    let mut reply = reply();
    reply.proposals.push(task("Something else"));
    let yaml = format!("{INVOICES}, {QUESTION}");
    let Decision {
        judgement,
        proposals,
    } = decide(&yaml, &ModelAnswer::Reply(reply));
    assert_eq!(judgement.priority, Priority::Low);
    assert_eq!(
        (judgement.category, judgement.sla),
        (Category::NeedsResponse, Sla::ThreeDays)
    );
    assert_eq!(judgement.source, Source::Rule);
    let titles: Vec<_> = proposals
        .iter()
        .map(|p| p.params.get("title").unwrap())
        .collect();
    assert_eq!(titles, ["Pay it", "Something else"]);
    assert!(
        (proposals[0].confidence - 0.9).abs() < f32::EPSILON,
        "the rule's own, not the model's copy"
    );
}

#[test]
fn chosen_candidate_applies_its_rule() {
    let answer = ModelAnswer::Reply(Reply {
        matched_rule: Some("question".into()),
        ..reply()
    });
    let judgement = decide(QUESTION, &answer).judgement;
    assert_eq!(
        (judgement.category, judgement.source),
        (Category::Scheduling, Source::Llm)
    );
    assert_eq!(judgement.rules_applied, ["question"]);
    let no = decide(QUESTION, &ModelAnswer::Reply(reply())).judgement;
    assert_eq!(
        (no.category, no.rules_applied.len()),
        (Category::NeedsResponse, 0)
    );
}

#[test]
fn earlier_rules_win_over_later_ones() {
    let yaml = "{name: b, priority: 2, match: {subject: invoice}, set: {priority: urgent, sla: '<24h'}}, \
                {name: a, priority: 1, match: {subject: invoice}, set: {priority: low}}";
    let judgement = decide(yaml, &ModelAnswer::NotCalled).judgement;
    assert_eq!(
        (judgement.priority, judgement.sla),
        (Priority::Low, Sla::Day)
    );
    assert_eq!(judgement.rules_applied, ["a", "b"]);
}

#[test]
fn undecided_email_becomes_a_task_for_a_user() {
    let Decision {
        judgement,
        proposals,
    } = decide("", &ModelAnswer::Unusable);
    assert_eq!(
        (judgement.source, judgement.degraded),
        (Source::Fallback, true)
    );
    assert_eq!(
        proposals[0].params.get("title"),
        Some("Follow up: Invoice 42")
    );
    assert_eq!(proposals[0].confirmation, Confirmation::Required);
    assert!((proposals[0].confidence - 0.6).abs() < f32::EPSILON);
    let long = Mail {
        subject: "x".repeat(500),
        ..mail()
    };
    assert_eq!(
        fallback(&long).proposals[0]
            .params
            .get("title")
            .unwrap()
            .chars()
            .count(),
        11 + 80
    );
    let none = Mail {
        subject: String::new(),
        ..mail()
    };
    assert_eq!(
        fallback(&none).proposals[0].params.get("title"),
        Some("Follow up: (no subject)")
    );
}

#[test]
fn model_outage_marks_the_rules_judgement_as_degraded() {
    let Decision {
        judgement,
        proposals,
    } = decide(&format!("{INVOICES}, {QUESTION}"), &ModelAnswer::Unusable);
    assert_eq!(
        (judgement.source, judgement.degraded, proposals.len()),
        (Source::Rule, true, 1)
    );
}

#[test]
fn unmatched_rules_only_job_says_so() {
    let Decision {
        judgement,
        proposals,
    } = decide("", &ModelAnswer::NotCalled);
    assert_eq!(
        (judgement.category, judgement.source),
        (Category::Unknown, Source::Rule)
    );
    assert!(proposals.is_empty() && !judgement.degraded);
}

#[test]
fn model_may_call_an_unknown_sender_cold_and_a_known_one_not() {
    let cold = Reply {
        category: Category::Cold,
        disposition: Disposition::Ignore,
        ..reply()
    };
    let Decision {
        judgement,
        proposals,
    } = decide("", &ModelAnswer::Reply(cold.clone()));
    assert_eq!(proposals[0].confirmation, Confirmation::Required);
    assert_eq!(
        (judgement.category, judgement.disposition),
        (Category::Fyi, Disposition::Notify)
    );
    let Decision {
        judgement,
        proposals,
    } = decide_about(Contact::Unknown, "", &ModelAnswer::Reply(cold));
    assert_eq!(proposals[0].confirmation, Confirmation::AsTrusted);
    assert_eq!(
        (judgement.category, judgement.disposition),
        (Category::Cold, Disposition::Ignore)
    );
    let rule = decide(
        "{name: r, match: {subject: invoice}, set: {category: cold}}",
        &ModelAnswer::NotCalled,
    )
    .judgement;
    assert_eq!(rule.category, Category::Cold);
}

#[test]
fn suspected_injection_is_kept_and_the_thread_needs_a_reply() {
    let judgement = decide(
        "",
        &ModelAnswer::Reply(Reply {
            injection_suspected: true,
            ..reply()
        }),
    )
    .judgement;
    assert!(judgement.injection_suspected);
    assert_eq!(judgement.thread_status, ThreadStatus::ToReply);
}
