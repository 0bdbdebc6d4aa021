//! Reads the credential, from a variable or a file: [`read`].

use super::{MODE, provider::EXAMPLE};
use crate::providers::Provider;
use base::env::{Env, Variable};
use secrecy::SecretString;
use std::{fs, path::Path};

pub(super) const KEY: Variable = Variable::required(
    "LLM_API_KEY",
    EXAMPLE,
    "The credential, not needed in testing mode and by `ollama`; empty and placeholder values count as missing",
);
pub(super) const KEY_FILE: Variable = Variable::optional(
    "LLM_API_KEY_FILE",
    "/run/secrets/llm_api_key",
    "–",
    "A file with the credential, used when `LLM_API_KEY` is not set",
);
/// Reads the credential from the first place that contains a real one. Empty if the provider needs none.
pub(super) fn read(env: &mut Env, provider: Provider) -> SecretString {
    let candidates = [
        env.optional(KEY),
        from_file(env),
        provider.key().and_then(|variable| env.optional(variable)),
    ];
    let found = candidates
        .into_iter()
        .flatten()
        .find(|key| !is_placeholder(key));
    let Some(key) = found else {
        if let Some(own) = provider.key() {
            let problem = format!(
                "is missing or a placeholder, and so are {} and {}; set one of them, or {}=true",
                KEY_FILE.name, own.name, MODE.name
            );
            env.fault(KEY, problem);
        }
        return SecretString::default();
    };
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        env.fault(KEY, "contains characters that no credential has");
    }
    key.into()
}

fn from_file(env: &mut Env) -> Option<String> {
    let path = env.optional(KEY_FILE)?;
    match fs::read_to_string(Path::new(&path)) {
        Ok(text) if text.trim().is_empty() => {
            env.fault(KEY_FILE, "names an empty file");
            None
        }
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) => {
            env.fault(
                KEY_FILE,
                format!("names a file that cannot be read: {error}"),
            );
            None
        }
    }
}

/// Returns whether the key is a placeholder from a sample file.
fn is_placeholder(key: &str) -> bool {
    let word = key.trim().to_lowercase().replace(['_', ' '], "-");
    let bare = word.trim_start_matches("sk-").trim_start_matches("proj-");
    let filler = bare
        .chars()
        .all(|char| matches!(char, 'x' | '*' | '.' | '…' | '-' | '0'));
    let bracketed = [('<', '>'), ('[', ']'), ('{', '}')]
        .iter()
        .any(|(open, close)| word.starts_with(*open) && word.ends_with(*close));
    let wording = [
        "changeme",
        "change-me",
        "replaceme",
        "replace-me",
        "your-",
        "my-api-key",
        "insert-",
    ]
    .iter()
    .any(|start| bare.starts_with(start));
    let plain = matches!(
        bare,
        "api-key"
            | "apikey"
            | "key"
            | "secret"
            | "token"
            | "placeholder"
            | "example"
            | "none"
            | "null"
            | "tbd"
    );
    filler || bracketed || wording || plain
}
