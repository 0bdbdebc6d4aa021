//! Rules and answer → one judgement and what is proposed: rules win, the model may add, nobody removes. Pure.

use super::parse_reply::Reply;
use super::standing::{Contact, thread_status};
use jobs::domain::{
    action::{ActionType, Params},
    gate::Confirmation,
    judgement::{Category, Disposition, Judgement, Priority, Sla, Source},
    mail::Mail,
    proposal::Proposal,
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

/// How a rule that sets neither category nor disposition most likely judges: its first action implies it.
fn natural(proposals: &[Proposal]) -> (Category, Disposition) {
    proposals
        .first()
        .map_or((Category::Fyi, Disposition::Notify), |proposal| {
            proposal.kind.spec().implies
        })
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
mod tests;
