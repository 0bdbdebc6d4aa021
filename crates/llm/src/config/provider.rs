//! The providers that `LLM_PROVIDER` chooses from, and their defaults: [`Provider`].

use base::{
    env::{Env, Variable},
    text_enum,
};

pub(super) const PROVIDER: Variable = Variable::with_default(
    "LLM_PROVIDER",
    "openai",
    "The wire protocol: `openai` (chat completions; with `LLM_BASE_URL` any compatible server), `openai-responses`, \
     `anthropic`, `gemini`, `azure`, `ollama` or `mistral`",
);

/// A credential, as variables show it when they are wrong.
pub(super) const EXAMPLE: &str = "sk-proj-7Qb2…";

pub(super) const OPENAI_KEY: Variable = own("OPENAI_API_KEY");
pub(super) const ANTHROPIC_KEY: Variable = own("ANTHROPIC_API_KEY");
pub(super) const GEMINI_KEY: Variable = own("GEMINI_API_KEY");
pub(super) const AZURE_KEY: Variable = own("AZURE_OPENAI_API_KEY");
pub(super) const MISTRAL_KEY: Variable = own("MISTRAL_API_KEY");

/// Declares a provider's own name for the credential.
const fn own(name: &'static str) -> Variable {
    Variable::optional(
        name,
        EXAMPLE,
        "–",
        "The provider's own name for the credential, used when `LLM_API_KEY` and `LLM_API_KEY_FILE` are not set",
    )
}

text_enum! {
    /// A wire protocol, by the value of `LLM_PROVIDER`.
    Provider {
        /// OpenAI's chat completions, or any server that speaks them.
        OpenAi = "openai",
        /// OpenAI's responses API.
        OpenAiResponses = "openai-responses",
        Anthropic = "anthropic",
        Gemini = "gemini",
        /// Azure OpenAI.
        Azure = "azure",
        Ollama = "ollama",
        Mistral = "mistral",
    }
}

impl Provider {
    pub(super) fn from_env(env: &mut Env) -> Self {
        let text = env.text(PROVIDER);
        Self::parse(&text).unwrap_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|it| it.as_str()).collect();
            env.fault(
                PROVIDER,
                format!("is not a known provider: {}", known.join(", ")),
            );
            Self::OpenAi
        })
    }

    /// Returns the provider's public address; none if every customer has an own one.
    pub(super) const fn base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::OpenAiResponses => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com"),
            Self::Azure => None,
            Self::Ollama => Some("http://127.0.0.1:11434"),
            Self::Mistral => Some("https://api.mistral.ai/v1"),
        }
    }

    /// Returns the provider's own variable for the credential; none if it needs no credential.
    pub const fn key(self) -> Option<Variable> {
        match self {
            Self::OpenAi | Self::OpenAiResponses => Some(OPENAI_KEY),
            Self::Anthropic => Some(ANTHROPIC_KEY),
            Self::Gemini => Some(GEMINI_KEY),
            Self::Azure => Some(AZURE_KEY),
            Self::Ollama => None,
            Self::Mistral => Some(MISTRAL_KEY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_names_every_provider() {
        for provider in Provider::ALL {
            assert!(
                PROVIDER.meaning.contains(&format!("`{provider}`")),
                "{provider}"
            );
        }
    }
}
