//! Calls the model about an email: one call, one repair, and what its failure means for the job.

use super::load::Case;
use super::merge::ModelAnswer;
use super::parse_reply::{FaultClass, ReplyFault, parse_repaired, parse_reply};
use super::prompt;
use crate::handlers::{
    ask::{AskError, Question, ask},
    unavailable,
};
use crate::prompts::triage_schema;
use base::telemetry::{chain, millis};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{domain::rules::Verdict, kinds::triage::LlmUsage};
use llm::{Completion, InvalidReason, LlmError, Model, Prompt};
use queue::runtime::handler::JobContext;
use queue::{Failure, Job};
use std::time::Duration;
use tokio::time::Instant;

/// Both calls of an attempt together; the job's own timeout must leave room to settle.
const BUDGET: Duration = Duration::from_secs(150);
/// An answer has a few hundred tokens; a reasoning model needs more.
const MAX_OUTPUT_TOKENS: u32 = 2_000;
/// How long a job waits for a rate-limited model before a user must look at the email.
const TIMEOUT: TimeDelta = TimeDelta::hours(24);

/// The answer and its cost.
pub(super) struct Judged {
    pub(super) answer: ModelAnswer,
    pub(super) usage: LlmUsage,
}

/// Calls the model for what `verdict` leaves open.
///
/// # Errors
/// If the model is unavailable and no rule has decided; a retry may succeed.
pub(super) async fn judge(
    ctx: &JobContext,
    model: &Model,
    case: &Case,
    verdict: &Verdict<'_>,
    now: DateTime<Utc>,
) -> Result<Judged, Failure> {
    let asked_on = ctx.job.created_at;
    let deadline = Instant::now() + BUDGET;
    let candidates: Vec<&str> = verdict
        .candidates
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    let build = |step, prompt: Prompt| Question {
        task: "triage",
        step,
        prompt,
        schema: triage_schema(&candidates),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        deadline,
    };
    let mut usage = LlmUsage::default();
    let decided = !verdict.hits.is_empty();

    // Progress is optional: a failed report must not stop the job.
    let _not_needed = ctx.report(0.3, "Calling the model.");
    let first = build("triage", prompt::question(case, verdict, asked_on));
    let first = match ask(ctx, model, first).await {
        Ok(completion) => completion,
        Err(error) => return without_answer(&ctx.job, error, decided, now, usage),
    };
    add(&mut usage, &first);
    let fault = match parse_reply(&first.text, &case.mail, &candidates) {
        Ok(reply) => {
            return Ok(Judged {
                answer: ModelAnswer::Reply(reply),
                usage,
            });
        }
        Err(fault) => fault,
    };
    let _not_needed = ctx.report(0.6, "Calling the model again: its answer was invalid.");
    let again = build(
        "triage.repair",
        prompt::repair(case, verdict, asked_on, &first.text, &fault),
    );
    let again = match ask(ctx, model, again).await {
        Ok(completion) => completion,
        Err(error) => {
            record_invalid(model, &fault, false);
            return without_answer(&ctx.job, error, decided, now, usage);
        }
    };
    add(&mut usage, &again);
    let repaired = parse_repaired(&again.text, &case.mail, &candidates);
    record_invalid(model, &fault, repaired.is_ok());
    let answer = repaired.map_or(ModelAnswer::Unusable, ModelAnswer::Reply);
    Ok(Judged { answer, usage })
}

/// Counts and logs an invalid answer: its class only, because the message may quote the email.
fn record_invalid(model: &Model, fault: &ReplyFault, repaired: bool) {
    model
        .metrics()
        .output_invalid("triage", reason(fault.class), repaired);
    tracing::warn!(
        reason = fault.class.as_str(),
        repaired,
        "the model's answer was invalid"
    );
}

const fn reason(class: FaultClass) -> InvalidReason {
    match class {
        FaultClass::Json => InvalidReason::Json,
        FaultClass::Schema | FaultClass::Ungrounded => InvalidReason::Schema,
        FaultClass::Enum | FaultClass::Rule => InvalidReason::Enum,
    }
}

fn without_answer(
    job: &Job,
    error: AskError,
    decided: bool,
    now: DateTime<Utc>,
    usage: LlmUsage,
) -> Result<Judged, Failure> {
    match error {
        AskError::LeaseLost => Err(Failure::interrupted()),
        AskError::Database(error) => Err(unavailable(&error)),
        AskError::Model(error) => match consequence(&error, job, decided, now) {
            Consequence::DecideWithoutModel => {
                tracing::warn!(
                    error = chain(&error),
                    class = error.class(),
                    "deciding without the model"
                );
                Ok(Judged {
                    answer: ModelAnswer::Unusable,
                    usage,
                })
            }
            Consequence::Fail(failure) => Err(failure),
        },
    }
}

/// The consequence of a failed call for the job.
#[derive(Debug)]
enum Consequence {
    DecideWithoutModel,
    Fail(Failure),
}

fn consequence(error: &LlmError, job: &Job, decided: bool, now: DateTime<Utc>) -> Consequence {
    let class = error.class();
    match error {
        LlmError::Cancelled => return Consequence::Fail(Failure::interrupted()),
        // Permanent, so that a missing fixture is noticed.
        LlmError::UnknownFixture { .. } => {
            return Consequence::Fail(Failure::permanent(
                "unknown_fixture",
                "No fixture matches this email. Add one, or use a real model.",
                chain(error),
            ));
        }
        // A retry would fail in the same way.
        LlmError::Refused { .. }
        | LlmError::Truncated { .. }
        | LlmError::ContextTooLong { .. }
        | LlmError::ReplyTooLarge { .. }
        | LlmError::InvalidOutput { .. } => return Consequence::DecideWithoutModel,
        LlmError::Transient { .. }
        | LlmError::RateLimited { .. }
        | LlmError::QuotaExhausted { .. }
        | LlmError::Auth { .. }
        | LlmError::BadRequest { .. }
        | LlmError::DoNotRetry { .. }
        | LlmError::InvalidReply { .. }
        | LlmError::Timeout { .. }
        | LlmError::Connect { .. } => {}
    }
    if decided {
        return Consequence::DecideWithoutModel;
    }
    let message =
        "The language model is unavailable at the moment; the job continues automatically.";
    let is_limited = matches!(
        error,
        LlmError::RateLimited { .. } | LlmError::QuotaExhausted { .. }
    );
    match error.retry_at().filter(|_| is_limited) {
        Some(until) if now - job.created_at < TIMEOUT => Consequence::Fail(Failure::rate_limited(
            until,
            "llm_rate_limited",
            message,
            format!("{class}: {}", chain(error)),
        )),
        Some(_) => Consequence::DecideWithoutModel,
        None if job.is_last_attempt() => Consequence::DecideWithoutModel,
        None => Consequence::Fail(Failure::transient(
            "llm_unavailable",
            message,
            format!("{class}: {}", chain(error)),
        )),
    }
}

fn add(usage: &mut LlmUsage, completion: &Completion) {
    usage.calls += 1;
    usage.tokens += completion.usage.total();
    usage.ms += millis(completion.duration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{JobId, TenantId, WorkerId};
    use llm::error::RetryAfter;
    use queue::{FailureClass, Lease};

    fn job(errors: i32) -> Job {
        let at = DateTime::UNIX_EPOCH;
        Job {
            lease: Lease {
                tenant: TenantId::new(),
                job: JobId::new(),
                attempt: errors + 1,
                worker: WorkerId::new(),
            },
            tenant: TenantId::new(),
            kind: "triage.email".into(),
            queue: "triage".into(),
            priority: 3,
            parent: None,
            children: 0,
            args: serde_json::Value::Null,
            errors,
            crashes: 0,
            max_attempts: 3,
            run_at: at,
            created_at: at,
            started_at: at,
            request_id: None,
            traceparent: None,
        }
    }

    fn described(error: &LlmError, errors: i32, decided: bool) -> String {
        match consequence(error, &job(errors), decided, DateTime::UNIX_EPOCH) {
            Consequence::DecideWithoutModel => "decide without model".into(),
            Consequence::Fail(failure) => match failure.class {
                FailureClass::Transient => format!("retry {}", failure.code),
                FailureClass::RateLimited { .. } => format!("snooze {}", failure.code),
                FailureClass::Permanent => format!("fail {}", failure.code),
                FailureClass::Interrupted | FailureClass::Cancelled => "hand back".into(),
            },
        }
    }

    #[test]
    fn each_model_error_has_its_consequence_for_the_job() {
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(30);
        let wait = Some(RetryAfter {
            delay: Duration::from_secs(30),
            at,
        });
        let timeout = || LlmError::Timeout {
            after: Duration::from_secs(1),
        };
        for (error, errors, decided, expected) in [
            (timeout(), 0, false, "retry llm_unavailable"),
            (timeout(), 2, false, "decide without model"),
            (timeout(), 0, true, "decide without model"),
            (
                LlmError::Transient {
                    status: 503,
                    retry_after: wait,
                },
                0,
                false,
                "retry llm_unavailable",
            ),
            (
                LlmError::Auth { status: 401 },
                0,
                false,
                "retry llm_unavailable",
            ),
            (
                LlmError::Auth { status: 401 },
                2,
                false,
                "decide without model",
            ),
            (
                LlmError::RateLimited { retry_after: wait },
                0,
                false,
                "snooze llm_rate_limited",
            ),
            (
                LlmError::RateLimited { retry_after: wait },
                2,
                false,
                "snooze llm_rate_limited",
            ),
            (
                LlmError::RateLimited { retry_after: None },
                2,
                false,
                "decide without model",
            ),
            (
                LlmError::QuotaExhausted {
                    code: "insufficient_quota",
                    until: at,
                },
                0,
                false,
                "snooze llm_rate_limited",
            ),
            (
                LlmError::QuotaExhausted {
                    code: "insufficient_quota",
                    until: at,
                },
                0,
                true,
                "decide without model",
            ),
            (
                LlmError::Refused {
                    reason: "content_filter",
                },
                0,
                false,
                "decide without model",
            ),
            (
                LlmError::Truncated {
                    max_output_tokens: 5,
                },
                0,
                false,
                "decide without model",
            ),
            (
                LlmError::UnknownFixture { task: "triage" },
                0,
                true,
                "fail unknown_fixture",
            ),
            (LlmError::Cancelled, 0, true, "hand back"),
        ] {
            assert_eq!(
                described(&error, errors, decided),
                expected,
                "{error} after {errors} errors, decided: {decided}"
            );
        }
    }

    #[test]
    fn wait_for_a_limited_model_ends() {
        let at = DateTime::UNIX_EPOCH + TIMEOUT;
        let limited = LlmError::RateLimited {
            retry_after: Some(RetryAfter {
                delay: Duration::from_secs(1),
                at,
            }),
        };
        assert!(matches!(
            consequence(&limited, &job(0), false, at),
            Consequence::DecideWithoutModel
        ));
    }
}
