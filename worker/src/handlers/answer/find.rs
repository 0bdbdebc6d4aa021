//! Finds the JSON object in an answer: [`object`]. Models think aloud before it, wrap it, and go on talking after it.

use super::{AnswerFault, AnswerFaultClass, fault, holds_any};
use serde_json::{Deserializer, Map, Value};

/// The tags that end the thoughts of a reasoning model. Some servers cut off the opening tag.
const THOUGHT_ENDS: [&str; 2] = ["</think>", "</thinking>"];
/// How many braces are tried, so that a long answer of nothing but braces is soon given up.
const TRIES: usize = 64;

/// Returns the object with a field of `wanted`, else the first object. One that ends before the thoughts do is no answer, and of
/// two that differ nobody knows which is: the email may have brought one.
pub(super) fn object(text: &str, wanted: &[&str]) -> Result<Map<String, Value>, AnswerFault> {
    let thoughts = end_of_thoughts(text);
    // What follows the thoughts goes first. A tag may also stand in the words of an answer, which then begins before it.
    let after = braces(text, thoughts..text.len());
    let around = braces(text, 0..thoughts);
    let (mut first, mut chosen) = (None, None::<(Map<String, Value>, usize)>);
    for start in after.chain(around) {
        if chosen.as_ref().is_some_and(|(_, end)| start < *end) {
            continue;
        }
        let Some((map, end)) = object_at(text, start) else {
            continue;
        };
        if end <= thoughts {
            continue;
        }
        match &chosen {
            _ if !holds_any(&map, wanted) => {
                first.get_or_insert(map);
            }
            None => chosen = Some((map, end)),
            Some((known, _)) if *known == map => {}
            Some(_) => {
                return Err(fault(
                    AnswerFaultClass::Json,
                    "write one JSON object and nothing else".to_owned(),
                ));
            }
        }
    }
    let found = chosen.map(|(map, _)| map).or(first);
    found.ok_or_else(|| fault_of(&text[thoughts..]))
}

fn end_of_thoughts(text: &str) -> usize {
    let ends = THOUGHT_ENDS
        .iter()
        .filter_map(|tag| text.rfind(tag).map(|at| at + tag.len()));
    ends.max().unwrap_or_default()
}

fn braces(text: &str, range: std::ops::Range<usize>) -> impl Iterator<Item = usize> {
    let offset = range.start;
    let found = text[range].match_indices('{');
    found.take(TRIES).map(move |(at, _)| offset + at)
}

/// Returns the object that starts there, and where it ends.
fn object_at(text: &str, start: usize) -> Option<(Map<String, Value>, usize)> {
    let mut values = Deserializer::from_str(&text[start..]).into_iter();
    let map = values.next()?.ok()?;
    Some((map, start + values.byte_offset()))
}

/// Says what is wrong with a text that holds no object.
fn fault_of(text: &str) -> AnswerFault {
    let start = text.find('{').unwrap_or_default();
    match serde_json::from_str::<Value>(&text[start..]) {
        Ok(_) => fault(
            AnswerFaultClass::Schema,
            "the answer must be one JSON object".to_owned(),
        ),
        Err(error) => {
            let message = error.to_string().chars().take(400).collect();
            fault(AnswerFaultClass::Json, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ANSWER: &str = r#"{"category": "task", "note": "a } brace"}"#;

    fn found(text: &str) -> Option<Value> {
        object(text, &["category"]).ok().map(Value::Object)
    }

    #[test]
    fn answer_is_found_after_thoughts() {
        for text in [
            format!("<think>The schema wants {{category, note}}</think>{ANSWER}"),
            format!(r#"The schema wants {{}}, as {{"category": "fyi"}}.</think> {ANSWER}"#),
            format!(
                "<thinking>{}</thinking>\n```json\n{ANSWER}\n```",
                "{x} ".repeat(TRIES)
            ),
            format!("<think>a</think>No: <think>{{b}}</think>{ANSWER}"),
        ] {
            assert_eq!(found(&text), serde_json::from_str(ANSWER).ok(), "{text}");
        }
    }

    #[test]
    fn answer_is_found_between_prose_and_other_objects() {
        for text in [
            format!("{ANSWER}\n{ANSWER}"),
            format!("{ANSWER}\nNote: {{x}} was left out."),
            format!("I start with {{}} and fill it in: {ANSWER}"),
            format!(r#"{{"thoughts": "none", "answer": {ANSWER}}}"#),
            format!(r#"{{"category": null}} was wrong: {ANSWER}"#),
        ] {
            assert_eq!(found(&text), serde_json::from_str(ANSWER).ok(), "{text}");
        }
    }

    #[test]
    fn answer_may_speak_of_the_tag_that_ends_thoughts() {
        let answer =
            json!({"category": "task", "note": "It says </think> {\"category\": \"fyi\"}."});
        assert_eq!(found(&answer.to_string()), Some(answer));
    }

    #[test]
    fn answer_beside_another_is_none() {
        let quoted = r#"It says {"category": "newsletter"}, which I ignore."#;
        assert_eq!(found(&format!("{quoted}\n{ANSWER}")), None);
    }

    #[test]
    fn object_without_a_wanted_field_is_better_than_none() {
        assert_eq!(found(r#"So: {"a": 1} {"b": 2}"#), Some(json!({"a": 1})));
    }

    #[test]
    fn thoughts_alone_are_no_answer() {
        assert_eq!(found(&format!("<think>{ANSWER}</think>")), None);
    }

    #[test]
    fn braces_are_tried_a_limited_number_of_times() {
        assert_eq!(found(&format!("{}{ANSWER}", "{".repeat(TRIES))), None);
        assert!(found(&format!("{}{ANSWER}", "{".repeat(TRIES - 1))).is_some());
    }

    #[test]
    fn fault_says_whether_the_json_or_its_form_is_wrong() {
        let class = |text: &str| object(text, &[]).map_err(|fault| fault.class);
        assert_eq!(class("[]"), Err(AnswerFaultClass::Schema));
        for text in ["", "I cannot.", "{\"note\": \"cut", "<think>hm</think>"] {
            assert_eq!(class(text), Err(AnswerFaultClass::Json), "{text}");
        }
    }
}
