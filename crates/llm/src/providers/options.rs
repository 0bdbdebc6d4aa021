//! What an operator sets for a model, whichever provider is behind it: [`ModelOptions`].
//!
//! A provider sends what its protocol has a field for, and leaves out what the server refused.

use reqwest::header::HeaderMap;
use std::time::Duration;

/// Settings of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelOptions {
    /// 0 by default: the same email should be judged alike. None leaves it to the server.
    pub temperature: Option<f64>,
    /// For the servers that have one.
    pub seed: Option<u32>,
    /// How long a reasoning model thinks; none leaves it to the server.
    pub reasoning: Option<ReasoningEffort>,
    /// Replaces the limit of each call. Reasoning models spend most of it on thoughts.
    pub max_output_tokens: Option<u32>,
    /// Ollama's context window, in tokens. Its own default is small, and it cuts a longer prompt without an error.
    pub context_tokens: u32,
    /// Added to every request, for gateways. Values are marked as sensitive.
    pub headers: HeaderMap,
    pub connect_timeout: Duration,
}

/// How much a reasoning model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningEffort {
    Minimal,
    Low,
    Medium,
    High,
}

impl ReasoningEffort {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Minimal, Self::Low, Self::Medium, Self::High]
            .into_iter()
            .find(|effort| effort.as_str() == text)
    }
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self {
            temperature: Some(0.0),
            seed: Some(1),
            reasoning: None,
            max_output_tokens: None,
            context_tokens: 16_384,
            headers: HeaderMap::new(),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl ModelOptions {
    /// Returns the limit of a call that asks for `wanted` output tokens.
    pub fn output_limit(&self, wanted: u32) -> u32 {
        self.max_output_tokens.unwrap_or(wanted)
    }
}
