//! Editing the parameters of an approval: [`patch`].

use crate::domain::action::{ActionType, ParamFault, Params, canonical_sha256};
use serde_json::{Map, Value};

/// The payload of an approval after an edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    pub payload: Value,
    pub payload_hash: [u8; 32],
    pub summary: String,
}

/// The payload was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchFault {
    /// The payload has no parameters.
    #[error("this kind of approval has no parameters")]
    NoParams,
    #[error("{} parameters cannot be used", .0.len())]
    Params(Vec<ParamFault>),
}

/// Replaces parameters by `changes`; a null removes one. The result must be valid parameters, and everything else of
/// the payload stays.
///
/// # Errors
/// If the payload has no parameters, or the result is not valid.
pub fn patch(payload: &Value, changes: &Map<String, Value>) -> Result<Patched, PatchFault> {
    let kind = payload["type"].as_str().and_then(ActionType::parse);
    let (Some(kind), Value::Object(present)) = (kind, &payload["params"]) else {
        return Err(PatchFault::NoParams);
    };
    let mut wanted = present.clone();
    wanted.extend(changes.clone());
    let params = Params::read(kind, &wanted).map_err(PatchFault::Params)?;
    let mut payload = payload.clone();
    payload["params"] = params.as_json();
    Ok(Patched {
        payload_hash: canonical_sha256(&payload),
        payload,
        summary: params.summary(kind).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task() -> Value {
        json!({
            "type": "create_task",
            "params": {"title": "Pay", "notes": "soon"},
            "source_ids": {"email_message_id": "m1"},
        })
    }

    fn changes(value: &Value) -> &Map<String, Value> {
        value.as_object().unwrap()
    }

    #[test]
    fn patch_changes_what_it_names_and_removes_what_it_nulls() {
        let wanted = json!({"title": "Pay Ada", "notes": null, "due": "Friday"});
        let patched = patch(&task(), changes(&wanted)).unwrap();
        assert_eq!(
            patched.payload,
            json!({
                "type": "create_task",
                "params": {"title": "Pay Ada", "due": "Friday"},
                "source_ids": {"email_message_id": "m1"},
            })
        );
        assert_eq!(patched.summary, "Pay Ada");
        assert_eq!(patched.payload_hash, canonical_sha256(&patched.payload));
        assert_ne!(patched.payload_hash, canonical_sha256(&task()));
    }

    #[test]
    fn patch_is_held_to_what_triage_is_held_to() {
        let wanted = json!({"title": null, "colour": "red"});
        let Err(PatchFault::Params(faults)) = patch(&task(), changes(&wanted)) else {
            panic!("bad parameters were taken")
        };
        let codes: Vec<_> = faults
            .iter()
            .map(|fault| (fault.field.as_str(), fault.code))
            .collect();
        assert_eq!(
            codes,
            [("title", "MISSING_FIELD"), ("colour", "UNKNOWN_FIELD")]
        );
    }

    #[test]
    fn what_has_no_parameters_is_not_patched() {
        for payload in [
            json!({}),
            json!({"type": "create_task"}),
            json!({"type": "x", "params": {}}),
        ] {
            assert_eq!(patch(&payload, &Map::new()), Err(PatchFault::NoParams));
        }
    }
}
