//! Asks the model about a mail and makes the best of whatever comes: an answer, one repair, or a decision on what its
//! failure means for the job.

use super::load::Case;
use super::merge::Answer;
use super::parse_reply::{FaultClass, ReplyFault, parse_reply};
use super::prompt;
use crate::handlers::{
    ask::{AskError, Question, ask},
    unavailable,
};
use crate::prompts::TRIAGE;
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
/// An answer has a few hundred tokens; a model that thinks aloud needs more.
const MAX_OUTPUT_TOKENS: u32 = 2_000;
/// A mail whose model is told to come back later, again and again, is given to a person after this long.
const PATIENCE: TimeDelta = TimeDelta::hours(24);

/// What asking brought, and what it cost.
pub(super) struct Judged {
    pub(super) answer: Answer,
    pub(super) usage: LlmUsage,
}

/// Asks the model what `verdict` leaves open.
///
/// # Errors
/// When the model cannot be reached and nothing but the model can decide: another attempt may find it.
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
    let question = |step, prompt: Prompt| Question {
        task: "triage",
        step,
        prompt,
        schema: TRIAGE.schema(),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        deadline,
    };
    let mut usage = LlmUsage::default();
    let decided = !verdict.hits.is_empty();

    // A report that is not taken is no reason to stop.
    let _not_needed = ctx.report(0.3, "Asking the model.");
    let first = question("triage", prompt::question(case, verdict, asked_on));
    let first = match ask(ctx, model, first).await {
        Ok(completion) => completion,
        Err(error) => return without(&ctx.job, error, decided, now, usage),
    };
    add(&mut usage, &first);
    let fault = match parse_reply(&first.text, &case.mail, &candidates) {
        Ok(reply) => {
            return Ok(Judged {
                answer: Answer::Reply(reply),
                usage,
            });
        }
        Err(fault) => fault,
    };
    let _not_needed = ctx.report(0.6, "Asking the model once more: its answer did not fit.");
    let again = question(
        "triage.repair",
        prompt::repair(verdict, asked_on, &first.text, &fault),
    );
    let again = match ask(ctx, model, again).await {
        Ok(completion) => completion,
        Err(error) => {
            tell_of_invalid(model, &fault, false);
            return without(&ctx.job, error, decided, now, usage);
        }
    };
    add(&mut usage, &again);
    let repaired = parse_reply(&again.text, &case.mail, &candidates);
    tell_of_invalid(model, &fault, repaired.is_ok());
    let answer = repaired.map_or(Answer::Unusable, Answer::Reply);
    Ok(Judged { answer, usage })
}

/// The class only: the message may quote the mail.
fn tell_of_invalid(model: &Model, fault: &ReplyFault, repaired: bool) {
    model
        .metrics()
        .output_invalid("triage", reason(fault.class), repaired);
    tracing::warn!(
        reason = fault.class.as_str(),
        repaired,
        "the model's answer did not fit"
    );
}

const fn reason(class: FaultClass) -> InvalidReason {
    match class {
        FaultClass::Json => InvalidReason::Json,
        FaultClass::Schema | FaultClass::Length | FaultClass::Ungrounded => InvalidReason::Schema,
        FaultClass::Enum | FaultClass::Rule | FaultClass::Action => InvalidReason::Enum,
    }
}

fn without(
    job: &Job,
    error: AskError,
    decided: bool,
    now: DateTime<Utc>,
    usage: LlmUsage,
) -> Result<Judged, Failure> {
    match error {
        AskError::LeaseLost => Err(Failure::interrupted()),
        AskError::Database(error) => Err(unavailable(&error)),
        AskError::Model(error) => match meaning(&error, job, decided, now) {
            Meaning::GoOn => {
                tracing::warn!(
                    error = chain(&error),
                    class = error.class(),
                    "going on without the model"
                );
                Ok(Judged {
                    answer: Answer::Unusable,
                    usage,
                })
            }
            Meaning::Fail(failure) => Err(failure),
        },
    }
}

/// What a failed call means for the job.
#[derive(Debug)]
enum Meaning {
    /// Decide without the model.
    GoOn,
    Fail(Failure),
}

fn meaning(error: &LlmError, job: &Job, decided: bool, now: DateTime<Utc>) -> Meaning {
    let class = error.class();
    match error {
        LlmError::Cancelled => return Meaning::Fail(Failure::interrupted()),
        // Never covered up: a missing fixture is a mistake of whoever tests.
        LlmError::UnknownFixture { .. } => {
            return Meaning::Fail(Failure::permanent(
                "unknown_fixture",
                "No fixture answers this mail. Add one, or use a real model.",
                chain(error),
            ));
        }
        // The same call would fail the same way, and only because of this mail.
        LlmError::Refused { .. }
        | LlmError::Truncated { .. }
        | LlmError::ContextTooLong { .. }
        | LlmError::ReplyTooLarge { .. }
        | LlmError::InvalidOutput { .. } => return Meaning::GoOn,
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
        return Meaning::GoOn;
    }
    let message = "The language model cannot be reached right now; the job goes on by itself as soon as it can.";
    let told_to_wait = matches!(
        error,
        LlmError::RateLimited { .. } | LlmError::QuotaExhausted { .. }
    );
    match error.retry_at().filter(|_| told_to_wait) {
        Some(until) if now - job.created_at < PATIENCE => Meaning::Fail(Failure::rate_limited(
            until,
            "llm_rate_limited",
            message,
            format!("{class}: {}", chain(error)),
        )),
        Some(_) => Meaning::GoOn,
        None if job.is_last_attempt() => Meaning::GoOn,
        None => Meaning::Fail(Failure::transient(
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

    fn told(error: &LlmError, errors: i32, decided: bool) -> String {
        match meaning(error, &job(errors), decided, DateTime::UNIX_EPOCH) {
            Meaning::GoOn => "go on".into(),
            Meaning::Fail(failure) => match failure.class {
                FailureClass::Transient => format!("retry {}", failure.code),
                FailureClass::RateLimited { .. } => format!("snooze {}", failure.code),
                FailureClass::Permanent => format!("give up {}", failure.code),
                FailureClass::Interrupted | FailureClass::Cancelled => "hand back".into(),
            },
        }
    }

    #[test]
    fn each_failure_of_the_model_has_its_meaning_for_the_job() {
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
            (timeout(), 2, false, "go on"),
            (timeout(), 0, true, "go on"),
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
            (LlmError::Auth { status: 401 }, 2, false, "go on"),
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
                "go on",
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
                "go on",
            ),
            (
                LlmError::Refused {
                    reason: "content_filter",
                },
                0,
                false,
                "go on",
            ),
            (
                LlmError::Truncated {
                    max_output_tokens: 5,
                },
                0,
                false,
                "go on",
            ),
            (
                LlmError::UnknownFixture { task: "triage" },
                0,
                true,
                "give up unknown_fixture",
            ),
            (LlmError::Cancelled, 0, true, "hand back"),
        ] {
            assert_eq!(
                told(&error, errors, decided),
                expected,
                "{error} after {errors} errors, decided: {decided}"
            );
        }
    }

    #[test]
    fn patience_with_a_limited_model_ends() {
        let at = DateTime::UNIX_EPOCH + PATIENCE;
        let limited = LlmError::RateLimited {
            retry_after: Some(RetryAfter {
                delay: Duration::from_secs(1),
                at,
            }),
        };
        assert!(matches!(
            meaning(&limited, &job(0), false, at),
            Meaning::GoOn
        ));
    }
}
