//! How a model call can fail: [`LlmError`]. What the wire said is turned into it by [`super::classify`].
//!
//! Holds nothing that a provider wrote: error messages echo prompts and keys. Codes come from a closed list, everything else
//! is numbers and words of our own.

use super::completion::InvalidReason;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The cause below a failed connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A failed model call.
///
/// For the queue: [`LlmError::retry_at`] set means snooze until then; else [`LlmError::is_transient`] means another attempt
/// may succeed; else the same call will fail again.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// The provider or something before it had a bad moment.
    #[error("the provider failed with status {status}")]
    Transient {
        status: u16,
        retry_after: Option<RetryAfter>,
    },
    /// Too many calls for now.
    #[error("the provider limits the rate of calls")]
    RateLimited { retry_after: Option<RetryAfter> },
    /// No call will succeed until the quota is renewed or someone pays; someone must act.
    #[error("the provider's quota is spent ({code})")]
    QuotaExhausted {
        code: &'static str,
        until: DateTime<Utc>,
    },
    /// The credential is refused; someone must act.
    #[error("the provider refuses the credential (status {status})")]
    Auth { status: u16 },
    /// The request itself is refused: an unknown model, a parameter the server does not have.
    #[error("the provider refuses the request (status {status}, {code})")]
    BadRequest { status: u16, code: &'static str },
    /// The provider failed and said that repeating is no use.
    #[error("the provider failed with status {status} and asks not to be tried again")]
    DoNotRetry { status: u16 },
    #[error("the prompt is too long for the model (status {status})")]
    ContextTooLong { status: u16 },
    /// The model declined or a filter stepped in.
    #[error("the model did not answer: {reason}")]
    Refused { reason: &'static str },
    /// Cut off at the limit on output tokens.
    #[error("the answer was cut off at {max_output_tokens} tokens")]
    Truncated { max_output_tokens: u32 },
    /// A success on the wire that is no answer: not JSON, no choices, an unknown form.
    #[error("the provider's reply cannot be read: {what}")]
    InvalidReply { what: &'static str },
    #[error("the provider's reply is longer than {limit} bytes")]
    ReplyTooLarge { limit: usize },
    /// The model's text is not what its task asked for.
    #[error("the model's output cannot be used ({})", reason.as_str())]
    InvalidOutput { reason: InvalidReason },
    /// May have been billed all the same.
    #[error("no answer within {} ms", after.as_millis())]
    Timeout { after: Duration },
    #[error("could not talk to the provider")]
    Connect {
        #[source]
        source: BoxError,
    },
    /// Testing mode has no answer for this prompt; there is no other place to ask.
    #[error("no fixture answers this {label} prompt")]
    UnknownFixture { label: &'static str },
    /// The job was cancelled, its lease lost, or the worker is stopping.
    #[error("the call was given up because its job is")]
    Cancelled,
}

/// A wait that the provider asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    pub delay: Duration,
    /// The same, as a moment.
    pub at: DateTime<Utc>,
}

impl LlmError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Transient { .. }
            | Self::RateLimited { .. }
            | Self::InvalidReply { .. }
            | Self::Timeout { .. }
            | Self::Connect { .. } => true,
            Self::QuotaExhausted { .. }
            | Self::Auth { .. }
            | Self::BadRequest { .. }
            | Self::DoNotRetry { .. }
            | Self::ContextTooLong { .. }
            | Self::Refused { .. }
            | Self::Truncated { .. }
            | Self::ReplyTooLarge { .. }
            | Self::InvalidOutput { .. }
            | Self::UnknownFixture { .. }
            | Self::Cancelled => false,
        }
    }

    /// The moment before which no other call makes sense, where one is known. The wait should cost the job no attempt.
    pub const fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::QuotaExhausted { until, .. } => Some(*until),
            _ => match self.retry_after() {
                Some(wait) => Some(wait.at),
                None => None,
            },
        }
    }

    /// The wait that the provider asked for, if it is one to be spent in this process.
    pub const fn retry_after(&self) -> Option<RetryAfter> {
        match self {
            Self::Transient { retry_after, .. } | Self::RateLimited { retry_after } => *retry_after,
            Self::QuotaExhausted { .. }
            | Self::Auth { .. }
            | Self::BadRequest { .. }
            | Self::DoNotRetry { .. }
            | Self::ContextTooLong { .. }
            | Self::Refused { .. }
            | Self::Truncated { .. }
            | Self::InvalidReply { .. }
            | Self::ReplyTooLarge { .. }
            | Self::InvalidOutput { .. }
            | Self::Timeout { .. }
            | Self::Connect { .. }
            | Self::UnknownFixture { .. }
            | Self::Cancelled => None,
        }
    }

    /// Whether a person has to do something before calls succeed again.
    pub const fn needs_operator(&self) -> bool {
        matches!(
            self,
            Self::QuotaExhausted { .. } | Self::Auth { .. } | Self::BadRequest { .. }
        )
    }

    /// The kind of failure as a label value.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::RateLimited { .. } => "rate_limited",
            Self::QuotaExhausted { .. } => "quota_exhausted",
            Self::Auth { .. } => "auth",
            Self::BadRequest { .. } => "bad_request",
            Self::DoNotRetry { .. } => "do_not_retry",
            Self::ContextTooLong { .. } => "context_too_long",
            Self::Refused { .. } => "refused",
            Self::Truncated { .. } => "truncated",
            Self::InvalidReply { .. } => "invalid_reply",
            Self::ReplyTooLarge { .. } => "reply_too_large",
            Self::InvalidOutput { .. } => "invalid_output",
            Self::Timeout { .. } => "timeout",
            Self::Connect { .. } => "connect",
            Self::UnknownFixture { .. } => "unknown_fixture",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait() -> RetryAfter {
        RetryAfter {
            delay: Duration::from_secs(7),
            at: DateTime::from_timestamp(1_000_007, 0).unwrap(),
        }
    }

    /// Every variant with its class, whether it is transient, and whether it names a moment.
    fn table() -> Vec<(LlmError, &'static str, bool, bool)> {
        use LlmError as E;
        let retry_after = Some(wait());
        let source = || BoxError::from("refused");
        vec![
            (
                E::Transient {
                    status: 500,
                    retry_after: None,
                },
                "transient",
                true,
                false,
            ),
            (
                E::Transient {
                    status: 503,
                    retry_after,
                },
                "transient",
                true,
                true,
            ),
            (
                E::RateLimited { retry_after: None },
                "rate_limited",
                true,
                false,
            ),
            (E::RateLimited { retry_after }, "rate_limited", true, true),
            (
                E::QuotaExhausted {
                    code: "insufficient_quota",
                    until: wait().at,
                },
                "quota_exhausted",
                false,
                true,
            ),
            (E::Auth { status: 401 }, "auth", false, false),
            (
                E::BadRequest {
                    status: 404,
                    code: "model_not_found",
                },
                "bad_request",
                false,
                false,
            ),
            (E::DoNotRetry { status: 500 }, "do_not_retry", false, false),
            (
                E::ContextTooLong { status: 400 },
                "context_too_long",
                false,
                false,
            ),
            (E::Refused { reason: "refusal" }, "refused", false, false),
            (
                E::Truncated {
                    max_output_tokens: 9,
                },
                "truncated",
                false,
                false,
            ),
            (
                E::InvalidReply { what: "no choices" },
                "invalid_reply",
                true,
                false,
            ),
            (
                E::ReplyTooLarge { limit: 9 },
                "reply_too_large",
                false,
                false,
            ),
            (
                E::InvalidOutput {
                    reason: InvalidReason::Json,
                },
                "invalid_output",
                false,
                false,
            ),
            (
                E::Timeout {
                    after: Duration::from_secs(1),
                },
                "timeout",
                true,
                false,
            ),
            (E::Connect { source: source() }, "connect", true, false),
            (
                E::UnknownFixture { label: "triage" },
                "unknown_fixture",
                false,
                false,
            ),
            (E::Cancelled, "cancelled", false, false),
        ]
    }

    #[test]
    fn each_kind_of_failure_says_what_to_do_next() {
        for (error, class, transient, moment) in table() {
            assert_eq!(error.class(), class);
            assert_eq!(error.is_transient(), transient, "{class}");
            assert_eq!(error.retry_at(), moment.then(|| wait().at), "{class}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_its_source() {
        let error = LlmError::Connect {
            source: BoxError::from("connection refused"),
        };
        assert!(!error.to_string().contains("connection refused"));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "connection refused");
    }
}
