//! What differs between two outputs of a job: [`differences`], pure.

use serde_json::Value;

/// What differs each time: ids of new rows, and what the calls cost.
const LEFT_OUT: [&str; 5] = ["id", "approval_id", "draft_id", "version", "llm"];

/// Lists the differences, one line each: a JSON pointer, the old and the new value.
pub(super) fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", old, new, &mut lines);
    lines
}

fn compare(pointer: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys
                .into_iter()
                .filter(|key| !LEFT_OUT.contains(&key.as_str()))
            {
                let at = format!("{pointer}/{key}");
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                compare(&at, &of(before).into(), &of(after).into(), lines);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for at in 0..before.len().max(after.len()) {
                let of = |list: &Vec<Value>| list.get(at).cloned();
                let pointer = format!("{pointer}/{at}");
                compare(&pointer, &of(before).into(), &of(after).into(), lines);
            }
        }
        _ if old == new => {}
        _ => lines.push(format!("{pointer}: {old} → {new}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_name_their_place_and_leave_out_new_ids_and_cost() {
        let old = json!({
            "category": "task", "llm": { "calls": 1 }, "actions": [{ "id": 1, "type": "archive" }], "rationale": "x"
        });
        let new = json!({
            "category": "fyi", "llm": { "calls": 2 }, "actions": [{ "id": 2, "type": "archive" }, { "type": "star" }],
            "rationale": "x"
        });
        assert_eq!(
            differences(&old, &new),
            [
                "/actions/1: null → {\"type\":\"star\"}",
                "/category: \"task\" → \"fyi\""
            ]
        );
        assert!(differences(&old, &old).is_empty());
    }
}
