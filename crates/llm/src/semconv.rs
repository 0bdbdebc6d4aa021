//! The names of OpenTelemetry's semantic conventions for generative AI, in one place: [`attribute`] has those of spans and log
//! events, [`metrics`] those of metrics. [`Naming`] chooses between the two versions.
//!
//! | | v1.41 | latest |
//! | --- | --- | --- |
//! | duration of a call | `gen_ai.client.operation.duration` | `gen_ai.client.inference.duration` |
//! | tokens of a request | `gen_ai.client.token.usage` by `gen_ai.token.type` | `gen_ai.client.inference.operation.{input,output}_tokens` |
//! | tokens in all | its sum | `gen_ai.client.inference.usage.{input,output,cache_read.input,cache_write.input,reasoning.output}_tokens` |
//! | tokens written to a cache, of a span | `gen_ai.usage.cache_creation.input_tokens` | `gen_ai.usage.cache_write.input_tokens` |
//!
//! All other attributes are the same in both. The latest names are those after v1.41, which have no release yet. Content, which
//! the conventions let a program opt in to, has no name here: prompts and answers are never part of telemetry.

pub(crate) mod metrics;
pub(crate) mod span;

use base::env::{Env, Variable};

/// The variable by which OpenTelemetry's instrumentations choose the version, a list.
pub(crate) const OPT_IN: Variable = Variable::optional(
    "OTEL_SEMCONV_STABILITY_OPT_IN",
    "gen_ai_latest_experimental",
    "v1.41",
    "With `gen_ai_latest_experimental`, calls to models are measured under OpenTelemetry's names after v1.41 (`gen_ai_client_inference_…`)",
);
/// The entry of the list that is about generative AI.
const LATEST: &str = "gen_ai_latest_experimental";

/// The operation of every call of this crate.
pub(crate) const CHAT: &str = "chat";

/// The version of the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Of v1.41, the last version that was released.
    #[default]
    V1_41,
    /// After v1.41.
    Latest,
}

impl Naming {
    /// Reads the version that the operator chose. Entries of the list that are about other conventions are ignored.
    pub fn from_env(env: &mut Env) -> Self {
        let list = env.optional(OPT_IN).unwrap_or_default();
        if list.split(',').any(|entry| entry.trim() == LATEST) {
            Self::Latest
        } else {
            Self::V1_41
        }
    }

    /// Returns the attribute with the tokens that were written to a cache.
    pub(crate) const fn cache_write(self) -> &'static str {
        match self {
            Self::V1_41 => attribute::CACHE_CREATION_TOKENS,
            Self::Latest => attribute::CACHE_WRITE_TOKENS,
        }
    }
}

/// The attributes of spans and log events.
pub(crate) mod attribute {
    pub(crate) const OPERATION: &str = "gen_ai.operation.name";
    pub(crate) const PROVIDER: &str = "gen_ai.provider.name";
    pub(crate) const REQUEST_MODEL: &str = "gen_ai.request.model";
    pub(crate) const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
    pub(crate) const OUTPUT_TYPE: &str = "gen_ai.output.type";
    pub(crate) const RESPONSE_MODEL: &str = "gen_ai.response.model";
    pub(crate) const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    /// Includes tokens that were read from or written to a cache.
    pub(crate) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    /// Includes reasoning.
    pub(crate) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    pub(crate) const CACHE_READ_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
    /// Of v1.41.
    pub(crate) const CACHE_CREATION_TOKENS: &str = "gen_ai.usage.cache_creation.input_tokens";
    /// After v1.41.
    pub(crate) const CACHE_WRITE_TOKENS: &str = "gen_ai.usage.cache_write.input_tokens";
    pub(crate) const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
    /// The class of the failure; absent on success.
    pub(crate) const ERROR_TYPE: &str = "error.type";
    pub(crate) const SERVER_ADDRESS: &str = "server.address";
    pub(crate) const SERVER_PORT: &str = "server.port";
    /// The span's name for exporters, whose spans in code need a constant one.
    pub(crate) const SPAN_NAME: &str = "otel.name";
    pub(crate) const SPAN_KIND: &str = "otel.kind";
    pub(crate) const SPAN_STATUS: &str = "otel.status_code";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_after_v1_41_are_chosen_by_an_entry_of_the_list() {
        for (list, chosen) in [
            (None, Naming::V1_41),
            (Some(""), Naming::V1_41),
            (Some("http,database/dup"), Naming::V1_41),
            (Some("gen_ai_latest_experimental"), Naming::Latest),
            (Some("http, gen_ai_latest_experimental"), Naming::Latest),
        ] {
            let mut env = Env::from_vars(list.map(|list| (OPT_IN.name, list)));
            assert_eq!(Naming::from_env(&mut env), chosen, "{list:?}");
        }
    }
}
