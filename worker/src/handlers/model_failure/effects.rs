//! What a failed model call means, the same for every kind of job: [`lane_effect`] for the provider's lane, [`job_effect`] for
//! the job. Pure.
//!
//! Both are exhaustive: a new class of failure does not compile before it has its line in each.

use chrono::{DateTime, Utc};
use jobs::domain::llm::LaneEffect;
use llm::{LlmError, NotAdmitted};

/// The codes of jobs that wait for a lane. They are released when a lane closes.
pub(crate) const LANE_CODES: [&str; 4] = [
    "llm_unavailable",
    "llm_rate_limited",
    "llm_quota_exhausted",
    "llm_stopped",
];
/// The code of jobs that wait for their turn at the model's rate. They keep it when a lane closes.
pub(in crate::handlers) const RATE_CODE: &str = "llm_rate_reached";
/// The code of jobs that wait for a budget.
pub(in crate::handlers) const BUDGET_CODE: &str = "llm_over_budget";
/// The code of jobs whose question is in a batch. They are released when it has ended.
pub(crate) const BATCH_CODE: &str = "llm_batched";
/// The classes of failures that an operator must mend.
pub(crate) const STOPPING_CLASSES: [&str; 2] = ["auth", "bad_request"];

/// Whose fault a request is that the provider rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::handlers) enum Subject {
    /// The configuration's, as far as is known: every request would be rejected.
    Provider,
    /// The job's: others were answered since.
    Job,
}

/// What a failed call means for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::handlers) enum JobEffect {
    /// It returns to the queue at once: it was cancelled, its lease was lost, or the worker stops.
    HandBack,
    /// It waits by its own backoff.
    Wait,
    /// It waits until then.
    WaitUntil(DateTime<Utc>),
    /// It waits until the lane closes, which is not before then.
    WaitForLane(DateTime<Utc>),
    /// It waits for its turn at the model's rate, and tries again then at the latest.
    WaitForTurn(DateTime<Utc>),
    /// There is an answer, perhaps paid for, that cannot be read: one more is asked for.
    AskAgain,
    /// No call answers this question.
    Unanswerable,
    /// The configuration of testing mode is incomplete.
    Misconfigured,
    /// Our database failed.
    OurFault,
}

/// The one table of what a failed request means for its provider's lane.
///
/// `is_billed`: the provider reported the usage of an unusable answer.
pub(in crate::handlers) fn lane_effect(
    error: &LlmError,
    is_billed: bool,
    subject: Subject,
) -> LaneEffect {
    match error {
        LlmError::Transient { retry_after, .. } | LlmError::RateLimited { retry_after } => {
            match retry_after {
                Some(wait) => LaneEffect::OpensUntil(wait.at),
                None => LaneEffect::Counts,
            }
        }
        LlmError::QuotaExhausted { until, .. } => LaneEffect::OpensUntil(*until),
        LlmError::Auth { .. } | LlmError::BadRequest { .. } => match subject {
            Subject::Provider => LaneEffect::Stops,
            Subject::Job => LaneEffect::Nothing,
        },
        LlmError::InvalidReply { .. } if is_billed => LaneEffect::Nothing,
        LlmError::InvalidReply { .. }
        | LlmError::DoNotRetry { .. }
        | LlmError::Timeout { .. }
        | LlmError::Connect { .. } => LaneEffect::Counts,
        LlmError::ContextTooLong { .. }
        | LlmError::Refused { .. }
        | LlmError::Truncated { .. }
        | LlmError::ReplyTooLarge { .. }
        | LlmError::InvalidOutput { .. }
        | LlmError::UnknownFixture { .. }
        | LlmError::Cancelled
        | LlmError::NotAdmitted(_)
        | LlmError::Ledger { .. } => LaneEffect::Nothing,
    }
}

impl JobEffect {
    /// Whether the job waits for the model.
    pub(in crate::handlers) const fn is_wait(self) -> bool {
        matches!(self, Self::Wait | Self::WaitUntil(_) | Self::WaitForLane(_))
    }
}

/// Whether another model may answer what this one did not: wherever the job would wait, and a prompt that is too long for it.
/// Not after an answer, however unusable: it is paid for, and it is repaired.
pub(in crate::handlers) fn passes_on(
    error: &LlmError,
    is_billed: bool,
    now: DateTime<Utc>,
) -> bool {
    job_effect(error, is_billed, Subject::Provider, now).is_wait() || gave_no_answer(error)
}

/// Whether the model refused the question itself, so that another may still answer it.
pub(in crate::handlers) const fn gave_no_answer(error: &LlmError) -> bool {
    matches!(
        error,
        LlmError::ContextTooLong { .. } | LlmError::BadRequest { .. } | LlmError::Auth { .. }
    )
}

/// The one table of what a failed call means for its job.
pub(in crate::handlers) fn job_effect(
    error: &LlmError,
    is_billed: bool,
    subject: Subject,
    now: DateTime<Utc>,
) -> JobEffect {
    match error {
        LlmError::Transient { retry_after, .. } | LlmError::RateLimited { retry_after } => {
            match retry_after {
                Some(wait) => JobEffect::WaitUntil(wait.at),
                None => JobEffect::Wait,
            }
        }
        LlmError::QuotaExhausted { until, .. } => JobEffect::WaitUntil(*until),
        // Not the first to ask again: the request may be bad only because of this job.
        LlmError::Auth { .. } | LlmError::BadRequest { .. } => match subject {
            Subject::Provider => JobEffect::WaitForLane(now),
            Subject::Job => JobEffect::Unanswerable,
        },
        LlmError::InvalidReply { .. } if is_billed => JobEffect::AskAgain,
        // The model wrote something of which its server could make no answer.
        LlmError::InvalidOutput { .. } => JobEffect::AskAgain,
        LlmError::InvalidReply { .. }
        | LlmError::DoNotRetry { .. }
        | LlmError::Timeout { .. }
        | LlmError::Connect { .. } => JobEffect::Wait,
        LlmError::ContextTooLong { .. }
        | LlmError::Refused { .. }
        | LlmError::Truncated { .. }
        | LlmError::ReplyTooLarge { .. } => JobEffect::Unanswerable,
        LlmError::UnknownFixture { .. } => JobEffect::Misconfigured,
        LlmError::Cancelled | LlmError::NotAdmitted(NotAdmitted::LeaseLost) => JobEffect::HandBack,
        LlmError::NotAdmitted(NotAdmitted::LaneOpen { until, .. }) => {
            JobEffect::WaitForLane(*until)
        }
        LlmError::NotAdmitted(
            NotAdmitted::OverBudget { until } | NotAdmitted::PriceUnknown { until },
        ) => JobEffect::WaitUntil(*until),
        LlmError::NotAdmitted(NotAdmitted::RateReached { until }) => JobEffect::WaitForTurn(*until),
        LlmError::Ledger { .. } => JobEffect::OurFault,
    }
}
