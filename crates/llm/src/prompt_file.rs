//! A versioned prompt that a program ships: [`PromptFile`], a text and the schema of its answers.
//!
//! Every change of the text is a new version, because answers, checkpoints and metrics are compared by version.

use crate::prompt::{OutputSchema, Prompt, Trusted};
use serde_json::Value;

/// A prompt file and the schema of its answer.
pub struct PromptFile {
    /// The name of the file.
    pub version: &'static str,
    /// The instructions, the system message.
    pub text: &'static str,
    pub schema_name: &'static str,
    /// JSON Schema, as text.
    pub schema: &'static str,
}

impl PromptFile {
    /// Starts a prompt with the instructions as its system message.
    pub fn prompt(&self) -> Prompt {
        Prompt::new(self.version).system(Trusted::fixed(self.text.trim_ascii()))
    }

    /// Parses the schema of the answer.
    pub fn schema_value(&self) -> Value {
        serde_json::from_str(self.schema).expect("a test parses every shipped schema")
    }

    /// Returns the schema of the answer.
    pub fn schema(&self) -> OutputSchema {
        OutputSchema::new(self.schema_name, &self.schema_value())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::PromptFile;

    /// A prompt for the tests of this crate.
    pub(crate) const JUDGE: PromptFile = PromptFile {
        version: "judge.v1",
        text: "Judge the message.",
        schema_name: "judge_v1",
        schema: r#"{
            "type": "object",
            "properties": { "category": { "type": "string" } },
            "required": ["category"],
            "additionalProperties": false
        }"#,
    };
}
