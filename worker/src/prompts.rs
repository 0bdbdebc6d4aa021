//! The shipped prompts: versioned text files and the schemas of their answers.
//!
//! Every change of the text is a new version, because answers, checkpoints and metrics are compared by version. Contains no
//! text of a tenant or an email.

pub mod mailbox;

use llm::{OutputSchema, PromptFile};
use serde_json::json;

/// More names than this do not fit into the enums that providers accept.
const RULES: usize = 200;

/// What models are asked for. Each may have a model of its own.
pub const TASKS: [&str; 3] = [TRIAGE_TASK, DRAFT_TASK, SHADOW_TASK];
pub const TRIAGE_TASK: &str = "triage";
pub const DRAFT_TASK: &str = "draft";
/// The second judgement of a triaged email, to be compared.
pub const SHADOW_TASK: &str = "shadow";

/// Judges an email and proposes actions.
pub const TRIAGE: PromptFile = PromptFile {
    version: "triage.v3",
    text: include_str!("prompts/triage.v3.txt"),
    schema_name: "triage_v3",
    schema: include_str!("prompts/triage.v3.schema.json"),
};

/// Writes an email in a user's name.
pub const DRAFT: PromptFile = PromptFile {
    version: "draft.v4",
    text: include_str!("prompts/draft.v4.txt"),
    schema_name: "draft_v4",
    schema: include_str!("prompts/draft.v4.schema.json"),
};

/// Returns the schema of a triage in which the model may choose one of these rules or none.
pub fn triage_schema(candidates: &[&str]) -> OutputSchema {
    let mut schema = TRIAGE.schema_value();
    let description = "The exact name of an offered rule, or null.";
    schema["properties"]["matched_rule"] = match candidates {
        [] => json!({ "type": "null", "description": "No rule is offered." }),
        _ if candidates.len() > RULES => {
            json!({ "type": ["string", "null"], "description": description })
        }
        _ => {
            let names = candidates.iter().map(|name| json!(name));
            let choices: Vec<_> = names.chain([json!(null)]).collect();
            json!({ "type": ["string", "null"], "enum": choices, "description": description })
        }
    };
    OutputSchema::new(TRIAGE.schema_name, &schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::domain::{
        action::{ActionType, OpenTo},
        draft::Confidence,
        judgement::{Category, Disposition, Priority, Sla},
    };
    use serde_json::{Value, json};

    fn strings(value: &Value) -> Vec<&str> {
        let list = value.as_array().expect("a list of strings");
        list.iter().map(|item| item.as_str().unwrap()).collect()
    }

    /// Strict providers reject a schema with an open object or an optional property.
    fn assert_strict(schema: &Value) {
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], json!(false));
            let properties = schema["properties"].as_object().unwrap();
            let mut required = strings(&schema["required"]);
            let mut names: Vec<_> = properties.keys().map(String::as_str).collect();
            required.sort_unstable();
            names.sort_unstable();
            assert_eq!(required, names);
            properties.values().for_each(assert_strict);
        }
        if schema["type"] == "array" {
            assert_strict(&schema["items"]);
        }
    }

    #[test]
    fn schemas_are_strict() {
        for file in [TRIAGE, DRAFT] {
            let name = file.schema_name;
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            );
            assert_strict(&file.schema_value());
        }
    }

    #[test]
    fn triage_schema_offers_exactly_the_candidates_and_none() {
        let rule =
            |names: &[&str]| triage_schema(names).value()["properties"]["matched_rule"].clone();
        assert_eq!(rule(&["a", "b"])["enum"], json!(["a", "b", null]));
        assert_eq!(rule(&[])["type"], json!("null"));
        assert_eq!(rule(&["a"; 201]).get("enum"), None);
        assert_strict(&triage_schema(&["a"]).value());
    }

    #[test]
    fn draft_schema_matches_the_domain_enums() {
        let schema = DRAFT.schema_value();
        let words: Vec<_> = Confidence::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(strings(&schema["properties"]["confidence"]["enum"]), words);
    }

    #[test]
    fn triage_schema_matches_the_domain_enums() {
        let schema = TRIAGE.schema_value();
        let words = |field: &str| strings(&schema["properties"][field]["enum"]);
        let categories: Vec<_> = Category::ALL.iter().map(|word| word.as_str()).collect();
        let dispositions: Vec<_> = Disposition::ALL.iter().map(|word| word.as_str()).collect();
        let priorities: Vec<_> = Priority::ALL.iter().map(|word| word.as_str()).collect();
        let slas: Vec<_> = Sla::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(words("category"), categories);
        assert_eq!(words("disposition"), dispositions);
        assert_eq!(words("priority"), priorities);
        assert_eq!(words("sla"), slas);
    }

    #[test]
    fn triage_schema_lists_the_actions_open_to_models() {
        let schema = TRIAGE.schema_value();
        let action = &schema["properties"]["actions"]["items"]["properties"];
        let open: Vec<_> = ActionType::open_to(OpenTo::Models).collect();
        let names: Vec<_> = open.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(strings(&action["type"]["enum"]), names);
        let mut fields: Vec<_> = open
            .iter()
            .flat_map(|kind| kind.spec().parameters)
            .map(|field| field.name)
            .collect();
        fields.sort_unstable();
        fields.dedup();
        let mut offered = strings(&action["params"]["required"]);
        offered.sort_unstable();
        assert_eq!(offered, fields);
        for kind in open {
            assert!(
                TRIAGE.text.contains(kind.as_str()),
                "the prompt explains {kind}"
            );
        }
    }
}
