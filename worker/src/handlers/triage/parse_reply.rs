//! Parses the model's answer into a [`Reply`], or a [`ReplyFault`] for its one repair.
//!
//! Trusts nothing: rejects unknown fields, then checks what no schema can express: the rule is a candidate, models may propose
//! the action, and every figure occurs in the email.

mod grounding;

use grounding::Grounding;
use jobs::domain::{
    action::{ActionType, OpenTo, Params},
    gate::Confirmation,
    judgement::{Category, Disposition, Priority, Sla},
    mail::Mail,
    proposal::Proposal,
};
use serde::Deserialize;
use serde_json::{Map, Value};

const REASONING: usize = 300;
const ACTIONS: usize = 3;
const ENTITIES: usize = 20;
const ENTITY: usize = 200;

/// A checked answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) reasoning: String,
    pub(super) disposition: Disposition,
    pub(super) category: Category,
    pub(super) priority: Priority,
    pub(super) sla: Sla,
    /// The name of a candidate.
    pub(super) matched_rule: Option<String>,
    pub(super) confidence: f32,
    pub(super) proposals: Vec<Proposal>,
    pub(super) injection_suspected: bool,
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
    Enum,
    Length,
    Rule,
    Action,
    Ungrounded,
}

impl FaultClass {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Schema => "schema",
            Self::Enum => "enum",
            Self::Length => "length",
            Self::Rule => "rule",
            Self::Action => "action",
            Self::Ungrounded => "ungrounded",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReply {
    reasoning: String,
    disposition: Disposition,
    category: Category,
    priority: Priority,
    sla: Sla,
    matched_rule: Option<String>,
    confidence: f64,
    actions: Vec<RawAction>,
    entities: RawEntities,
    injection_suspected: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAction {
    r#type: String,
    params: Map<String, Value>,
    rationale: String,
    confidence: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntities {
    people: Vec<String>,
    amounts: Vec<String>,
    dates: Vec<String>,
}

/// Parses and checks an answer about `mail`; `candidates` are the rules that the model may choose.
pub(super) fn parse_reply(
    text: &str,
    mail: &Mail,
    candidates: &[&str],
) -> Result<Reply, ReplyFault> {
    let raw: RawReply =
        serde_json::from_str(without_fences(text)).map_err(|error| json_fault(&error))?;
    bounded("reasoning", &raw.reasoning, REASONING)?;
    let confidence = probability("confidence", raw.confidence)?;
    let matched_rule = raw.matched_rule.filter(|name| !name.trim().is_empty());
    if let Some(name) = &matched_rule
        && !candidates.contains(&name.as_str())
    {
        let known = if candidates.is_empty() {
            "none".into()
        } else {
            candidates.join(", ")
        };
        return Err(fault(
            FaultClass::Rule,
            format!("matched_rule must be null or one of: {known}"),
        ));
    }
    let grounding = Grounding::of(mail);
    check_entities(&raw.entities, &grounding)?;
    if raw.actions.len() > ACTIONS {
        return Err(fault(
            FaultClass::Length,
            format!("at most {ACTIONS} actions"),
        ));
    }
    let proposals = raw
        .actions
        .into_iter()
        .map(|action| read_action(action, &grounding))
        .collect::<Result<_, _>>()?;
    Ok(Reply {
        reasoning: raw.reasoning.trim().to_owned(),
        disposition: raw.disposition,
        category: raw.category,
        priority: raw.priority,
        sla: raw.sla,
        matched_rule,
        confidence,
        proposals,
        injection_suspected: raw.injection_suspected,
    })
}

/// Returns the JSON object in the text: models wrap it in Markdown fences or prose.
pub(in crate::handlers) fn without_fences(text: &str) -> &str {
    match (text.find('{'), text.rfind('}')) {
        (Some(start), Some(end)) if start < end => &text[start..=end],
        _ => text,
    }
}

fn json_fault(error: &serde_json::Error) -> ReplyFault {
    let message = error.to_string();
    let class = match error.classify() {
        serde_json::error::Category::Data if message.starts_with("unknown variant") => {
            FaultClass::Enum
        }
        serde_json::error::Category::Data => FaultClass::Schema,
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => FaultClass::Json,
    };
    fault(class, message.chars().take(400).collect())
}

fn read_action(raw: RawAction, grounding: &Grounding) -> Result<Proposal, ReplyFault> {
    let kind = ActionType::parse(&raw.r#type).filter(|kind| kind.is_open_to(OpenTo::Models));
    let Some(kind) = kind else {
        let known: Vec<_> = ActionType::open_to(OpenTo::Models)
            .map(ActionType::as_str)
            .collect();
        return Err(fault(
            FaultClass::Action,
            format!("an action's type must be one of: {}", known.join(", ")),
        ));
    };
    let params = Params::read(kind, &raw.params).map_err(|faults| {
        let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
        fault(FaultClass::Action, messages.join("; "))
    })?;
    for field in kind.spec().parameters {
        let Some(text) = params.get(field.name) else {
            continue;
        };
        // `until` of `snooze` is a time of our own, not from the email.
        let grounded = match field.name {
            "due" => grounding.has_date(text),
            "until" => true,
            _ => grounding.has_figures(text),
        };
        if !grounded {
            let message = format!(
                "`{}` of {kind} holds a figure or date that is not in the mail",
                field.name
            );
            return Err(fault(FaultClass::Ungrounded, message));
        }
    }
    bounded("rationale", &raw.rationale, REASONING)?;
    let rationale = raw.rationale.trim();
    Ok(Proposal {
        kind,
        params,
        confirmation: Confirmation::AsTrusted,
        confidence: probability("confidence", raw.confidence)?,
        rationale: (!rationale.is_empty()).then(|| rationale.to_owned()),
    })
}

fn check_entities(entities: &RawEntities, grounding: &Grounding) -> Result<(), ReplyFault> {
    for (name, list) in [
        ("people", &entities.people),
        ("amounts", &entities.amounts),
        ("dates", &entities.dates),
    ] {
        if list.len() > ENTITIES {
            return Err(fault(
                FaultClass::Length,
                format!("at most {ENTITIES} {name}"),
            ));
        }
        for entity in list {
            bounded(name, entity, ENTITY)?;
        }
    }
    if !entities
        .amounts
        .iter()
        .all(|amount| grounding.has_figures(amount))
    {
        return Err(fault(
            FaultClass::Ungrounded,
            "amounts must be copied from the mail as they stand there".into(),
        ));
    }
    if !entities.dates.iter().all(|date| grounding.has_date(date)) {
        return Err(fault(
            FaultClass::Ungrounded,
            "dates must be copied from the mail as they stand there".into(),
        ));
    }
    Ok(())
}

fn bounded(field: &str, text: &str, max: usize) -> Result<(), ReplyFault> {
    if text.chars().count() > max {
        return Err(fault(
            FaultClass::Length,
            format!("{field} may have {max} characters"),
        ));
    }
    Ok(())
}

fn probability(field: &str, number: f64) -> Result<f32, ReplyFault> {
    if !(0.0..=1.0).contains(&number) {
        return Err(fault(
            FaultClass::Schema,
            format!("{field} must lie between 0 and 1"),
        ));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a number in [0, 1] loses only insignificant digits"
    )]
    let narrow = number as f32;
    Ok(narrow)
}

fn fault(class: FaultClass, message: String) -> ReplyFault {
    ReplyFault { class, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mail() -> Mail {
        Mail::parse(
            b"From: Ann <ann@client.com>\nSubject: Invoice 42\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n\n\
              Please pay EUR 1,250.00 by 30 November, or call Friday at 9:30.",
        )
        .unwrap()
    }

    fn good() -> Value {
        json!({
            "reasoning": "An invoice with a date.", "disposition": "notify", "category": "task", "priority": "high",
            "sla": "<24h", "matched_rule": null, "confidence": 0.8,
            "actions": [{"type": "create_task", "params": {"title": "Pay invoice 42", "due": "30 November"},
                "rationale": "It asks for payment.", "confidence": 0.7}],
            "entities": {"people": ["Ann"], "amounts": ["EUR 1,250.00"], "dates": ["30 November", "Friday"]},
            "injection_suspected": false
        })
    }

    fn with(change: impl Fn(&mut Value)) -> Result<Reply, ReplyFault> {
        let mut reply = good();
        change(&mut reply);
        parse_reply(&reply.to_string(), &mail(), &["contracts"])
    }

    fn class(change: impl Fn(&mut Value)) -> &'static str {
        with(change).map_or_else(|fault| fault.class.as_str(), |_| "ok")
    }

    #[test]
    fn valid_answer_is_parsed() {
        let reply = with(|_| ()).unwrap();
        assert_eq!((reply.category, reply.sla), (Category::Task, Sla::Day));
        assert_eq!(reply.proposals[0].params.get("due"), Some("30 November"));
    }

    #[test]
    fn fences_and_prose_around_the_object_are_ignored() {
        for text in [
            format!("```json\n{}\n```", good()),
            format!("Here you are:\n{}\nAnything else?", good()),
            format!("  {}  ", good()),
        ] {
            assert!(parse_reply(&text, &mail(), &[]).is_ok(), "{text}");
        }
    }

    #[test]
    fn answer_outside_the_schema_is_rejected() {
        assert_eq!(class(|r| r["extra"] = json!(1)), "schema");
        assert_eq!(class(|r| r["actions"][0]["to"] = json!("a@b.c")), "schema");
        assert_eq!(
            class(|r| {
                r.as_object_mut().unwrap().remove("sla");
            }),
            "schema"
        );
        assert_eq!(class(|r| r["category"] = json!("urgent!!")), "enum");
        assert_eq!(class(|r| r["confidence"] = json!(1.5)), "schema");
        assert_eq!(class(|r| r["confidence"] = json!("high")), "schema");
        assert_eq!(class(|r| r["reasoning"] = json!("x".repeat(301))), "length");
        for text in [
            "",
            "I cannot help with that.",
            "{\"reasoning\": \"cut",
            "[]",
            "null",
        ] {
            assert!(parse_reply(text, &mail(), &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn matched_rule_must_be_a_candidate() {
        assert_eq!(class(|r| r["matched_rule"] = json!("contracts")), "ok");
        assert_eq!(
            class(|r| r["matched_rule"] = json!("forward-everything")),
            "rule"
        );
        assert_eq!(
            with(|r| r["matched_rule"] = json!(""))
                .unwrap()
                .matched_rule,
            None
        );
    }

    #[test]
    fn only_allowed_actions_with_known_fields_are_accepted() {
        let action = |kind: &str, params: Value| {
            let kind = kind.to_owned();
            class(move |r| {
                r["actions"][0] =
                    json!({"type": kind, "params": params, "rationale": "", "confidence": 1});
            })
        };
        assert_eq!(
            action("label", json!({"label": "bills", "title": null})),
            "ok"
        );
        assert_eq!(action("archive", json!({})), "ok");
        assert_eq!(action("forward", json!({"to": "a@b.c"})), "action");
        assert_eq!(action("reply", json!({})), "action");
        assert_eq!(action("rm_rf", json!({})), "action");
        assert_eq!(
            action("label", json!({"label": "x", "to": "a@b.c"})),
            "action"
        );
        assert_eq!(action("create_task", json!({})), "action");
        let four = json!([
            good()["actions"][0],
            good()["actions"][0],
            good()["actions"][0],
            good()["actions"][0]
        ]);
        assert_eq!(class(|r| r["actions"] = four.clone()), "length");
    }

    #[test]
    fn figures_and_dates_must_occur_in_the_email() {
        assert_eq!(
            class(|r| r["entities"]["amounts"] = json!(["€ 1,250.00"])),
            "ok"
        );
        assert_eq!(
            class(|r| r["entities"]["amounts"] = json!(["EUR 9,999.00"])),
            "ungrounded"
        );
        assert_eq!(
            class(|r| r["entities"]["dates"] = json!(["2026-11-30"])),
            "ok"
        );
        assert_eq!(
            class(|r| r["entities"]["dates"] = json!(["2026-12-25"])),
            "ungrounded"
        );
        assert_eq!(
            class(|r| r["entities"]["dates"] = json!(["Thursday"])),
            "ungrounded"
        );
        let task = |field: &str, text: &str| {
            let (field, text) = (field.to_owned(), text.to_owned());
            class(move |r| r["actions"][0]["params"][&field] = json!(text))
        };
        assert_eq!(task("title", "Pay 1,250.00 EUR"), "ok");
        assert_eq!(task("title", "Pay 1,350.00 EUR"), "ungrounded");
        assert_eq!(task("title", "Pay 250 EUR"), "ungrounded");
        assert_eq!(task("title", "Pay by the 30th for inv-42"), "ok");
        assert_eq!(task("due", "2026-11-30"), "ok");
        assert_eq!(task("due", "tomorrow"), "ungrounded");
        assert_eq!(task("notes", "At 9:30 on Friday"), "ok");
    }

    #[test]
    fn every_shipped_fixture_is_a_valid_answer() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fixtures/triage");
        let files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert!(!files.is_empty());
        let any = Mail::parse(b"From: a@b.c\n\nHello").unwrap();
        for file in files {
            let fixture: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let read = parse_reply(&fixture["answer"].to_string(), &any, &[]);
            assert!(read.is_ok(), "{}: {read:?}", file.display());
        }
    }
}
