//! Merges rules and the model's answer into one judgement with proposals: rules win, the model only adds. Pure.

use super::parse_reply::Reply;
use super::thread_status::{Contact, thread_status};
use jobs::domain::{
    action::{ActionType, Params},
    gate::Confirmation,
    judgement::{Category, Disposition, Judgement, Priority, Sla, Source},
    mail::Mail,
    proposal::Proposal,
    rules::{RULE_CONFIDENCE, Rule, Settings, Verdict},
};
use serde_json::{Map, Value};

/// Confidence of the fallback task.
const FALLBACK_CONFIDENCE: f32 = 0.6;
const FALLBACK_SUBJECT: usize = 80;
/// Limit of proposals, because several rules may add up.
const PROPOSALS: usize = 10;
const RATIONALE: usize = 600;

/// The answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ModelAnswer {
    /// The rules decided, or the job allows no model.
    NotCalled,
    Reply(Reply),
    /// The model was needed but gave no usable answer.
    Unusable,
    /// The model was needed and unavailable. The email is judged again when it is back.
    Outage,
}

/// The judgement and the proposals, before the gate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) judgement: Judgement,
    pub(super) proposals: Vec<Proposal>,
}

/// Merges rules and answer.
pub(super) fn merge(
    mail: &Mail,
    verdict: &Verdict<'_>,
    answer: &ModelAnswer,
    contact: Contact,
) -> Decision {
    let reply = match answer {
        ModelAnswer::Reply(reply) => Some(reply),
        ModelAnswer::NotCalled | ModelAnswer::Unusable | ModelAnswer::Outage => None,
    };
    let rules = applied(verdict, reply);
    let proposals = proposals(mail, &rules, reply);
    let mut decision = match (rules.is_empty(), reply, answer) {
        (false, _, _) => by_rules(verdict, &rules, reply, proposals),
        (true, Some(reply), _) => by_model(reply, proposals),
        (true, None, ModelAnswer::Unusable | ModelAnswer::Outage) => fallback(mail),
        (true, None, ModelAnswer::NotCalled | ModelAnswer::Reply(_)) => undecided(),
    };
    if decision.judgement.source == Source::Llm {
        protect_known_contact(&mut decision, contact);
    }
    let judgement = &mut decision.judgement;
    judgement.degraded = matches!(answer, ModelAnswer::Unusable | ModelAnswer::Outage);
    judgement.thread_status = thread_status(mail, judgement.category, judgement.disposition);
    decision
}

/// Returns the rules that apply, in order, including the candidate that the model chose.
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

/// Returns all proposals without duplicates, those of rules first.
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
    let implied = implied(&proposals);
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
                .unwrap_or(implied.0),
            disposition: set
                .disposition
                .or(reply.map(|r| r.disposition))
                .unwrap_or(implied.1),
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

/// Decides without rule and answer: a user must look at the email.
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
    let params =
        Params::read(ActionType::CreateTask, &title).expect("a task needs only a short title");
    let rationale = "This email could not be judged automatically. Please look at it.";
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

/// Decides for a job with rules only, of which none applies.
fn undecided() -> Decision {
    Decision {
        judgement: Judgement {
            rationale: "No rule applies to this email.".into(),
            ..blank()
        },
        proposals: Vec::new(),
    }
}

/// A judgement with default values.
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

/// Combines settings; the earlier rule wins.
fn or(first: Settings, second: Settings) -> Settings {
    Settings {
        category: first.category.or(second.category),
        disposition: first.disposition.or(second.disposition),
        priority: first.priority.or(second.priority),
        sla: first.sla.or(second.sla),
    }
}

/// Returns the category and disposition of rules that set none, from their first action.
fn implied(proposals: &[Proposal]) -> (Category, Disposition) {
    proposals
        .first()
        .map_or((Category::Fyi, Disposition::Notify), |proposal| {
            proposal.kind.spec().implies
        })
}

/// Corrects a model that calls a known contact cold, and requires approval for its proposals.
fn protect_known_contact(decision: &mut Decision, contact: Contact) {
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
