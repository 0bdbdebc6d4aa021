//! What a failed model call means, the same for every kind of job: [`lane_effect`] says what it means for the provider's lane,
//! [`job_effect`] what it means for the job. [`react`] turns the latter into a wait, or says that the wait is over.
//!
//! A wait never uses up an attempt: an outage of a provider is not the job's fault.

use super::ask::{AskError, ModelAccess};
use super::unavailable;
use base::telemetry::chain;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::llm::{LaneEffect, OutagePolicy};
use jobs::store::{
    llm_calls::{self, FailureFacts},
    llm_lanes, tenants,
};
use llm::{LlmError, NotAdmitted};
use queue::runtime::handler::JobContext;
use queue::{Failure, RetryPolicy};
use rand::RngExt;
use std::time::Duration;

/// The codes of jobs that wait for a lane. They are released when a lane closes.
pub(crate) const LANE_CODES: [&str; 4] = [
    "llm_unavailable",
    "llm_rate_limited",
    "llm_quota_exhausted",
    "llm_stopped",
];
/// The classes of failures that an operator must mend.
pub(crate) const STOPPING_CLASSES: [&str; 2] = ["auth", "bad_request"];

/// A quota that is spent is not asked for again sooner, whatever short wait the reply names.
const QUOTA_WAIT: TimeDelta = TimeDelta::hours(1);
/// A wait that is named with a spent quota counts as its reset only if it is longer.
const SHORTEST_RESET: TimeDelta = TimeDelta::minutes(5);
/// The waits of a job whose own requests failed: from 2 s to an hour, by the attempts that failed.
const BACKOFF: RetryPolicy = RetryPolicy {
    max_attempts: i32::MAX,
    base: Duration::from_secs(2),
    cap: Duration::from_secs(3600),
    floor: Duration::from_millis(200),
};
/// How long a job waits for a lane, in seconds beyond its time. Only a fallback: it is released when the lane closes.
const LANE_WAIT: std::ops::Range<f64> = 60.0..300.0;

/// Whose fault a request is that the provider rejects as bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The configuration's, as far as is known: every request would be rejected.
    Provider,
    /// The job's: others were answered since.
    Job,
}

/// What a failed call means for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobEffect {
    /// It returns to the queue at once: it was cancelled, its lease was lost, or the worker stops.
    HandBack,
    /// It waits by its own backoff.
    Wait,
    /// It waits until then.
    WaitUntil(DateTime<Utc>),
    /// It waits until the lane closes, which is not before then.
    WaitForLane(DateTime<Utc>),
    /// The answer may be paid for and cannot be read: one more is asked for.
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
pub(super) fn lane_effect(
    error: &LlmError,
    is_billed: bool,
    subject: Subject,
    now: DateTime<Utc>,
) -> LaneEffect {
    match error {
        LlmError::Transient { retry_after, .. } | LlmError::RateLimited { retry_after } => {
            match retry_after {
                Some(wait) => LaneEffect::OpensUntil(wait.at),
                None => LaneEffect::Counts,
            }
        }
        LlmError::QuotaExhausted { until, .. } => LaneEffect::OpensUntil(quota_reset(*until, now)),
        LlmError::Auth { .. } => LaneEffect::Stops,
        LlmError::BadRequest { .. } => match subject {
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

/// The one table of what a failed call means for its job.
pub(super) fn job_effect(
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
        LlmError::QuotaExhausted { until, .. } => JobEffect::WaitUntil(quota_reset(*until, now)),
        // Not the first to ask again: the request may be bad only because of this job.
        LlmError::Auth { .. } => JobEffect::WaitForLane(now),
        LlmError::BadRequest { .. } => match subject {
            Subject::Provider => JobEffect::WaitForLane(now),
            Subject::Job => JobEffect::Unanswerable,
        },
        LlmError::InvalidReply { .. } if is_billed => JobEffect::AskAgain,
        LlmError::InvalidReply { .. }
        | LlmError::DoNotRetry { .. }
        | LlmError::Timeout { .. }
        | LlmError::Connect { .. } => JobEffect::Wait,
        LlmError::ContextTooLong { .. }
        | LlmError::Refused { .. }
        | LlmError::Truncated { .. }
        | LlmError::ReplyTooLarge { .. }
        | LlmError::InvalidOutput { .. } => JobEffect::Unanswerable,
        LlmError::UnknownFixture { .. } => JobEffect::Misconfigured,
        LlmError::Cancelled | LlmError::NotAdmitted(NotAdmitted::LeaseLost) => JobEffect::HandBack,
        LlmError::NotAdmitted(NotAdmitted::LaneOpen { until, .. }) => {
            JobEffect::WaitForLane(*until)
        }
        LlmError::NotAdmitted(
            NotAdmitted::OverBudget { until } | NotAdmitted::PriceUnknown { until },
        ) => JobEffect::WaitUntil(*until),
        LlmError::Ledger { .. } => JobEffect::OurFault,
    }
}

fn quota_reset(told: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    if told - now > SHORTEST_RESET {
        told
    } else {
        now + QUOTA_WAIT
    }
}

/// What a handler does about a failed call.
#[derive(Debug)]
pub(super) enum Reaction {
    /// End the attempt with this failure.
    Fail(Failure),
    /// Ask once more: the answer may be paid for and cannot be read.
    AskAgain(LlmError),
    /// Do without an answer: no call answers this question.
    Unanswerable(LlmError),
    /// Do without an answer: the model was away for as long as the tenant waits. The failure says so.
    WaitedEnough(Failure),
}

/// Decides what to do about a failed call. `wait_of` returns how long this kind of job waits.
pub(super) async fn react(
    ctx: &JobContext,
    access: &ModelAccess,
    error: AskError,
    wait_of: impl Fn(&OutagePolicy) -> TimeDelta + Send,
) -> Reaction {
    match error {
        AskError::LeaseLost => Reaction::Fail(Failure::interrupted()),
        AskError::Database(error) => Reaction::Fail(unavailable(&error)),
        AskError::Model { error, is_billed } => {
            let decided = decide(ctx, access, error, is_billed, wait_of).await;
            decided.unwrap_or_else(|error| Reaction::Fail(unavailable(&error)))
        }
    }
}

async fn decide(
    ctx: &JobContext,
    access: &ModelAccess,
    error: LlmError,
    is_billed: bool,
    wait_of: impl Fn(&OutagePolicy) -> TimeDelta + Send,
) -> Result<Reaction, sqlx::Error> {
    let (tenant, job) = (ctx.job.tenant, ctx.job.lease.job);
    let mut conn = ctx.pool.acquire().await?;
    let is_bad_request = matches!(error, LlmError::BadRequest { .. });
    let subject = if is_bad_request && llm_calls::rejected_alone(&mut conn, tenant, job).await? {
        Subject::Job
    } else {
        Subject::Provider
    };
    let effect = job_effect(&error, is_billed, subject, ctx.clock.now());
    match effect {
        JobEffect::HandBack => return Ok(Reaction::Fail(Failure::interrupted())),
        JobEffect::AskAgain => return Ok(Reaction::AskAgain(error)),
        JobEffect::Unanswerable => return Ok(Reaction::Unanswerable(error)),
        JobEffect::Misconfigured => return Ok(Reaction::Fail(misconfigured(&error))),
        JobEffect::OurFault => return Ok(Reaction::Fail(our_fault(&error))),
        JobEffect::Wait | JobEffect::WaitUntil(_) | JobEffect::WaitForLane(_) => {}
    }
    let lane = (access.model.provider_name(), access.model.model_name());
    let open_until = llm_lanes::open_until(&mut conn, lane).await?;
    let facts = llm_calls::failure_facts(&mut conn, tenant, job).await?;
    let policy = tenants::settings(&mut conn, tenant).await?.outage;
    let ends = facts.waits_since + wait_of(&policy);
    let failure = waiting(&error, wait_until(effect, facts, open_until).min(ends));
    Ok(if facts.now >= ends {
        Reaction::WaitedEnough(failure)
    } else {
        Reaction::Fail(failure)
    })
}

/// Returns the time of the next attempt, with jitter.
fn wait_until(
    effect: JobEffect,
    facts: FailureFacts,
    open_until: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let mut rng = rand::rng();
    let now = facts.now;
    // A request before then would not be sent.
    let earliest = open_until.map_or(now, |until| until.max(now));
    let seconds = |seconds: f64| TimeDelta::milliseconds((seconds * 1000.0) as i64);
    match effect {
        JobEffect::WaitForLane(until) => until.max(earliest) + seconds(rng.random_range(LANE_WAIT)),
        JobEffect::WaitUntil(until) => {
            let wait = (until - now).as_seconds_f64().max(0.0);
            until.max(now) + seconds(rng.random_range(0.1..1.1 + wait / 10.0))
        }
        _ => {
            let failed = i32::try_from(facts.failed_attempts).unwrap_or(i32::MAX);
            let delay = BACKOFF.delay(failed, rng.random());
            (now + seconds(delay.as_secs_f64())).max(earliest + seconds(rng.random_range(0.1..1.0)))
        }
    }
}

/// Builds the failure of a job that waits.
fn waiting(error: &LlmError, until: DateTime<Utc>) -> Failure {
    let class = match error {
        LlmError::NotAdmitted(NotAdmitted::LaneOpen { reason, .. }) => reason,
        other => other.class(),
    };
    let (code, message) = match (error, class) {
        (LlmError::NotAdmitted(NotAdmitted::OverBudget { .. }), _) => (
            "llm_over_budget",
            "The budget for the language model is used up; the job continues when it is renewed or raised.",
        ),
        (LlmError::NotAdmitted(NotAdmitted::PriceUnknown { .. }), _) => (
            "llm_price_unknown",
            "The budget is in money, and the price of the language model is not known. Add it to the prices file, or set a budget in tokens.",
        ),
        (_, "auth" | "bad_request") => (
            "llm_stopped",
            "The language model rejects our requests until an operator acts; the job continues automatically.",
        ),
        (_, "quota_exhausted") => (
            "llm_quota_exhausted",
            "The quota at the language model's provider is used up; the job continues automatically.",
        ),
        (_, "rate_limited") => (
            "llm_rate_limited",
            "The language model limits our requests at the moment; the job continues automatically.",
        ),
        _ => (
            "llm_unavailable",
            "The language model is unavailable at the moment; the job continues automatically.",
        ),
    };
    Failure::rate_limited(until, code, message, format!("{class}: {}", chain(error)))
}

/// Permanent, so that a missing fixture is noticed.
fn misconfigured(error: &LlmError) -> Failure {
    Failure::permanent(
        "unknown_fixture",
        "No fixture matches this email. Add one, or use a real model.",
        chain(error),
    )
}

fn our_fault(error: &LlmError) -> Failure {
    Failure::transient(
        "database_unavailable",
        "Something went wrong on our side; the job will be retried.",
        chain(error),
    )
}

#[cfg(test)]
mod tests;
