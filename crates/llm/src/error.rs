//! How a model call can fail: [`LlmError`]. `classify` makes it from a provider's response.
//!
//! Contains no text from a provider, because error messages echo prompts and keys. Codes come from a closed list; the rest
//! is numbers and our own words.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// The cause of a failed connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A failed model call.
///
/// For a job queue: if [`LlmError::retry_at`] is set, snooze until then; else if [`LlmError::is_transient`], retry with
/// backoff; else the same call will fail again.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// The provider or a proxy failed temporarily.
    #[error("the provider failed with status {status}")]
    Transient {
        status: u16,
        retry_after: Option<RetryAfter>,
    },
    /// Too many requests at the moment.
    #[error("the provider's rate limit is reached")]
    RateLimited { retry_after: Option<RetryAfter> },
    /// No call succeeds until the quota is renewed or the bill is paid; an operator must act.
    #[error("the provider's quota is exhausted ({code})")]
    QuotaExhausted {
        code: &'static str,
        until: DateTime<Utc>,
    },
    /// The provider rejects the credential; an operator must act.
    #[error("the provider rejects the credential (status {status})")]
    Auth { status: u16 },
    /// The provider rejects the request: an unknown model or an unsupported parameter.
    #[error("the provider rejects the request (status {status}, {code})")]
    BadRequest { status: u16, code: &'static str },
    /// The provider failed and asked not to retry.
    #[error("the provider failed with status {status} and asked not to retry")]
    DoNotRetry { status: u16 },
    #[error("the prompt is too long for the model (status {status})")]
    ContextTooLong { status: u16 },
    /// The model declined, or a filter blocked the answer.
    #[error("the model refused to answer: {reason}")]
    Refused { reason: &'static str },
    /// Cut off at the limit on output tokens.
    #[error("the answer was cut off at {max_output_tokens} tokens")]
    Truncated { max_output_tokens: u32 },
    /// A successful response without an answer: not JSON, no choices, an unknown form.
    #[error("the provider's reply is invalid: {what}")]
    InvalidReply { what: &'static str },
    #[error("the provider's reply is longer than {limit} bytes")]
    ReplyTooLarge { limit: usize },
    /// The model's text is unfit for its task.
    #[error("the model's output is invalid ({})", reason.as_str())]
    InvalidOutput { reason: InvalidReason },
    /// The provider may bill it anyway.
    #[error("no answer within {} ms", after.as_millis())]
    Timeout { after: Duration },
    #[error("{}", connection_failure(*was_sent))]
    Connect {
        /// The connection broke after the request had been written: the provider may have answered it.
        was_sent: bool,
        #[source]
        source: BoxError,
    },
    /// Testing mode has no answer for this prompt and never calls a provider.
    #[error("no fixture matches this {task} prompt")]
    UnknownFixture { task: &'static str },
    /// The job was cancelled, its lease was lost, or the worker is stopping.
    #[error("the call was cancelled with its job")]
    Cancelled,
    /// The ledger did not admit the request; nothing was sent.
    #[error("the request was not sent: {0}")]
    NotAdmitted(NotAdmitted),
    /// The request could not be recorded before it is sent; nothing was sent.
    #[error("could not record the request before it is sent")]
    Ledger {
        #[source]
        source: BoxError,
    },
}

/// Why a request was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The provider is unavailable, or asked everybody to wait. `reason` is the class of the failure that says so.
    #[error("the provider is not asked before {until} ({reason})")]
    LaneOpen {
        reason: &'static str,
        until: DateTime<Utc>,
    },
    /// A budget does not cover the request.
    #[error("a budget does not cover the request before {until}")]
    OverBudget { until: DateTime<Utc> },
    /// A budget in money cannot cover a request whose price is not known.
    #[error("the model has no known price and a budget in money applies")]
    PriceUnknown { until: DateTime<Utc> },
    /// The configured rate of requests or tokens is used up. The job gets its turn, or may try at `until`.
    #[error("the configured rate of requests to the model is reached")]
    RateReached { until: DateTime<Utc> },
    /// Another worker holds the job now.
    #[error("the lease was lost")]
    LeaseLost,
}

impl NotAdmitted {
    /// Returns a label value: why the request was not sent. For an open lane it is the class of what opened it.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::LaneOpen { reason, .. } => reason,
            Self::OverBudget { .. } => "over_budget",
            Self::PriceUnknown { .. } => "price_unknown",
            Self::RateReached { .. } => "rate_reached",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// A delay that the provider requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    pub delay: Duration,
    /// The end of the delay.
    pub at: DateTime<Utc>,
}

/// Why an answer is unfit for its task; a label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidReason {
    /// Not JSON at all.
    Json,
    /// JSON that does not match the schema.
    Schema,
    /// A value outside its closed set.
    Enum,
    /// A recipient that the caller does not allow.
    Recipient,
    Truncated,
    Refused,
}

impl LlmError {
    /// Returns whether the same call may succeed later.
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
            | Self::NotAdmitted(_)
            | Self::Ledger { .. }
            | Self::Cancelled => false,
        }
    }

    /// Returns the earliest time at which a retry makes sense, if known. The wait should not use up an attempt of the job.
    pub const fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::QuotaExhausted { until, .. } => Some(*until),
            _ => match self.retry_after() {
                Some(wait) => Some(wait.at),
                None => None,
            },
        }
    }

    /// Returns the delay that the provider requested, if it may be waited for in this process.
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
            | Self::NotAdmitted(_)
            | Self::Ledger { .. }
            | Self::Cancelled => None,
        }
    }

    /// Returns whether the provider may bill the request although there is no answer.
    pub const fn may_be_billed(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Cancelled | Self::ReplyTooLarge { .. } => true,
            Self::Connect { was_sent, .. } => *was_sent,
            Self::Transient { .. }
            | Self::RateLimited { .. }
            | Self::QuotaExhausted { .. }
            | Self::Auth { .. }
            | Self::BadRequest { .. }
            | Self::DoNotRetry { .. }
            | Self::ContextTooLong { .. }
            | Self::Refused { .. }
            | Self::Truncated { .. }
            | Self::InvalidReply { .. }
            | Self::InvalidOutput { .. }
            | Self::UnknownFixture { .. }
            | Self::NotAdmitted(_)
            | Self::Ledger { .. } => false,
        }
    }

    /// Returns whether an operator must act before calls succeed again.
    pub const fn needs_operator(&self) -> bool {
        matches!(
            self,
            Self::QuotaExhausted { .. } | Self::Auth { .. } | Self::BadRequest { .. }
        )
    }

    /// Returns the class of the failure, a label value.
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
            Self::NotAdmitted(_) => "not_admitted",
            Self::Ledger { .. } => "ledger",
        }
    }
}

const fn connection_failure(was_sent: bool) -> &'static str {
    if was_sent {
        "the connection to the provider broke before its answer was there"
    } else {
        "could not connect to the provider"
    }
}

impl InvalidReason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Schema => "schema",
            Self::Enum => "enum",
            Self::Recipient => "recipient",
            Self::Truncated => "truncated",
            Self::Refused => "refused",
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

    /// Every variant with its class, whether it is transient, and whether it has a retry time.
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
            (
                E::Connect {
                    was_sent: false,
                    source: source(),
                },
                "connect",
                true,
                false,
            ),
            (
                E::UnknownFixture { task: "summary" },
                "unknown_fixture",
                false,
                false,
            ),
            (E::Cancelled, "cancelled", false, false),
            (
                E::NotAdmitted(NotAdmitted::OverBudget { until: wait().at }),
                "not_admitted",
                false,
                false,
            ),
            (E::Ledger { source: source() }, "ledger", false, false),
        ]
    }

    #[test]
    fn each_error_class_says_whether_and_when_to_retry() {
        for (error, class, transient, has_time) in table() {
            assert_eq!(error.class(), class);
            assert_eq!(error.is_transient(), transient, "{class}");
            assert_eq!(error.retry_at(), has_time.then(|| wait().at), "{class}");
        }
    }

    #[test]
    fn error_text_does_not_repeat_its_source() {
        let error = LlmError::Connect {
            was_sent: false,
            source: BoxError::from("connection refused"),
        };
        assert!(!error.to_string().contains("connection refused"));
        let source = std::error::Error::source(&error).unwrap();
        assert_eq!(source.to_string(), "connection refused");
    }
}
