//! Classifies a provider's errors as [`LlmError`]: [`error_response`] for an error status, [`error_in_success`] for an error
//! with status 200.
//!
//! Compatible servers differ in details, so everything is read leniently. Keeps no part of a message, and a code only if it
//! is one of [`KNOWN_CODES`].

mod words;

use crate::{
    error::{InvalidReason, LlmError, RetryAfter},
    retry_after,
};
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;
use words::{
    FILTER_CODES, FILTER_PHRASES, GEMINI_QUOTA_PHRASES, KNOWN_CODES, QUOTA_CODES, QUOTA_PHRASES,
    TOO_LONG_CODES, TOO_LONG_PHRASES, UNUSABLE_CODES,
};

/// A longer requested delay counts as an exhausted quota: the job waits in the queue, without retries in this process.
const LONGEST_RATE_LIMIT: Duration = Duration::from_secs(300);
/// The delay after an exhausted quota, unless the provider names a longer one. A shorter one is the provider's standard
/// advice for rate limits, and following it would ask in vain every few seconds.
const QUOTA_DELAY: chrono::Duration = chrono::Duration::hours(1);

/// The parts of an error body, read leniently.
struct ErrorBody {
    /// The object with message, code and details, or null.
    error: Value,
    /// What stands beside it, where some servers put the delay.
    beside: Value,
    /// Its code and type, if they are known.
    codes: Vec<&'static str>,
    /// A numeric code, which some servers send.
    number: Option<u16>,
}

/// Classifies a response with an error status.
pub(crate) fn error_response(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> LlmError {
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    classify(status, headers, &ErrorBody::read(body), now)
}

/// Finds and classifies an error in the body of a response with status 200.
pub(crate) fn error_in_success(
    body: &Value,
    headers: &HeaderMap,
    now: DateTime<Utc>,
) -> Option<LlmError> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let error_body = ErrorBody::read(serde_json::json!({ "error": error }));
    // Without a status, it counts as transient unless its code says otherwise.
    let status = error_body
        .number
        .unwrap_or_else(|| error_body.usual_status());
    Some(classify(status, headers, &error_body, now))
}

fn classify(status: u16, headers: &HeaderMap, body: &ErrorBody, now: DateTime<Utc>) -> LlmError {
    let bodies = [&body.error, &body.beside];
    let delay = retry_after::delay(status, headers, bodies, now);
    let retry_after = delay.map(|delay| RetryAfter {
        delay,
        at: chrono::Duration::from_std(delay).map_or(DateTime::<Utc>::MAX_UTC, |delay| now + delay),
    });
    let code = body.codes.first().copied().unwrap_or("no known code");
    let quota_exhausted = || LlmError::QuotaExhausted {
        code,
        until: retry_after
            .filter(|wait| wait.delay > LONGEST_RATE_LIMIT)
            .map_or(now + QUOTA_DELAY, |wait| wait.at),
    };

    // Codes of the body come before the status and before the server's own advice: a filter answers 400 and an exhausted
    // quota 429, and retries help neither.
    if status == 402 || body.has(QUOTA_CODES) || body.daily_quota() || body.says_quota(status) {
        return quota_exhausted();
    }
    if status == 413
        || body.has(TOO_LONG_CODES)
        || (status == 400 && body.mentions(TOO_LONG_PHRASES))
    {
        return LlmError::ContextTooLong { status };
    }
    if body.has(FILTER_CODES)
        || (matches!(status, 400 | 403) && body.mentions(FILTER_PHRASES))
        || (status == 403 && body.flags_input())
    {
        return LlmError::Refused {
            reason: "content_filter",
        };
    }
    if body.has(UNUSABLE_CODES) {
        return LlmError::InvalidOutput {
            reason: InvalidReason::Json,
        };
    }
    // Gemini answers 400 to a wrong key.
    if body.has(&["API_KEY_INVALID"]) {
        return LlmError::Auth { status };
    }
    let advice = headers
        .get("x-should-retry")
        .and_then(|value| value.to_str().ok());
    match status {
        429 if delay.is_some_and(|delay| delay > LONGEST_RATE_LIMIT) || advice == Some("false") => {
            quota_exhausted()
        }
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

impl ErrorBody {
    fn read(body: Value) -> Self {
        // Gemini sometimes wraps the object in a list of one.
        let mut body = match body {
            Value::Array(mut list) if !list.is_empty() => list.swap_remove(0),
            other => other,
        };
        let (error, beside) = match body.get_mut("error").map(Value::take) {
            Some(error @ Value::Object(_)) => (error, body),
            Some(Value::String(message)) => (serde_json::json!({ "message": message }), body),
            _ => (body, Value::Null),
        };
        let number = match error.get("code") {
            Some(Value::Number(code)) => code.as_u64().and_then(|code| u16::try_from(code).ok()),
            Some(Value::String(code)) => code.parse().ok(),
            _ => None,
        };
        let known = |code: &Value| {
            let code = code.as_str()?;
            KNOWN_CODES.iter().copied().find(|known| *known == code)
        };
        // Gemini's most exact code is the reason of a detail.
        let details = error.get("details").and_then(Value::as_array);
        let reasons = details
            .into_iter()
            .flatten()
            .filter_map(|detail| detail.get("reason"));
        let fields = ["code", "type", "status"];
        let codes = fields.iter().filter_map(|field| error.get(field));
        let codes = reasons.chain(codes).filter_map(known).collect();
        Self {
            error,
            beside,
            codes,
            number: number.filter(|code| (400..600).contains(code)),
        }
    }

    fn has(&self, wanted: &[&str]) -> bool {
        self.codes.iter().any(|code| wanted.contains(code))
    }

    fn mentions(&self, phrases: &[&str]) -> bool {
        let message = self.error.get("message").and_then(Value::as_str);
        let message = message.unwrap_or_default().to_ascii_lowercase();
        phrases.iter().any(|phrase| message.contains(phrase))
    }

    /// Returns whether the message says that money or a quota is used up.
    ///
    /// Gemini says it of limits per minute too, and has details that tell them apart. Behind a proxy that keeps only the
    /// message, the name of the quota in it does.
    fn says_quota(&self, status: u16) -> bool {
        let per_minute = self.mentions(GEMINI_QUOTA_PHRASES) && !self.mentions(&["perday"]);
        matches!(status, 400 | 403 | 429)
            && self.error.get("details").is_none()
            && self.mentions(QUOTA_PHRASES)
            && !per_minute
    }

    /// Returns whether Gemini names a daily quota, which is not renewed within minutes.
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

    /// Returns whether `OpenRouter` says what it has against the input.
    fn flags_input(&self) -> bool {
        let metadata = self.error.get("metadata");
        ["flagged_input", "reasons"].iter().any(|field| {
            let found = metadata.and_then(|metadata| metadata.get(field));
            found.is_some_and(|found| !found.is_null())
        })
    }

    /// Returns the status that servers usually send with the code.
    fn usual_status(&self) -> u16 {
        match self.codes.first() {
            Some(&("invalid_api_key" | "authentication_error" | "UNAUTHENTICATED")) => 401,
            Some(&("permission_error" | "PERMISSION_DENIED")) => 403,
            Some(&("model_not_found" | "not_found_error" | "NOT_FOUND")) => 404,
            Some(&("rate_limit_exceeded" | "rate_limit_error" | "RESOURCE_EXHAUSTED")) => 429,
            Some(
                &("invalid_request_error"
                | "unsupported_parameter"
                | "unsupported_value"
                | "INVALID_ARGUMENT"
                | "FAILED_PRECONDITION"),
            ) => 400,
            _ => 500,
        }
    }
}

#[cfg(test)]
mod tests;
