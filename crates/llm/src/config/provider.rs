//! The variables that choose a [`Provider`] and hold its credential.

use crate::providers::Provider;
use base::env::{Env, Variable};

pub(super) const PROVIDER: Variable =
    Variable::with_default("LLM_PROVIDER", "openai", Provider::MEANING);

/// A credential, as variables show it when they are wrong.
pub(super) const EXAMPLE: &str = "sk-proj-7Qb2…";

/// Declares a provider's own name for the credential.
const fn own(name: &'static str) -> Variable {
    Variable::optional(
        name,
        EXAMPLE,
        "–",
        "The provider's own name for the credential, used when `LLM_API_KEY` and `LLM_API_KEY_FILE` are not set",
    )
}

/// Reads the provider that the operator chose.
pub(super) fn read(env: &mut Env) -> Provider {
    let text = env.text(PROVIDER);
    Provider::parse(&text).unwrap_or_else(|| {
        let known: Vec<_> = Provider::ALL.iter().map(|it| it.as_str()).collect();
        env.fault(
            PROVIDER,
            format!("is not a known provider: {}", known.join(", ")),
        );
        Provider::OpenAi
    })
}

impl Provider {
    /// Returns the provider's own variable for the credential; none if it needs no credential.
    pub fn key(self) -> Option<Variable> {
        self.key_variable().map(own)
    }
}
