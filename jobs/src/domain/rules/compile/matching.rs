//! The `match` and `learned` parts of a rule.

use super::super::condition::{AttachmentMatch, HeaderMatch, Learned, ListMatch, Match, TextMatch};
use super::super::glob::Glob;
use super::super::limits;
use super::super::reader::{Faults, Node};
use super::super::regexes::NotCompiled;
use regex::Regex;

const MATCH_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "subject",
    "body",
    "header",
    "list",
    "has_attachment",
    "is_reply",
];

pub(super) fn read_match(node: &Node<'_>, faults: &mut Faults) -> Match {
    if !node.is_mapping_of(MATCH_FIELDS, faults) {
        return Match::default();
    }
    Match {
        from: read_globs(node, "from", faults),
        to: read_globs(node, "to", faults),
        cc: read_globs(node, "cc", faults),
        subject: node
            .field("subject")
            .and_then(|text| read_text_match(&text, faults)),
        body: node
            .field("body")
            .and_then(|text| read_text_match(&text, faults)),
        header: node
            .field("header")
            .map(|list| list.one_or_many(faults))
            .unwrap_or_default()
            .iter()
            .filter_map(|header| read_header_match(header, faults))
            .collect(),
        list: node
            .field("list")
            .and_then(|list| match list.value.as_bool() {
                Some(wanted) => Some(ListMatch::Is(wanted)),
                None => read_glob(&list, faults).map(ListMatch::Id),
            }),
        has_attachment: node
            .field("has_attachment")
            .and_then(|file| match file.value.as_bool() {
                Some(wanted) => Some(AttachmentMatch::Any(wanted)),
                None => read_glob(&file, faults).map(AttachmentMatch::Named),
            }),
        is_reply: node.field("is_reply").and_then(|flag| flag.flag(faults)),
    }
}

fn read_globs(node: &Node<'_>, key: &str, faults: &mut Faults) -> Vec<Glob> {
    let Some(list) = node.field(key) else {
        return Vec::new();
    };
    let patterns = list.one_or_many(faults);
    if patterns.len() > limits::PATTERNS {
        faults.add(
            &list.pointer,
            "TOO_MANY",
            format!("a field may have {} patterns", limits::PATTERNS),
        );
        return Vec::new();
    }
    patterns
        .iter()
        .filter_map(|pattern| read_glob(pattern, faults))
        .collect()
}

fn read_glob(node: &Node<'_>, faults: &mut Faults) -> Option<Glob> {
    let pattern = node.text(limits::PATTERN, faults)?;
    Glob::compile(pattern)
        .map_err(|reason| faults.add(&node.pointer, "BAD_PATTERN", reason))
        .ok()
}

/// Text or a list of texts (any of them), or `{contains: …, regex: …}` (either).
fn read_text_match(node: &Node<'_>, faults: &mut Faults) -> Option<TextMatch> {
    if !node.value.is_mapping() {
        return Some(TextMatch {
            contains: read_needles(node, faults),
            regex: None,
        });
    }
    node.is_mapping_of(&["contains", "regex"], faults);
    let test = TextMatch {
        contains: node
            .field("contains")
            .map(|list| read_needles(&list, faults))
            .unwrap_or_default(),
        regex: node
            .field("regex")
            .and_then(|regex| read_regex(&regex, faults)),
    };
    if node.field("contains").is_none() && node.field("regex").is_none() {
        faults.add(&node.pointer, "EMPTY_MATCH", "needs `contains` or `regex`");
    }
    Some(test)
}

fn read_needles(node: &Node<'_>, faults: &mut Faults) -> Vec<String> {
    let needles = node.one_or_many(faults);
    if needles.len() > limits::PATTERNS {
        faults.add(
            &node.pointer,
            "TOO_MANY",
            format!("a field may have {} texts", limits::PATTERNS),
        );
        return Vec::new();
    }
    needles
        .iter()
        .filter_map(|needle| needle.text(limits::PATTERN, faults))
        .map(str::to_lowercase)
        .collect()
}

fn read_regex(node: &Node<'_>, faults: &mut Faults) -> Option<Regex> {
    let source = node.text(limits::REGEX, faults)?;
    let message = match faults.regexes.compile(source) {
        Ok(regex) if regex.is_match("") => {
            "the expression matches nothing at all, and so everything".to_owned()
        }
        Ok(regex) => return Some(regex),
        Err(NotCompiled::Invalid(reason)) => reason,
        Err(NotCompiled::TooComplex) => "the expression is too complex".to_owned(),
        Err(NotCompiled::NoneLeft) => {
            let message = "the expressions of this set are too complex together; leave some out";
            faults.add(&node.pointer, "TOO_MANY_REGEXES", message);
            return None;
        }
    };
    faults.add(&node.pointer, "BAD_REGEX", message);
    None
}

fn read_header_match(node: &Node<'_>, faults: &mut Faults) -> Option<HeaderMatch> {
    if !node.is_mapping_of(&["name", "contains", "regex"], faults) {
        return None;
    }
    let Some(name) = node.field("name") else {
        faults.add(
            &format!("{}/name", node.pointer),
            "MISSING_FIELD",
            "a header test needs the header's name",
        );
        return None;
    };
    let text = name.text(100, faults)?;
    if !text.chars().all(|c| c.is_ascii_graphic() && c != ':') {
        faults.add(
            &name.pointer,
            "BAD_NAME",
            "a header's name is made of letters, digits and `-`, without the colon",
        );
        return None;
    }
    let value = TextMatch {
        contains: node
            .field("contains")
            .map(|list| read_needles(&list, faults))
            .unwrap_or_default(),
        regex: node
            .field("regex")
            .and_then(|regex| read_regex(&regex, faults)),
    };
    let tested = node.field("contains").is_some() || node.field("regex").is_some();
    Some(HeaderMatch {
        name: text.to_lowercase(),
        value: tested.then_some(value),
    })
}

pub(super) fn read_learned(node: &Node<'_>, faults: &mut Faults) -> (Vec<Learned>, Vec<Learned>) {
    if !node.is_mapping_of(&["include", "exclude"], faults) {
        return Default::default();
    }
    let mut read = |key: &str| -> Vec<Learned> {
        let Some(list) = node.field(key) else {
            return Vec::new();
        };
        let items = list.items(faults);
        if items.len() > limits::LEARNED {
            faults.add(
                &list.pointer,
                "TOO_MANY",
                format!("at most {} learned patterns", limits::LEARNED),
            );
            return Vec::new();
        }
        items
            .iter()
            .filter_map(|item| read_learned_pattern(item, faults))
            .collect()
    };
    (read("include"), read("exclude"))
}

fn read_learned_pattern(node: &Node<'_>, faults: &mut Faults) -> Option<Learned> {
    if !node.is_mapping_of(&["from", "subject"], faults) {
        return None;
    }
    if node.field("from").is_none() && node.field("subject").is_none() {
        faults.add(
            &node.pointer,
            "EMPTY_MATCH",
            "a learned pattern needs `from` or `subject`",
        );
        return None;
    }
    Some(Learned {
        from: read_globs(node, "from", faults),
        subject: node
            .field("subject")
            .and_then(|text| read_text_match(&text, faults)),
    })
}
