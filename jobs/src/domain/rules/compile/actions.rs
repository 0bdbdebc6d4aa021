//! The `actions` of a rule.

use super::super::condition::Op;
use super::super::glob::Glob;
use super::super::reader::{Faults, Node};
use super::super::{Rule, RuleAction, limits, template};
use crate::domain::action::{ActionType, FieldKind, OpenTo, Params};
use crate::domain::gate::Confirmation;

pub(super) fn read_actions(node: &Node<'_>, faults: &mut Faults) -> Vec<RuleAction> {
    let items = node.items(faults);
    if items.len() > limits::ACTIONS {
        faults.add(
            &node.pointer,
            "TOO_MANY",
            format!("a rule may have {} actions", limits::ACTIONS),
        );
        return Vec::new();
    }
    items
        .iter()
        .filter_map(|item| read_action(item, faults))
        .collect()
}

fn read_action(node: &Node<'_>, faults: &mut Faults) -> Option<RuleAction> {
    if !node.is_mapping_of(&["type", "params", "confirm"], faults) {
        return None;
    }
    let confirm = node
        .field("confirm")
        .and_then(|flag| flag.flag(faults))
        .unwrap_or(false);
    let Some(kind) = node.field("type") else {
        faults.add(
            &format!("{}/type", node.pointer),
            "MISSING_FIELD",
            "an action needs its type",
        );
        return None;
    };
    let open: Vec<_> = ActionType::open_to(OpenTo::RulesWithExactSender).collect();
    let kind = kind.word(&open, ActionType::as_str, faults)?;
    let pointer = format!("{}/params", node.pointer);
    let raw = match node
        .field("params")
        .map(|params| serde_json::to_value(params.value))
    {
        None => serde_json::Map::new(),
        Some(Ok(serde_json::Value::Object(raw))) => raw,
        Some(_) => {
            faults.add(&pointer, "WRONG_TYPE", "must be a mapping of text to text");
            return None;
        }
    };
    let params = Params::read(kind, &raw)
        .map_err(|wrong| {
            for fault in wrong {
                faults.add(
                    &format!("{pointer}/{}", fault.field),
                    fault.code,
                    fault.message,
                );
            }
        })
        .ok()?;
    for field in kind
        .spec()
        .parameters
        .iter()
        .filter(|field| matches!(field.kind, FieldKind::Text(_)))
    {
        if let Some(unknown) = params
            .get(field.name)
            .and_then(template::unknown_placeholder)
        {
            let message = format!(
                "`{{{{{unknown}}}}}` is not known; one of: {}",
                template::NAMES.join(", ")
            );
            faults.add(
                &format!("{pointer}/{}", field.name),
                "UNKNOWN_PLACEHOLDER",
                message,
            );
        }
    }
    let confirmation = if confirm {
        Confirmation::Required
    } else {
        Confirmation::AsTrusted
    };
    Some(RuleAction {
        kind,
        params,
        confirmation,
    })
}

/// Anyone can write any name, and any address of a domain, into `From`. A rule that replies to such messages by itself
/// would let strangers make this system send.
pub(super) fn refuse_mail_to_spoofable_senders(node: &Node<'_>, rule: &Rule, faults: &mut Faults) {
    let addresses = &rule.conditions.from;
    let learned = rule
        .includes
        .iter()
        .all(|pattern| only_written_out(&pattern.from));
    if rule.op == Op::And && only_written_out(addresses) && learned {
        return;
    }
    for (n, action) in rule.actions.iter().enumerate() {
        if !action.kind.is_open_to(OpenTo::Rules) {
            let message = format!(
                "{} needs a `from` of written-out addresses, joined with AND: names and wildcards can be forged",
                action.kind
            );
            faults.add(
                &format!("{}/actions/{n}/type", node.pointer),
                "SPOOFABLE_SENDER",
                message,
            );
        }
    }
}

fn only_written_out(globs: &[Glob]) -> bool {
    !globs.is_empty() && globs.iter().all(Glob::is_one_address)
}
