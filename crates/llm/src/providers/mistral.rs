//! Mistral: chat completions with a seed of another name.

use super::{
    capabilities::{Capabilities, LimitName, OutputMode},
    http::{self, Auth, ClientError},
    openai::{Dialect, OpenAiChat},
    options::ModelOptions,
};
use reqwest::Url;
use secrecy::SecretString;

/// The ways below a JSON schema.
const FALLBACKS: &[OutputMode] = &[OutputMode::Tool, OutputMode::JsonObject, OutputMode::Text];

/// Builds a client. `base` is the part before `/chat/completions`, for example `https://api.mistral.ai/v1`.
///
/// # Errors
/// If the system's certificates or the credential are unusable.
pub fn chat(
    base: &Url,
    model: String,
    key: SecretString,
    options: ModelOptions,
) -> Result<OpenAiChat, ClientError> {
    let dialect = Dialect {
        provider: "mistral_ai",
        seed: "random_seed",
        start: Capabilities::full(LimitName::Settled("max_tokens"), FALLBACKS),
    };
    let url = http::join(base, "/chat/completions");
    OpenAiChat::build(url, &Auth::Bearer, dialect, model, key, options)
}
