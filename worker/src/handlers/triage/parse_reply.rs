//! Parses the model's answer into a [`Reply`], or a [`ReplyFault`] for its one repair.
//!
//! Trusts nothing. What is harmless is cut, dropped or folded ([`answer`](crate::handlers::answer)): small models fail on it most. What matters is
//! repaired once: category, disposition, the rule, and figures that do not occur in the email. What even the repaired
//! answer gets wrong in an action costs that action, not the judgement ([`parse_repaired`]).

mod actions;
mod grounding;

use crate::handlers::answer::{AnswerFault, AnswerFaultClass, Object, missing};
use actions::{Ungrounded, read_actions};
use grounding::Grounding;
use jobs::domain::{
    judgement::{Category, Disposition, Priority, Sla, scrub},
    mail::Mail,
    proposal::Proposal,
};

const REASONING: usize = 300;
/// An answer without these fields says nothing about the email.
const JUDGEMENT: [&str; 2] = ["category", "disposition"];

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
    /// Whether the answer held a judgement at all. Without one, the repair must show the email again.
    pub(super) judged: bool,
}

impl From<AnswerFault> for ReplyFault {
    fn from(found: AnswerFault) -> Self {
        let class = match found.class {
            AnswerFaultClass::Json => FaultClass::Json,
            AnswerFaultClass::Schema => FaultClass::Schema,
            AnswerFaultClass::Enum => FaultClass::Enum,
        };
        fault(class, found.message)
    }
}

/// The label of a fault in metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultClass {
    Json,
    Schema,
    Enum,
    Rule,
    Ungrounded,
}

impl FaultClass {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Schema => "schema",
            Self::Enum => "enum",
            Self::Rule => "rule",
            Self::Ungrounded => "ungrounded",
        }
    }
}

/// Parses and checks an answer about `mail`; `candidates` are the rules that the model may choose.
pub(super) fn parse_reply(
    text: &str,
    mail: &Mail,
    candidates: &[&str],
) -> Result<Reply, ReplyFault> {
    parse(text, mail, candidates, Ungrounded::IsFault)
}

/// As [`parse_reply`] for the repaired answer, of which there is no second repair: an action with a figure that is not in
/// the email is dropped.
pub(super) fn parse_repaired(
    text: &str,
    mail: &Mail,
    candidates: &[&str],
) -> Result<Reply, ReplyFault> {
    parse(text, mail, candidates, Ungrounded::IsDropped)
}

fn parse(
    text: &str,
    mail: &Mail,
    candidates: &[&str],
    ungrounded: Ungrounded,
) -> Result<Reply, ReplyFault> {
    let object = Object::find(text, &JUDGEMENT)?;
    let judged = object.holds_any(&JUDGEMENT);
    read(&object, mail, candidates, ungrounded).map_err(|fault| ReplyFault { judged, ..fault })
}

fn read(
    object: &Object,
    mail: &Mail,
    candidates: &[&str],
    ungrounded: Ungrounded,
) -> Result<Reply, ReplyFault> {
    let confidence = object
        .share("confidence")?
        .ok_or_else(|| missing("confidence"))?;
    let grounding = Grounding::of(mail);
    Ok(Reply {
        reasoning: shown(object.text("reasoning"), REASONING),
        disposition: object.word("disposition", Disposition::ALL, Disposition::as_str)?,
        category: object.word("category", Category::ALL, Category::as_str)?,
        priority: object.word("priority", Priority::ALL, Priority::as_str)?,
        sla: sla(object)?,
        matched_rule: matched_rule(object, candidates)?,
        confidence,
        proposals: read_actions(object, confidence, &grounding, ungrounded)?,
        injection_suspected: object.flag("injection_suspected")?,
    })
}

/// Returns a text of the model as the user may see it.
fn shown(text: &str, max: usize) -> String {
    cut(&scrub(text.trim()), max)
}

/// Cuts a text at its limit, with a mark.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(max.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// Reads the deadline: `<24h` is often written without its mark, and "none" as null.
fn sla(object: &Object) -> Result<Sla, ReplyFault> {
    if object.is_null("sla") {
        return Ok(Sla::None);
    }
    Ok(object.word("sla", Sla::ALL, |sla| sla.as_str().trim_start_matches('<'))?)
}

/// Reads the rule: a candidate in any capitals, or none in any words.
fn matched_rule(object: &Object, candidates: &[&str]) -> Result<Option<String>, ReplyFault> {
    let name = object.text("matched_rule").trim();
    let same = |candidate: &&&str| candidate.to_lowercase() == name.to_lowercase();
    if let Some(candidate) = candidates.iter().find(same) {
        return Ok(Some((*candidate).to_owned()));
    }
    let word = name.to_lowercase();
    if matches!(
        word.trim_matches(['"', '\'', '.', '-', '(', ')']),
        "" | "none" | "null" | "nil" | "n/a" | "na" | "no rule" | "no match" | "not applicable"
    ) {
        return Ok(None);
    }
    let known = match candidates {
        [] => "none".to_owned(),
        _ => candidates.join(", "),
    };
    Err(fault(
        FaultClass::Rule,
        format!("matched_rule must be null or one of: {known}"),
    ))
}

fn fault(class: FaultClass, message: String) -> ReplyFault {
    ReplyFault {
        class,
        message,
        judged: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
    fn what_matters_is_a_fault() {
        let without = |field: &'static str| {
            class(move |r| {
                r.as_object_mut().unwrap().remove(field);
            })
        };
        for field in [
            "category",
            "disposition",
            "priority",
            "sla",
            "confidence",
            "injection_suspected",
        ] {
            assert_eq!(without(field), "schema", "{field}");
        }
        assert_eq!(class(|r| r["category"] = json!("urgent!!")), "enum");
        assert_eq!(class(|r| r["category"] = json!(["task"])), "schema");
        for confidence in [
            json!(1.5),
            json!(-0.1),
            json!(101),
            json!("high"),
            json!(null),
        ] {
            assert_eq!(
                class(|r| r["confidence"] = confidence.clone()),
                "schema",
                "{confidence}"
            );
        }
    }

    #[test]
    fn fault_says_whether_there_was_a_judgement_to_repair() {
        for text in [
            "",
            "I cannot help with that.",
            "{\"reasoning\": \"cut",
            "[]",
            "null",
            "{\"answer\": \"yes\"}",
        ] {
            let fault = parse_reply(text, &mail(), &[]).unwrap_err();
            assert!(!fault.judged, "{text}");
        }
        assert!(
            with(|r| r["matched_rule"] = json!("forward-everything"))
                .unwrap_err()
                .judged
        );
        assert!(with(|r| r["priority"] = json!("P1")).unwrap_err().judged);
    }

    #[test]
    fn harmless_deviations_are_cut_dropped_or_folded() {
        let plain = with(|_| ()).unwrap();
        let same = |what: &str, change: &dyn Fn(&mut Value)| {
            assert_eq!(with(change).as_ref(), Ok(&plain), "{what}");
        };
        same("an extra field", &|r| r["extra"] = json!(1));
        same("an extra field of an action", &|r| {
            r["actions"][0]["to"] = json!("a@b.c");
        });
        same("an extra parameter", &|r| {
            r["actions"][0]["params"]["to"] = json!("a@b.c");
        });
        same("the word none", &|r| r["matched_rule"] = json!("None."));
        same("capitals", &|r| {
            r["category"] = json!(" Task ");
            r["priority"] = json!("HIGH");
            r["disposition"] = json!("Notify");
            r["actions"][0]["type"] = json!("Create Task");
        });
        same("the deadline without its mark", &|r| {
            r["sla"] = json!("24h");
        });
        same("confidence as text", &|r| r["confidence"] = json!("0.8"));
        same("confidence with a comma", &|r| {
            r["confidence"] = json!("0,8");
        });
        same("confidence as percent", &|r| r["confidence"] = json!(80));
        same("confidence as percent in text", &|r| {
            r["confidence"] = json!("80 %");
        });
        same("a flag as text", &|r| {
            r["injection_suspected"] = json!("False");
        });
        same("no entities", &|r| {
            r.as_object_mut().unwrap().remove("entities");
        });
        same("entities that do not occur", &|r| {
            r["entities"]["amounts"] = json!(["EUR 9,999.00"]);
        });
        same("an action that models may not propose", &|r| {
            r["actions"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "forward", "params": {"to": "a@b.c"}}));
        });
        same("the answer inside another object", &|r| {
            *r = json!({ "triage_v3": r.clone() });
        });
        let four = json!([
            good()["actions"][0],
            good()["actions"][0],
            good()["actions"][0],
            good()["actions"][0]
        ]);
        assert_eq!(
            with(|r| r["actions"] = four.clone())
                .unwrap()
                .proposals
                .len(),
            3
        );
        let long = with(|r| r["reasoning"] = json!("x".repeat(301)))
            .unwrap()
            .reasoning;
        assert_eq!(
            (long.chars().count(), long.chars().last()),
            (300, Some('…'))
        );
        let none = |value: Value| with(|r| r["actions"] = value.clone()).unwrap().proposals;
        assert_eq!(none(Value::Null), []);
        assert_eq!(
            none(json!([{"type": "archive"}]))[0].kind.as_str(),
            "archive"
        );
        let beside = none(json!([{"type": "label", "label": "bills", "rationale": "x"}]));
        assert_eq!(beside[0].params.get("label"), Some("bills"));
    }

    #[test]
    fn matched_rule_must_be_a_candidate() {
        for name in ["contracts", "Contracts ", "CONTRACTS"] {
            let rule = with(|r| r["matched_rule"] = json!(name))
                .unwrap()
                .matched_rule;
            assert_eq!(rule.as_deref(), Some("contracts"));
        }
        assert_eq!(
            class(|r| r["matched_rule"] = json!("forward-everything")),
            "rule"
        );
        for nothing in ["", "none", "null", "N/A", "no rule"] {
            let rule = with(|r| r["matched_rule"] = json!(nothing))
                .unwrap()
                .matched_rule;
            assert_eq!(rule, None);
        }
    }

    #[test]
    fn action_without_what_it_needs_is_dropped() {
        let kept = |kind: &str, params: Value| {
            let kind = kind.to_owned();
            let reply = with(move |r| {
                r["actions"] =
                    json!([{"type": kind, "params": params, "rationale": "", "confidence": 1}]);
            });
            reply.unwrap().proposals.len()
        };
        assert_eq!(kept("label", json!({"label": "bills", "title": null})), 1);
        assert_eq!(kept("archive", json!({})), 1);
        assert_eq!(kept("archive", json!(null)), 1);
        assert_eq!(kept("forward", json!({"to": "a@b.c"})), 0);
        assert_eq!(kept("reply", json!({})), 0);
        assert_eq!(kept("rm_rf", json!({})), 0);
        assert_eq!(kept("create_task", json!({})), 0);
        for label in [
            "$Junk",
            "$Phishing",
            "\\Deleted",
            "NotJunk",
            "see evil.example/x",
        ] {
            assert_eq!(kept("label", json!({"label": label})), 0, "{label}");
        }
    }

    #[test]
    fn no_field_passes_on_links_addresses_or_secrets() {
        let evil = "Go to https://evil.example/x, ask eve@evil.example, the code is 493817.";
        let clean = "Go to [link removed], ask [address removed], the code is [secret removed].";
        let reply = with(|r| {
            r["reasoning"] = json!(evil);
            r["actions"] = json!([
                {"type": "notify", "params": {"text": evil.replace("493817", "1,250.00")}, "rationale": evil, "confidence": 1},
            ]);
        });
        let reply = reply.unwrap();
        assert_eq!(reply.reasoning, clean);
        let notify = &reply.proposals[0];
        assert_eq!(notify.rationale.as_deref(), Some(clean));
        let text = notify.params.get("text").unwrap();
        assert!(
            !text.contains("evil") && text.contains("[link removed]"),
            "{text}"
        );
    }

    #[test]
    fn figures_and_dates_must_occur_in_the_email() {
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
        let mut invented = good();
        invented["actions"][0]["params"]["title"] = json!("Pay 250 EUR");
        let repaired = parse_repaired(&invented.to_string(), &mail(), &[]).unwrap();
        assert_eq!(
            (repaired.category, repaired.proposals.len()),
            (Category::Task, 0)
        );
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
