//! YAML → [`RuleSet`], with all faults found in one pass. Nothing is repaired silently: the set is stored as it was
//! read.

mod actions;
mod matching;

use super::condition::Op;
use super::reader::{Faults, Node};
use super::{Rule, RuleFault, RuleSet, Settings, document, limits};
use crate::domain::judgement::{Category, Disposition, Priority, Sla};
use actions::{read_actions, refuse_mail_to_spoofable_senders};
use matching::{read_learned, read_match};
use std::collections::HashMap;

const RULE_FIELDS: &[&str] = &[
    "name",
    "description",
    "priority",
    "enabled",
    "match",
    "op",
    "llm_condition",
    "run_on_threads",
    "stop",
    "set",
    "actions",
    "learned",
];

pub(super) fn compile(yaml: &str) -> Result<RuleSet, Vec<RuleFault>> {
    let document = document::read(yaml).map_err(|fault| vec![fault])?;
    let mut faults = Faults::default();
    let root = Node {
        value: &document,
        pointer: String::new(),
    };
    let mut rules = Vec::new();
    if root.is_mapping_of(&["rules"], &mut faults) {
        match root.field("rules") {
            Some(list) => rules = read_rules(&list, &mut faults),
            None => faults.add(
                "/rules",
                "MISSING_FIELD",
                "a rule set needs `rules`, a list",
            ),
        }
    }
    // A stable sort: rules of one priority keep the order of the file.
    rules.sort_by_key(|rule| rule.priority);
    if faults.found.is_empty() {
        // Patterns are kept as characters, of four bytes each.
        let weight = faults.regexes.taken() + yaml.len() * 4;
        Ok(RuleSet { rules, weight })
    } else {
        Err(faults.found)
    }
}

fn read_rules(list: &Node<'_>, faults: &mut Faults) -> Vec<Rule> {
    let items = list.items(faults);
    if items.len() > limits::RULES {
        faults.add(
            &list.pointer,
            "TOO_MANY",
            format!("a rule set may have {} rules", limits::RULES),
        );
        return Vec::new();
    }
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut rules = Vec::new();
    for item in &items {
        if !item.is_mapping_of(RULE_FIELDS, faults) {
            continue;
        }
        if let Some(rule) = read_rule(item, faults) {
            // Readers would take names that differ only in case for one name.
            if let Some(former) = seen.insert(rule.name.to_lowercase(), item.pointer.clone()) {
                let message = format!("`{}` is also the name of {former}", rule.name);
                faults.add(&format!("{}/name", item.pointer), "DUPLICATE_NAME", message);
            }
            rules.push(rule);
        }
    }
    rules
}

fn read_rule(node: &Node<'_>, faults: &mut Faults) -> Option<Rule> {
    let name = match node.field("name") {
        Some(name) => read_name(&name, faults),
        None => {
            faults.add(
                &format!("{}/name", node.pointer),
                "MISSING_FIELD",
                "a rule needs a name",
            );
            None
        }
    };
    let text = |key: &str, max: usize, faults: &mut Faults| {
        node.field(key)
            .and_then(|text| text.text(max, faults))
            .map(str::to_owned)
    };
    let flag = |key: &str, default: bool, faults: &mut Faults| {
        node.field(key)
            .and_then(|flag| flag.flag(faults))
            .unwrap_or(default)
    };
    let conditions = node.field("match").map(|found| read_match(&found, faults));
    let llm_condition = text("llm_condition", limits::LLM_CONDITION, faults);
    let (includes, excludes) = node
        .field("learned")
        .map(|found| read_learned(&found, faults))
        .unwrap_or_default();
    let op = node
        .field("op")
        .and_then(|op| op.word(&[Op::And, Op::Or], Op::as_str, faults))
        .unwrap_or_default();
    // A match whose fields are all faulty was reported already.
    let says_nothing = node
        .field("match")
        .is_none_or(|m| m.value.as_mapping().is_some_and(|m| m.is_empty()));
    if says_nothing && node.field("llm_condition").is_none() && includes.is_empty() {
        let message = "a rule needs something to match, a learned include or an llm_condition";
        faults.add(&format!("{}/match", node.pointer), "EMPTY_MATCH", message);
    }
    let rule = Rule {
        name: name.unwrap_or_default(),
        description: text("description", limits::DESCRIPTION, faults),
        priority: node
            .field("priority")
            .and_then(|p| p.integer(0..=10_000, faults))
            .unwrap_or(100),
        enabled: flag("enabled", true, faults),
        conditions: conditions.unwrap_or_default(),
        op,
        llm_condition,
        run_on_threads: flag("run_on_threads", true, faults),
        stop: flag("stop", false, faults),
        settings: node
            .field("set")
            .map(|set| read_settings(&set, faults))
            .unwrap_or_default(),
        actions: node
            .field("actions")
            .map(|list| read_actions(&list, faults))
            .unwrap_or_default(),
        includes,
        excludes,
    };
    refuse_mail_to_spoofable_senders(node, &rule, faults);
    (!rule.name.is_empty()).then_some(rule)
}

/// Names reach the audit log, metrics and the model: short and technical.
fn read_name(node: &Node<'_>, faults: &mut Faults) -> Option<String> {
    let name = node.text(limits::NAME, faults)?;
    let technical = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !technical || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let message =
            "a name is made of letters, digits, `.`, `_` and `-`, such as `client-invoices`";
        faults.add(&node.pointer, "BAD_NAME", message);
        return None;
    }
    Some(name.to_owned())
}

fn read_settings(node: &Node<'_>, faults: &mut Faults) -> Settings {
    if !node.is_mapping_of(&["category", "disposition", "priority", "sla"], faults) {
        return Settings::default();
    }
    Settings {
        category: node
            .field("category")
            .and_then(|n| n.word(Category::ALL, Category::as_str, faults)),
        disposition: node
            .field("disposition")
            .and_then(|n| n.word(Disposition::ALL, Disposition::as_str, faults)),
        priority: node
            .field("priority")
            .and_then(|n| n.word(Priority::ALL, Priority::as_str, faults)),
        sla: node
            .field("sla")
            .and_then(|n| n.word(Sla::ALL, Sla::as_str, faults)),
    }
}
