//! Model calls. [`Model`] is what handlers use; a [`LlmProvider`] is one wire protocol behind it.
//!
//! Trusted and untrusted prompt parts are types apart. Retries, deadlines, metrics and the one log event per attempt live
//! here, once for all providers. Never logs prompts, completions or keys.

/// stub
#[derive(Clone, Debug)]
pub struct LlmConfig;
impl LlmConfig {
    pub fn from_env(_: &mut jobs::env::Env) -> Self {
        Self
    }
}
