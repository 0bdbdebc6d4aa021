//! From what the wire said to an [`LlmError`]: [`refusal`] for a failed status, [`error_in_success`] for an error that
//! comes with status 200.
//!
//! Servers that speak OpenAI's protocol agree on little but its shape, so everything is read leniently. Nothing of a message is
//! kept; a code is kept only if it is one of [`KNOWN_CODES`].

use super::{LlmError, error::RetryAfter, retry_after};
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// A provider that says to wait longer than this has no quota left: the work is parked, not tried.
const PARKED_FROM: Duration = Duration::from_secs(300);
/// When a spent quota is looked at again if nobody said when it is renewed.
const PARK: chrono::Duration = chrono::Duration::hours(1);

/// Codes and types that may stand in an error of ours. Anything else might echo what was sent.
const KNOWN_CODES: &[&str] = &[
    "authentication_error",
    "billing_error",
    "billing_hard_limit_reached",
    "content_filter",
    "content_policy_violation",
    "context_length_exceeded",
    "credit_balance_exhausted",
    "enforced_spend_limit_reached",
    "exceed_context_size_error",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_request_error",
    "model_not_found",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "request_too_large",
    "server_error",
    "unsupported_parameter",
    "unsupported_value",
];

/// A limit that waiting a little does not lift.
const SPENT: &[&str] = &[
    "billing_error",
    "billing_hard_limit_reached",
    "credit_balance_exhausted",
    "enforced_spend_limit_reached",
    "insufficient_quota",
];
const TOO_LONG: &[&str] = &[
    "context_length_exceeded",
    "exceed_context_size_error",
    "request_too_large",
];
const FILTERED: &[&str] = &["content_filter", "content_policy_violation"];

/// How local servers word a prompt that is too long; they have no code for it.
const TOO_LONG_WORDS: &[&str] = &[
    "context length",
    "context size",
    "context window",
    "maximum context",
    "prompt is too long",
];

/// What the parts of an error body say, read leniently.
struct Fault {
    /// The object with message, code and details; null if there is none.
    error: Value,
    /// Its code and its type, as far as they are known.
    codes: Vec<&'static str>,
    /// A code that is a number, as some servers send instead of a word.
    number: Option<u16>,
}

/// The meaning of an answer whose status is not a success.
pub(super) fn refusal(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> LlmError {
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    classify(status, headers, &Fault::read(body), now)
}

/// The error in a body that came with status 200, if there is one.
pub(super) fn error_in_success(
    body: &Value,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Option<LlmError> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let fault = Fault::read(serde_json::json!({ "error": error }));
    // Without a status of its own it is taken for a passing fault unless its code says otherwise.
    let status = fault.number.unwrap_or_else(|| fault.usual_status());
    Some(classify(status, headers, &fault, now))
}

fn classify(status: u16, headers: &HeaderMap, fault: &Fault, now: DateTime<Utc>) -> LlmError {
    let told = retry_after::told(headers, &fault.error, now);
    let retry_after = told.map(|delay| RetryAfter {
        delay,
        at: chrono::Duration::from_std(delay).map_or(DateTime::<Utc>::MAX_UTC, |delay| now + delay),
    });
    let code = fault.codes.first().copied().unwrap_or("no known code");
    let parked = || LlmError::QuotaExhausted {
        code,
        until: retry_after.map_or(now + PARK, |wait| wait.at),
    };

    // What the body says for certain comes before what its status suggests, and before the server's own advice: a filter
    // answers 400, a spent quota 429, and neither passes by trying again.
    if status == 402 || fault.has(SPENT) || fault.daily_quota() {
        return parked();
    }
    if status == 413 || fault.has(TOO_LONG) || (status == 400 && fault.speaks_of(TOO_LONG_WORDS)) {
        return LlmError::ContextTooLong { status };
    }
    if fault.has(FILTERED) {
        return LlmError::Refused {
            reason: "content_filter",
        };
    }
    let advice = headers
        .get("x-should-retry")
        .and_then(|value| value.to_str().ok());
    match status {
        429 if told.is_some_and(|delay| delay > PARKED_FROM) || advice == Some("false") => parked(),
        429 => LlmError::RateLimited { retry_after },
        _ if advice == Some("true") => LlmError::Transient {
            status,
            retry_after,
        },
        401 | 403 => LlmError::Auth { status },
        408 | 409 | 500.. if advice == Some("false") => LlmError::DoNotRetry { status },
        408 | 409 | 500.. => LlmError::Transient {
            status,
            retry_after,
        },
        _ => LlmError::BadRequest { status, code },
    }
}

impl Fault {
    fn read(body: Value) -> Self {
        // Gemini sometimes wraps the object in a list of one.
        let mut body = match body {
            Value::Array(mut list) if !list.is_empty() => list.swap_remove(0),
            other => other,
        };
        let error = match body.get_mut("error").map(Value::take) {
            Some(error @ Value::Object(_)) => error,
            Some(Value::String(message)) => serde_json::json!({ "message": message }),
            _ => body,
        };
        let number = match error.get("code") {
            Some(Value::Number(code)) => code.as_u64().and_then(|code| u16::try_from(code).ok()),
            Some(Value::String(code)) => code.parse().ok(),
            _ => None,
        };
        let codes = ["code", "type"]
            .iter()
            .filter_map(|field| {
                let said = error.get(field)?.as_str()?;
                KNOWN_CODES.iter().copied().find(|known| *known == said)
            })
            .collect();
        Self {
            error,
            codes,
            number: number.filter(|code| (400..600).contains(code)),
        }
    }

    fn has(&self, wanted: &[&str]) -> bool {
        self.codes.iter().any(|code| wanted.contains(code))
    }

    fn speaks_of(&self, words: &[&str]) -> bool {
        let message = self.error.get("message").and_then(Value::as_str);
        let message = message.unwrap_or_default().to_ascii_lowercase();
        words.iter().any(|word| message.contains(word))
    }

    /// Gemini names the quota that was hit; one that is counted by the day is not renewed within minutes.
    fn daily_quota(&self) -> bool {
        let details = self.error.get("details").and_then(Value::as_array);
        details
            .into_iter()
            .flatten()
            .filter_map(|detail| detail.get("violations")?.as_array())
            .flatten()
            .filter_map(|violation| violation.get("quotaId")?.as_str())
            .any(|quota| quota.contains("PerDay") || quota.contains("Daily"))
    }

    /// The status that servers send with such a code.
    fn usual_status(&self) -> u16 {
        match self.codes.first() {
            Some(&("invalid_api_key" | "authentication_error")) => 401,
            Some(&"permission_error") => 403,
            Some(&("model_not_found" | "not_found_error")) => 404,
            Some(&("rate_limit_exceeded" | "rate_limit_error")) => 429,
            Some(&("invalid_request_error" | "unsupported_parameter" | "unsupported_value")) => 400,
            _ => 500,
        }
    }
}

#[cfg(test)]
mod tests;
