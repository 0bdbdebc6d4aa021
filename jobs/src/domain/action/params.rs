//! The parameters of an action: [`Params`] are checked against the [`Field`]s of its type, in rules when they are saved
//! and in a model's answer when it is read.

use super::super::{ConnectionId, mail::deliverable};
use super::field::{Field, FieldKind};
use super::spec::{Executor, MessageSource};
use super::types::ActionType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Checked parameters of an action: only known fields, all of them text within bounds. Deserialized parameters were
/// checked before they were stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(Map<String, Value>);

/// A fault in one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamFault {
    pub field: String,
    /// `UNKNOWN_FIELD`, `MISSING_FIELD`, `NOT_TEXT`, `BLANK`, `TOO_LONG`, `BAD_RECIPIENT` or `BAD_ID`.
    pub code: &'static str,
    pub message: String,
}

impl Params {
    /// Checks raw parameters. A null is an absent field: strict model schemas must spell out every field.
    ///
    /// # Errors
    /// All faults, in the order of the fields.
    pub fn read(action: ActionType, raw: &Map<String, Value>) -> Result<Self, Vec<ParamFault>> {
        let fields = action.spec().parameters;
        let mut faults = Vec::new();
        let mut params = Map::new();
        for field in fields {
            match raw.get(field.name).filter(|value| !value.is_null()) {
                Some(value) => match check(*field, value) {
                    Ok(text) => {
                        params.insert(field.name.to_owned(), Value::String(text));
                    }
                    Err(fault) => faults.push(fault),
                },
                None if field.required => faults.push(fault(
                    field.name,
                    "MISSING_FIELD",
                    format!("{action} needs `{}`", field.name),
                )),
                None => {}
            }
        }
        for (name, value) in raw {
            if !value.is_null() && !fields.iter().any(|field| field.name == name) {
                let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                let known = if known.is_empty() {
                    "nothing".into()
                } else {
                    known.join(", ")
                };
                faults.push(fault(
                    name,
                    "UNKNOWN_FIELD",
                    format!("{action} takes {known}"),
                ));
            }
        }
        if faults.is_empty() {
            Ok(Self(params))
        } else {
            Err(faults)
        }
    }

    /// Returns the parameter that says most about the action, else the title of its type.
    pub fn summary(&self, action: ActionType) -> &str {
        let spec = action.spec();
        spec.parameters
            .iter()
            .filter(|field| field.in_summary)
            .find_map(|field| self.get(field.name))
            .unwrap_or(spec.title)
    }

    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    pub fn as_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Replaces each text by `change` of it, cut to its field's bound; recipients stay as they were written.
    #[must_use]
    pub fn map_text(&self, action: ActionType, change: impl Fn(&str) -> String) -> Self {
        let mut changed = self.0.clone();
        for field in action.spec().parameters {
            if let (FieldKind::Text(max), Some(Value::String(text))) =
                (field.kind, changed.get_mut(field.name))
            {
                *text = change(text).trim().chars().take(max).collect();
            }
        }
        Self(changed)
    }
}

fn check(field: Field, value: &Value) -> Result<String, ParamFault> {
    // A bare number is what people write for minutes.
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(fault(
                field.name,
                "NOT_TEXT",
                format!("`{}` must be text", field.name),
            ));
        }
    };
    if text.is_empty() {
        return Err(fault(
            field.name,
            "BLANK",
            format!("`{}` must not be blank", field.name),
        ));
    }
    match field.kind {
        FieldKind::Text(max) if text.chars().count() > max => Err(fault(
            field.name,
            "TOO_LONG",
            format!("`{}` may have {max} characters", field.name),
        )),
        FieldKind::Recipient if !is_recipient(&text) => Err(fault(
            field.name,
            "BAD_RECIPIENT",
            format!("`{}` must be one address, written out", field.name),
        )),
        FieldKind::Connection if text.parse::<ConnectionId>().is_err() => Err(fault(
            field.name,
            "BAD_ID",
            format!("`{}` must be the id of a connection", field.name),
        )),
        FieldKind::Text(_) | FieldKind::Recipient | FieldKind::Connection => Ok(text),
    }
}

fn fault(field: &str, code: &'static str, message: String) -> ParamFault {
    ParamFault {
        field: field.to_owned(),
        code,
        message,
    }
}

fn is_recipient(text: &str) -> bool {
    // A brace would be a placeholder, which a recipient must not have.
    let plain = text.len() <= 320 && !text.contains(['{', '}']);
    let named = text
        .rsplit_once('@')
        .is_some_and(|(_, domain)| domain.contains('.'));
    plain && named && deliverable(text).is_some()
}

impl ActionType {
    /// Returns what executes an action of this type with these parameters: a reply without a text is drafted first.
    pub fn executor(self, params: &Params) -> Executor {
        match self.spec().executor {
            Executor::Message(MessageSource::Reply) if params.get("body").is_none() => {
                Executor::Draft
            }
            executor => executor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn codes(action: ActionType, raw: Value) -> Vec<(String, &'static str)> {
        let Value::Object(raw) = raw else {
            panic!("an object")
        };
        Params::read(action, &raw)
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|fault| (fault.field, fault.code))
            .collect()
    }

    #[test]
    fn all_faults_are_reported_with_their_fields() {
        let long = "x".repeat(201);
        assert_eq!(
            codes(
                ActionType::CreateTask,
                json!({"title": long, "due": " ", "project": [], "colour": "red"})
            ),
            [
                ("title".into(), "TOO_LONG"),
                ("project".into(), "NOT_TEXT"),
                ("due".into(), "BLANK"),
                ("colour".into(), "UNKNOWN_FIELD")
            ]
        );
        assert_eq!(
            codes(ActionType::Label, json!({})),
            [("label".into(), "MISSING_FIELD")]
        );
        assert_eq!(codes(ActionType::Archive, json!({})), []);
    }

    #[test]
    fn null_is_an_absent_field() {
        assert_eq!(codes(ActionType::Archive, json!({"title": null})), []);
        assert_eq!(
            codes(ActionType::Label, json!({"label": null})),
            [("label".into(), "MISSING_FIELD")]
        );
    }

    #[test]
    fn recipients_are_one_plain_address() {
        assert!(is_recipient("bob@example.org"));
        for bad in [
            "bob",
            "a@b@c.d",
            "taro..yama.@example.jp",
            "a@b.c, d@e.f",
            "{{from}}",
            "a@b.c\nBcc: d@e.f",
            "https://example.org",
            "@x.y",
        ] {
            assert!(!is_recipient(bad), "{bad}");
        }
    }

    #[test]
    fn webhook_is_named_by_its_id_and_nothing_in_it_is_filled_in() {
        let of = |id: &str| codes(ActionType::CallWebhook, json!({"connection": id}));
        assert_eq!(of("019e9a1c-5f2a-7c3e-9d1b-2f4a6c8e0b1d"), []);
        for bad in ["bob@example.org", "{{from}}", "https://hooks.example.org/"] {
            assert_eq!(of(bad), [("connection".into(), "BAD_ID")], "{bad}");
        }
    }

    #[test]
    fn replaced_text_is_cut_to_its_bound() {
        let raw = json!({"title": "Pay {{subject}}"});
        let params = Params::read(ActionType::CreateTask, raw.as_object().unwrap()).unwrap();
        let filled = params.map_text(ActionType::CreateTask, |text| {
            text.replace("{{subject}}", &"y".repeat(500))
        });
        assert_eq!(filled.get("title").unwrap().chars().count(), 200);
    }

    #[test]
    fn reply_without_a_text_is_drafted() {
        let executor = |params: Value| {
            let params = Params::read(ActionType::Reply, params.as_object().unwrap()).unwrap();
            ActionType::Reply.executor(&params)
        };
        assert_eq!(executor(json!({})), Executor::Draft);
        assert_eq!(
            executor(json!({"body": "Yes."})),
            Executor::Message(MessageSource::Reply)
        );
    }
}
