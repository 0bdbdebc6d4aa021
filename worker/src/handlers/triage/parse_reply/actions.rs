//! Reads the proposed actions of an answer: [`read_actions`].
//!
//! An action that a model may not propose, that lacks a parameter, or whose label has a meaning for mail programs is
//! dropped: nothing happens then. A figure that is not in the email is a fault, because it would be believed.

use super::{FaultClass, REASONING, ReplyFault, cut, fault, grounding::Grounding, shown};
use crate::handlers::answer::{Object, folded};
use jobs::domain::{
    action::{ActionType, FieldKind, OpenTo, Params},
    gate::Confirmation,
    judgement::{is_reserved_label, scrub},
    proposal::Proposal,
};
use serde_json::{Map, Value};

const ACTIONS: usize = 3;

/// What an action with a figure that is not in the email means for the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ungrounded {
    IsFault,
    IsDropped,
}

/// Reads the first three usable actions. `confidence` is that of the whole answer, for actions that name none.
pub(super) fn read_actions(
    object: &Object,
    confidence: f32,
    grounding: &Grounding,
    ungrounded: Ungrounded,
) -> Result<Vec<Proposal>, ReplyFault> {
    let list = match object.get("actions") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one @ Value::Object(_)) => std::slice::from_ref(one),
        _ => &[],
    };
    let mut proposals = Vec::new();
    for action in list.iter().filter_map(Value::as_object) {
        let Some(proposal) = read_action(action, confidence) else {
            continue;
        };
        match (is_grounded(&proposal, grounding), ungrounded) {
            (Ok(()), _) => proposals.push(proposal),
            (Err(fault), Ungrounded::IsFault) => return Err(fault),
            (Err(_), Ungrounded::IsDropped) => {}
        }
        if proposals.len() == ACTIONS {
            break;
        }
    }
    Ok(proposals)
}

fn read_action(raw: &Map<String, Value>, confidence: f32) -> Option<Proposal> {
    let object = Object::of(raw);
    let name = folded(object.text("type"));
    let kind = ActionType::open_to(OpenTo::Models).find(|kind| folded(kind.as_str()) == name)?;
    let params = Params::read(kind, &known_params(kind, raw)).ok()?;
    if params
        .get("label")
        .is_some_and(|label| is_reserved_label(label) || scrub(label) != label)
    {
        return None;
    }
    let params = params.map_text(kind, scrub);
    let rationale = shown(object.text("rationale"), REASONING);
    Some(Proposal {
        kind,
        params,
        confirmation: Confirmation::AsTrusted,
        confidence: object
            .share("confidence")
            .ok()
            .flatten()
            .unwrap_or(confidence),
        rationale: (!rationale.is_empty()).then_some(rationale),
    })
}

/// Collects the parameters that the action has, from `params` or from the action itself, cut to their limits.
fn known_params(kind: ActionType, raw: &Map<String, Value>) -> Map<String, Value> {
    let inner = raw.get("params").and_then(Value::as_object);
    let mut params = Map::new();
    for field in kind.spec().parameters {
        let value = inner
            .and_then(|inner| inner.get(field.name))
            .or_else(|| raw.get(field.name));
        let value = match (value, field.kind) {
            (Some(Value::String(text)), _) if text.trim().is_empty() => continue,
            (Some(Value::String(text)), FieldKind::Text(max)) => Value::String(cut(text, max)),
            (Some(value), _) => value.clone(),
            (None, _) => continue,
        };
        params.insert(field.name.to_owned(), value);
    }
    params
}

fn is_grounded(proposal: &Proposal, grounding: &Grounding) -> Result<(), ReplyFault> {
    let kind = proposal.kind;
    for field in kind.spec().parameters {
        let Some(text) = proposal.params.get(field.name) else {
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
                "`{}` of {kind} holds a figure or date that is not in the email",
                field.name
            );
            return Err(fault(FaultClass::Ungrounded, message));
        }
    }
    Ok(())
}
