//! What a handler does about a failed model call: [`react`] turns the tables of [`effects`] into a wait, or says that the wait
//! is over. The same for triage and drafts.
//!
//! A wait never uses up an attempt: an outage of a provider is not the job's fault.

pub(crate) mod effects;
pub(super) mod subject;

use super::ask::{AskError, FailedCall};
use super::unavailable;
use base::telemetry::chain;
use chrono::{DateTime, TimeDelta, Utc};
use effects::{BATCH_CODE, BUDGET_CODE, JobEffect, RATE_CODE, gave_no_answer, job_effect};
use jobs::domain::llm::{ModelName, OutagePolicy};
use jobs::store::{
    llm_calls::{self, FailureFacts},
    llm_lanes, tenants,
};
use llm::{LlmError, NotAdmitted};
use queue::runtime::handler::JobContext;
use queue::{Failure, RetryPolicy};
use rand::RngExt;
use std::time::Duration;

/// The waits of a job whose own requests failed: from 2 s to an hour, by the attempts that failed.
const BACKOFF: RetryPolicy = RetryPolicy {
    max_attempts: i32::MAX,
    base: Duration::from_secs(2),
    cap: Duration::from_secs(3600),
    floor: Duration::from_millis(200),
};
/// How long a job waits for a lane, in seconds beyond its time, at its first attempt. Only a fallback: it is released when the
/// lane closes.
const LANE_WAIT: std::ops::Range<f64> = 60.0..300.0;
/// How often the wait for a lane may grow: up to an hour, so that an outage of a day leaves some thirty attempts behind.
const LANE_WAITS: i32 = 12;

/// How long a job is parked for its batch. Only a fallback: it is released when the batch has ended.
const PARKED: TimeDelta = TimeDelta::hours(6);

/// What a handler does about a failed call.
#[derive(Debug)]
pub(super) enum Reaction {
    /// End the attempt with this failure.
    Fail(Failure),
    /// Ask once more: the answer may be paid for and cannot be read.
    AskAgain(LlmError),
    /// Do without an answer: no call answers this question.
    Unanswerable(LlmError),
    /// Do without an answer: the model was unavailable for as long as the tenant waits. The failure says so.
    WaitedEnough(Failure),
}

/// Decides what to do about a failed call. `wait_of` returns how long this kind of job waits.
pub(super) async fn react(
    ctx: &JobContext,
    error: AskError,
    wait_of: impl Fn(&OutagePolicy) -> TimeDelta + Send,
) -> Reaction {
    match error {
        AskError::LeaseLost => Reaction::Fail(Failure::interrupted()),
        AskError::Database(error) => Reaction::Fail(unavailable(&error)),
        AskError::Batched { step } => Reaction::Fail(parked(ctx.clock.now(), step)),
        AskError::NotRecorded { step } => Reaction::Fail(Failure::permanent(
            "not_recorded",
            "Today's code asks the model a question that the job did not ask.",
            format!("no answer to the question {step} was recorded"),
        )),
        AskError::Model { last, earlier } => {
            let decided = decide(ctx, last, &earlier, wait_of).await;
            decided.unwrap_or_else(|error| Reaction::Fail(unavailable(&error)))
        }
    }
}

async fn decide(
    ctx: &JobContext,
    last: FailedCall,
    earlier: &[FailedCall],
    wait_of: impl Fn(&OutagePolicy) -> TimeDelta + Send,
) -> Result<Reaction, sqlx::Error> {
    let (tenant, job) = (ctx.job.lease.tenant, ctx.job.lease.job);
    let mut conn = ctx.pool.acquire().await?;
    let effect_of = |call: &FailedCall, subject| {
        job_effect(&call.error, call.is_billed, subject, ctx.clock.now())
    };
    let of = (tenant, job);
    let subject = subject::of(&mut conn, of, lane_of(&last), &last.error).await?;
    match effect_of(&last, subject) {
        // Never given up, however long it waits: the model answers, and the operator set the rate.
        JobEffect::WaitForTurn(until) => {
            let failure = rate_reached(&last.error, &last.model, until);
            return Ok(Reaction::Fail(failure));
        }
        JobEffect::HandBack => return Ok(Reaction::Fail(Failure::interrupted())),
        JobEffect::AskAgain => return Ok(Reaction::AskAgain(last.error)),
        JobEffect::Misconfigured => return Ok(Reaction::Fail(misconfigured(&last.error))),
        JobEffect::OurFault => return Ok(Reaction::Fail(our_fault(&last.error))),
        JobEffect::Unanswerable if !gave_no_answer(&last.error) => {
            return Ok(Reaction::Unanswerable(last.error));
        }
        JobEffect::Unanswerable
        | JobEffect::Wait
        | JobEffect::WaitUntil(_)
        | JobEffect::WaitForLane(_) => {}
    }
    let facts = llm_calls::failure_facts(&mut conn, tenant, job).await?;
    // The model that may be asked first decides how long the job waits, and what it is said to wait for.
    let mut soonest: Option<(DateTime<Utc>, &FailedCall)> = None;
    for call in earlier.iter().chain([&last]) {
        let lane = lane_of(call);
        let subject = subject::of(&mut conn, of, lane, &call.error).await?;
        let effect = effect_of(call, subject);
        if !effect.is_wait() {
            continue;
        }
        let open_until = llm_lanes::open_until(&mut conn, lane).await?;
        let until = wait_until(effect, ctx.job.lease.attempt, facts, open_until);
        if soonest.is_none_or(|(other, _)| until < other) {
            soonest = Some((until, call));
        }
    }
    let Some((until, call)) = soonest else {
        return Ok(Reaction::Unanswerable(last.error));
    };
    let policy = tenants::settings(&mut conn, tenant).await?.outage;
    let ends = facts.waits_since + wait_of(&policy);
    let failure = waiting(&call.error, until.min(ends));
    Ok(if facts.now >= ends {
        Reaction::WaitedEnough(failure)
    } else {
        Reaction::Fail(failure)
    })
}

fn lane_of(call: &FailedCall) -> ModelName<'_> {
    ModelName {
        provider: &call.provider,
        model: &call.model,
    }
}

/// Returns the time of the next attempt, with jitter.
fn wait_until(
    effect: JobEffect,
    attempt: i32,
    facts: FailureFacts,
    open_until: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let mut rng = rand::rng();
    let now = facts.now;
    // A request before then would not be sent.
    let earliest = open_until.map_or(now, |until| until.max(now));
    match effect {
        JobEffect::WaitForLane(until) => {
            let grown = f64::from(attempt.clamp(1, LANE_WAITS));
            until.max(earliest) + seconds(rng.random_range(LANE_WAIT) * grown)
        }
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

/// Converts seconds from 0 up.
fn seconds(seconds: f64) -> TimeDelta {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// Builds the failure of a job that waits.
fn waiting(error: &LlmError, until: DateTime<Utc>) -> Failure {
    let class = match error {
        LlmError::NotAdmitted(refusal) => refusal.class(),
        other => other.class(),
    };
    let (code, message) = match (error, class) {
        (LlmError::NotAdmitted(NotAdmitted::OverBudget { .. }), _) => (
            BUDGET_CODE,
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

/// Builds the failure of a job that waits for its turn.
fn rate_reached(error: &LlmError, model: &str, until: DateTime<Utc>) -> Failure {
    Failure::rate_limited(
        until,
        RATE_CODE,
        format!("The rate of requests to {model} is reached; the job continues at its turn."),
        chain(error),
    )
}

/// Builds the failure of a job whose question is in a batch.
fn parked(now: DateTime<Utc>, step: &str) -> Failure {
    Failure::rate_limited(
        now + PARKED,
        BATCH_CODE,
        "The question to the language model is in a batch, which is answered within a day; the job continues automatically.",
        format!("a batch will answer {step}"),
    )
}

/// Permanent, so that a missing fixture is noticed.
fn misconfigured(error: &LlmError) -> Failure {
    Failure::permanent(
        "unknown_fixture",
        "No fixture matches this email. Add one, or use a real model.",
        chain(error),
    )
}

/// The database, as a rule: what it refuses costs no attempt.
fn our_fault(error: &LlmError) -> Failure {
    if let LlmError::Ledger { source } = error
        && let Some(error) = source.downcast_ref::<sqlx::Error>()
    {
        return unavailable(error);
    }
    Failure::transient(
        "database_unavailable",
        "Something went wrong on our side; the job will be retried.",
        chain(error),
    )
}

#[cfg(test)]
mod tests;
