//! Reads what an operator sets for a model: [`read`].

use crate::providers::options::{ModelOptions, ReasoningEffort};
use base::env::{Env, Variable};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::str::FromStr;

/// Leaves a parameter out of the request.
const OMITTED: &str = "none";

pub(super) const CONNECT_TIMEOUT: Variable = Variable::with_default(
    "LLM_CONNECT_TIMEOUT_SECONDS",
    "5",
    "The timeout of connecting to the model",
);
pub(super) const TEMPERATURE: Variable = Variable::with_default(
    "LLM_TEMPERATURE",
    "0",
    "The sampling temperature, from 0 to 2; `none` leaves it to the server",
);
pub(super) const SEED: Variable = Variable::with_default(
    "LLM_SEED",
    "1",
    "The seed of sampling, where the server has one; `none` sends none",
);
pub(super) const REASONING: Variable = Variable::optional(
    "LLM_REASONING_EFFORT",
    "low",
    "the server's",
    "How long a reasoning model thinks: `minimal`, `low`, `medium` or `high`",
);
pub(super) const MAX_OUTPUT: Variable = Variable::optional(
    "LLM_MAX_OUTPUT_TOKENS",
    "8000",
    "2000 for triage, 4000 for drafts",
    "The limit on output tokens, thoughts included",
);
pub(super) const CONTEXT: Variable = Variable::with_default(
    "LLM_CONTEXT_TOKENS",
    "16384",
    "Ollama only: the context window; a longer prompt is cut by the server without an error",
);
pub(super) const HEADERS: Variable = Variable::optional(
    "LLM_EXTRA_HEADERS",
    "x-team=postroom,x-route=eu",
    "–",
    "Headers added to every request, for gateways: `name=value`, separated by commas; values are not logged",
);

/// Headers that the client sets itself.
const OWN_HEADERS: [&str; 9] = [
    "anthropic-version",
    "api-key",
    "authorization",
    "content-length",
    "content-type",
    "host",
    "x-api-key",
    "x-client-request-id",
    "x-goog-api-key",
];

pub(super) fn read(env: &mut Env) -> ModelOptions {
    let temperature = number(env, TEMPERATURE, "a number from 0 to 2", |value: &f64| {
        (0.0..=2.0).contains(value)
    });
    let seed = number(env, SEED, "a whole number", |_: &u32| true);
    ModelOptions {
        temperature,
        seed,
        reasoning: reasoning(env),
        max_output_tokens: max_output(env),
        context_tokens: context(env),
        headers: headers(env),
        connect_timeout: env.seconds(CONNECT_TIMEOUT),
    }
}

fn number<T: FromStr>(
    env: &mut Env,
    variable: Variable,
    what: &str,
    fits: impl Fn(&T) -> bool,
) -> Option<T> {
    let text = env.text(variable);
    if text == OMITTED {
        return None;
    }
    let value = text.parse().ok().filter(fits);
    if value.is_none() {
        env.fault(variable, format!("is neither {what} nor `{OMITTED}`"));
    }
    value
}

fn reasoning(env: &mut Env) -> Option<ReasoningEffort> {
    let text = env.optional(REASONING)?;
    let effort = ReasoningEffort::parse(&text);
    if effort.is_none() {
        env.fault(REASONING, "is not minimal, low, medium or high");
    }
    effort
}

fn max_output(env: &mut Env) -> Option<u32> {
    let text = env.optional(MAX_OUTPUT)?;
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (100..=200_000).contains(limit));
    if limit.is_none() {
        env.fault(MAX_OUTPUT, "is not a number from 100 to 200000");
    }
    limit
}

fn context(env: &mut Env) -> u32 {
    let tokens: u32 = env.parse(CONTEXT, "a number of tokens");
    if tokens < 2048 {
        env.fault(
            CONTEXT,
            "is less than 2048, which is too small for our prompts",
        );
    }
    tokens
}

fn headers(env: &mut Env) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let text = env.optional(HEADERS).unwrap_or_default();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let parsed = pair.split_once('=').and_then(|(name, value)| {
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value: HeaderValue = value.trim().parse().ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        match parsed {
            Some((name, _)) if OWN_HEADERS.contains(&name.as_str()) => {
                env.fault(HEADERS, "names a header that the client sets itself");
            }
            Some((name, value)) => {
                headers.insert(name, value);
            }
            None => env.fault(HEADERS, "is not a list of name=value"),
        }
    }
    headers
}
