//! The providers, one file or folder each, and their table: [`Provider`].
//!
//! A file has what is the provider's own, its `WireFormat`: address, headers, how a request is written and an answer is
//! read. [`ProviderClient`] is what they share, with [`options`] that an operator sets, one HTTP client, what a server was found not to
//! be able to do, and the end of reading a response.

pub mod fixtures;
pub mod options;

mod anthropic;
mod azure;
mod batches;
mod capabilities;
mod client;
mod gemini;
mod http;
mod mistral;
mod ollama;
mod openai;
mod reading;
mod responses;
mod wire;

pub use client::ProviderClient;
pub use http::ClientError;
pub use wire::Target;

pub(crate) use {openai::OPENAI_HOST, wire::API_VERSION};

use base::text_enum;
use wire::WireFormat;

/// Defines [`Provider`]: a row for each provider has its value of `LLM_PROVIDER` and its wire format.
macro_rules! providers {
    ($($(#[$doc:meta])* $name:ident = $text:literal => $format:expr,)+) => {
        text_enum! {
            /// A provider, by the value of `LLM_PROVIDER`.
            Provider { $($(#[$doc])* $name = $text),+ }
        }

        impl Provider {
            /// What `LLM_PROVIDER` means, with all its values.
            pub(crate) const MEANING: &'static str = concat!(
                "The wire protocol:", $(" `", $text, "`,",)+
                " of which `openai` is chat completions, with `LLM_BASE_URL` those of any compatible server",
            );

            fn format(self) -> &'static dyn WireFormat {
                match self {
                    $(Self::$name => &$format),+
                }
            }
        }
    };
}

providers! {
    /// OpenAI's chat completions, or any server that speaks them.
    OpenAi = "openai" => openai::OpenAiChat,
    /// OpenAI's responses API.
    OpenAiResponses = "openai-responses" => responses::OpenAiResponses,
    Anthropic = "anthropic" => anthropic::Anthropic,
    Gemini = "gemini" => gemini::Gemini,
    /// Azure OpenAI.
    Azure = "azure" => azure::Azure,
    Ollama = "ollama" => ollama::Ollama,
    Mistral = "mistral" => mistral::Mistral,
}

impl Provider {
    /// Builds the client of a model.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub fn client(self, target: Target) -> Result<ProviderClient, ClientError> {
        ProviderClient::new(self.format(), target)
    }

    /// Returns `gen_ai.provider.name`. Providers with one name have the same models.
    pub fn name(self) -> &'static str {
        self.format().name()
    }

    /// Returns the provider's public address; none if every customer has an own one.
    pub(crate) fn base_url(self) -> Option<&'static str> {
        self.format().base_url()
    }

    /// Returns the name of the provider's own variable for the credential; none if it needs no credential.
    pub(crate) fn key_variable(self) -> Option<&'static str> {
        self.format().key_variable()
    }
}
