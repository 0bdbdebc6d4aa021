//! Rules and answer → one judgement and what is proposed: rules win, the model may add, nobody removes. Pure.

use super::parse_reply::Reply;
use super::standing::{Contact, thread_status};
use jobs::domain::{
    action::{ActionType, Params, Proposal},
    gate::Confirmation,
    judgement::{Category, Disposition, Judgement, Priority, Sla, Source},
    mail::Mail,
    rules::{RULE_CONFIDENCE, Rule, Settings, Verdict},
};
use serde_json::{Map, Value};

/// How sure the fallback is of its task: it knows only that nobody has looked at the mail.
const FALLBACK_CONFIDENCE: f32 = 0.6;
const FALLBACK_SUBJECT: usize = 80;
/// Rules of five actions each may add up; beyond this a person reads nothing any more.
const PROPOSALS: usize = 10;
const RATIONALE: usize = 600;

/// What came of asking a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// The rules decided, or the job allows no model.
    NotAsked,
    Reply(Reply),
    /// It was needed, and gave nothing that could be used.
    Unusable,
}

/// What is to be said and done about a mail, before the gate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) judgement: Judgement,
    pub(super) proposals: Vec<Proposal>,
}

pub(super) fn merge(
    mail: &Mail,
    verdict: &Verdict<'_>,
    answer: &Answer,
    contact: Contact,
) -> Decision {
    let reply = match answer {
        Answer::Reply(reply) => Some(reply),
        Answer::NotAsked | Answer::Unusable => None,
    };
    let rules = applied(verdict, reply);
    let proposals = proposals(mail, &rules, reply);
    let mut decision = match (rules.is_empty(), reply, answer) {
        (false, _, _) => by_rules(verdict, &rules, reply, proposals),
        (true, Some(reply), _) => by_model(reply, proposals),
        (true, None, Answer::Unusable) => fallback(mail),
        (true, None, Answer::NotAsked | Answer::Reply(_)) => undecided(),
    };
    if decision.judgement.source == Source::Llm {
        mind_contact(&mut decision, contact);
    }
    let judgement = &mut decision.judgement;
    judgement.degraded = *answer == Answer::Unusable;
    judgement.thread_status = thread_status(mail, judgement.category, judgement.disposition);
    decision
}

/// The rules that apply, in their order, with the one whose question the model answered with yes.
fn applied<'r>(verdict: &Verdict<'r>, reply: Option<&Reply>) -> Vec<&'r Rule> {
    let mut rules: Vec<&Rule> = verdict.hits.iter().map(|hit| hit.rule).collect();
    let chosen = reply.and_then(|reply| reply.matched_rule.as_deref());
    rules.extend(
        verdict
            .candidates
            .iter()
            .find(|rule| Some(rule.name.as_str()) == chosen),
    );
    rules.sort_by_key(|rule| rule.priority);
    rules
}

/// All proposals, those of rules first, each once.
fn proposals(mail: &Mail, rules: &[&Rule], reply: Option<&Reply>) -> Vec<Proposal> {
    let of_rules = rules.iter().flat_map(|rule| rule.proposals(mail));
    let of_model = reply
        .iter()
        .flat_map(|reply| reply.proposals.iter().cloned());
    let mut seen = Vec::new();
    let mut kept = Vec::new();
    for proposal in of_rules.chain(of_model) {
        let fingerprint = proposal.fingerprint();
        if !seen.contains(&fingerprint) && kept.len() < PROPOSALS {
            seen.push(fingerprint);
            kept.push(proposal);
        }
    }
    kept
}

fn by_rules(
    verdict: &Verdict<'_>,
    rules: &[&Rule],
    reply: Option<&Reply>,
    proposals: Vec<Proposal>,
) -> Decision {
    let set = rules
        .iter()
        .map(|rule| rule.settings)
        .reduce(or)
        .unwrap_or_default();
    let natural = natural(&proposals);
    let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
    let mut rationale = format!("Rule {} applies.", names.join(", "));
    if let Some(reply) = reply {
        rationale = format!("{rationale} {}", reply.reasoning);
    }
    let (source, confidence) = match (verdict.hits.first(), reply) {
        (Some(hit), _) if hit.learned => (Source::Learned, RULE_CONFIDENCE),
        (Some(_), _) => (Source::Rule, RULE_CONFIDENCE),
        (None, reply) => (
            Source::Llm,
            reply.map_or(RULE_CONFIDENCE, |reply| reply.confidence),
        ),
    };
    Decision {
        judgement: Judgement {
            category: set
                .category
                .or(reply.map(|r| r.category))
                .unwrap_or(natural.0),
            disposition: set
                .disposition
                .or(reply.map(|r| r.disposition))
                .unwrap_or(natural.1),
            priority: set
                .priority
                .or(reply.map(|r| r.priority))
                .unwrap_or(Priority::Medium),
            sla: set.sla.or(reply.map(|r| r.sla)).unwrap_or(Sla::None),
            confidence,
            rationale: rationale.chars().take(RATIONALE).collect(),
            source,
            rules_applied: names,
            injection_suspected: reply.is_some_and(|reply| reply.injection_suspected),
            ..blank()
        },
        proposals,
    }
}

fn by_model(reply: &Reply, proposals: Vec<Proposal>) -> Decision {
    Decision {
        judgement: Judgement {
            category: reply.category,
            disposition: reply.disposition,
            priority: reply.priority,
            sla: reply.sla,
            confidence: reply.confidence,
            rationale: reply.reasoning.clone(),
            source: Source::Llm,
            injection_suspected: reply.injection_suspected,
            ..blank()
        },
        proposals,
    }
}

/// No rule applies and the model gave nothing: a person is asked to look.
fn fallback(mail: &Mail) -> Decision {
    let subject = if mail.subject.is_empty() {
        "(no subject)"
    } else {
        &mail.subject
    };
    let subject: String = subject.chars().take(FALLBACK_SUBJECT).collect();
    let title = Map::from_iter([(
        "title".to_owned(),
        Value::String(format!("Follow up: {}", subject.trim_end())),
    )]);
    let params = Params::read(ActionType::CreateTask, &title)
        .expect("a short title is all that a task needs");
    let rationale = "The mail could not be judged automatically. Please look at it.";
    Decision {
        judgement: Judgement {
            confidence: FALLBACK_CONFIDENCE,
            rationale: rationale.into(),
            source: Source::Fallback,
            ..blank()
        },
        proposals: vec![Proposal {
            kind: ActionType::CreateTask,
            params,
            confirmation: Confirmation::Required,
            confidence: FALLBACK_CONFIDENCE,
            rationale: Some(rationale.into()),
        }],
    }
}

/// The job allowed rules only, and none applies.
fn undecided() -> Decision {
    Decision {
        judgement: Judgement {
            rationale: "No rule applies to this mail.".into(),
            ..blank()
        },
        proposals: Vec::new(),
    }
}

/// A judgement that says nothing yet.
fn blank() -> Judgement {
    Judgement {
        category: Category::Unknown,
        disposition: Disposition::Notify,
        priority: Priority::Medium,
        sla: Sla::None,
        confidence: 0.0,
        rationale: String::new(),
        source: Source::Rule,
        rules_applied: Vec::new(),
        injection_suspected: false,
        degraded: false,
        thread_status: jobs::domain::judgement::ThreadStatus::Fyi,
    }
}

/// The earlier rule's word counts where both have one.
fn or(first: Settings, second: Settings) -> Settings {
    Settings {
        category: first.category.or(second.category),
        disposition: first.disposition.or(second.disposition),
        priority: first.priority.or(second.priority),
        sla: first.sla.or(second.sla),
    }
}

/// What a rule that says nothing of category and disposition most likely means, read off its first action.
fn natural(proposals: &[Proposal]) -> (Category, Disposition) {
    match proposals.first().map(|proposal| proposal.kind) {
        Some(ActionType::CreateTask | ActionType::UpdateTask) => {
            (Category::Task, Disposition::Notify)
        }
        Some(ActionType::Reply | ActionType::SaveDraft | ActionType::Send) => {
            (Category::NeedsResponse, Disposition::Respond)
        }
        Some(ActionType::ScheduleBlock | ActionType::CreateEvent) => {
            (Category::Scheduling, Disposition::Notify)
        }
        Some(ActionType::DigestAdd | ActionType::Archive | ActionType::MarkRead) => {
            (Category::Notification, Disposition::Ignore)
        }
        Some(ActionType::Spam | ActionType::Trash) => (Category::Spam, Disposition::Ignore),
        Some(
            ActionType::Label
            | ActionType::Unlabel
            | ActionType::Star
            | ActionType::Notify
            | ActionType::Move
            | ActionType::UpsertContact
            | ActionType::Snooze
            | ActionType::Forward
            | ActionType::CallWebhook,
        )
        | None => (Category::Fyi, Disposition::Notify),
    }
}

/// A model that calls somebody a cold caller is not believed against what is known of them, and what it would have done
/// to the mail needs a person.
fn mind_contact(decision: &mut Decision, contact: Contact) {
    let judgement = &mut decision.judgement;
    if judgement.category != Category::Cold || contact.may_be_cold() {
        return;
    }
    judgement.category = Category::Fyi;
    if judgement.disposition == Disposition::Ignore {
        judgement.disposition = Disposition::Notify;
    }
    for proposal in &mut decision.proposals {
        proposal.confirmation = Confirmation::Required;
    }
}

#[cfg(test)]
mod tests {
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

    fn decide(yaml: &str, answer: &Answer) -> Decision {
        let rules = RuleSet::compile(&format!("rules: [{yaml}]")).unwrap();
        merge(&mail(), &rules.evaluate(&mail()), answer, Contact::Assumed)
    }

    const INVOICES: &str = "{name: invoices, match: {subject: invoice}, set: {priority: low}, \
        actions: [{type: create_task, params: {title: Pay it}}]}";
    const QUESTION: &str = "{name: question, match: {subject: invoice}, llm_condition: c, set: {category: scheduling}}";

    #[test]
    fn a_rule_decides_without_a_model() {
        let Decision {
            judgement,
            proposals,
        } = decide(INVOICES, &Answer::NotAsked);
        assert_eq!(
            (judgement.source, judgement.category, judgement.priority),
            (Source::Rule, Category::Task, Priority::Low)
        );
        assert_eq!(judgement.rules_applied, ["invoices"]);
        assert!((judgement.confidence - 0.9).abs() < f32::EPSILON && !judgement.degraded);
        assert_eq!(proposals.len(), 1);
    }

    #[test]
    fn the_model_adds_to_a_rule_and_overrides_nothing() {
        let mut reply = reply();
        reply.proposals.push(task("Something else"));
        let yaml = format!("{INVOICES}, {QUESTION}");
        let Decision {
            judgement,
            proposals,
        } = decide(&yaml, &Answer::Reply(reply));
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
    fn a_question_answered_with_yes_brings_its_rule() {
        let answer = Answer::Reply(Reply {
            matched_rule: Some("question".into()),
            ..reply()
        });
        let judgement = decide(QUESTION, &answer).judgement;
        assert_eq!(
            (judgement.category, judgement.source),
            (Category::Scheduling, Source::Llm)
        );
        assert_eq!(judgement.rules_applied, ["question"]);
        let no = decide(QUESTION, &Answer::Reply(reply())).judgement;
        assert_eq!(
            (no.category, no.rules_applied.len()),
            (Category::NeedsResponse, 0)
        );
    }

    #[test]
    fn earlier_rules_win_over_later_ones() {
        let yaml = "{name: b, priority: 2, match: {subject: invoice}, set: {priority: urgent, sla: '<24h'}}, \
                    {name: a, priority: 1, match: {subject: invoice}, set: {priority: low}}";
        let judgement = decide(yaml, &Answer::NotAsked).judgement;
        assert_eq!(
            (judgement.priority, judgement.sla),
            (Priority::Low, Sla::Day)
        );
        assert_eq!(judgement.rules_applied, ["a", "b"]);
    }

    #[test]
    fn without_rule_and_answer_a_person_is_asked() {
        let Decision {
            judgement,
            proposals,
        } = decide("", &Answer::Unusable);
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
    fn an_outage_beside_a_rule_is_told_and_does_no_harm() {
        let Decision {
            judgement,
            proposals,
        } = decide(&format!("{INVOICES}, {QUESTION}"), &Answer::Unusable);
        assert_eq!(
            (judgement.source, judgement.degraded, proposals.len()),
            (Source::Rule, true, 1)
        );
    }

    #[test]
    fn rules_only_without_a_rule_says_so() {
        let Decision {
            judgement,
            proposals,
        } = decide("", &Answer::NotAsked);
        assert_eq!(
            (judgement.category, judgement.source),
            (Category::Unknown, Source::Rule)
        );
        assert!(proposals.is_empty() && !judgement.degraded);
    }

    #[test]
    fn a_model_cannot_make_a_cold_caller_of_an_assumed_contact() {
        let cold = Reply {
            category: Category::Cold,
            disposition: Disposition::Ignore,
            ..reply()
        };
        let Decision {
            judgement,
            proposals,
        } = decide("", &Answer::Reply(cold));
        assert_eq!(proposals[0].confirmation, Confirmation::Required);
        assert_eq!(
            (judgement.category, judgement.disposition),
            (Category::Fyi, Disposition::Notify)
        );
        let rule = decide(
            "{name: r, match: {subject: invoice}, set: {category: cold}}",
            &Answer::NotAsked,
        )
        .judgement;
        assert_eq!(rule.category, Category::Cold);
    }

    #[test]
    fn a_suspected_injection_is_carried_and_the_thread_waits_for_us() {
        let judgement = decide(
            "",
            &Answer::Reply(Reply {
                injection_suspected: true,
                ..reply()
            }),
        )
        .judgement;
        assert!(judgement.injection_suspected);
        assert_eq!(judgement.thread_status, ThreadStatus::ToReply);
    }
}
