//! Lets the model write the text: one call, one repair, and what its failure means for the job.

use super::load::Case;
use super::parse_reply::{FaultClass, Reply, ReplyFault, parse_reply};
use super::prompt;
use crate::handlers::{
    ask::{AskError, Question, ask},
    unavailable,
};
use crate::prompts::DRAFT;
use base::telemetry::{chain, millis};
use chrono::TimeDelta;
use jobs::{
    domain::draft::OutgoingMessage,
    kinds::{draft::Args, triage::LlmUsage},
};
use llm::{Completion, InvalidReason, LlmError, Model, Prompt};
use queue::Failure;
use queue::runtime::handler::JobContext;
use std::time::Duration;
use tokio::time::Instant;

/// The task of all calls of this job kind.
const TASK: &str = "draft";
/// Both calls of an attempt together; the job's own timeout must leave room to settle.
const BUDGET: Duration = Duration::from_secs(150);
/// A long email has some thousand tokens; a reasoning model needs more.
const MAX_OUTPUT_TOKENS: u32 = 4_000;
/// How long a job waits for a rate-limited model. By then, the user has written the email.
const TIMEOUT: TimeDelta = TimeDelta::hours(24);

/// The text and its cost.
pub(super) struct Composed {
    pub(super) reply: Reply,
    /// The model that answered.
    pub(super) model: String,
    pub(super) usage: LlmUsage,
}

/// Calls the model for the text.
///
/// # Errors
/// If the model is unavailable, or its text is unfit to be sent.
pub(super) async fn compose(
    ctx: &JobContext,
    model: &Model,
    case: &Case,
    args: &Args,
    letter: &OutgoingMessage,
) -> Result<Composed, Failure> {
    let deadline = Instant::now() + BUDGET;
    let build = |step, prompt: Prompt| Question {
        task: TASK,
        step,
        prompt,
        schema: DRAFT.schema(),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        deadline,
    };
    let asked_on = ctx.job.created_at;
    let mut usage = LlmUsage::default();
    // Progress is optional: a failed report must not stop the job.
    let _not_needed = ctx.report(0.3, "Calling the model.");
    let first = build("draft", prompt::question(case, args, letter, asked_on));
    let first = ask(ctx, model, first)
        .await
        .map_err(|error| failure(ctx, error))?;
    add(&mut usage, &first);
    let fault = match parse_reply(&first.text, case, args) {
        Ok(reply) => {
            return Ok(Composed {
                reply,
                model: first.model,
                usage,
            });
        }
        Err(fault) => fault,
    };
    let _not_needed = ctx.report(0.6, "Calling the model again: its answer was invalid.");
    let again = build(
        "draft.repair",
        prompt::repair(case, args, letter, asked_on, &first.text, &fault),
    );
    let again = match ask(ctx, model, again).await {
        Ok(completion) => completion,
        Err(error) => {
            record_invalid(model, &fault, false);
            return Err(failure(ctx, error));
        }
    };
    add(&mut usage, &again);
    let repaired = parse_reply(&again.text, case, args);
    record_invalid(model, &fault, repaired.is_ok());
    match repaired {
        Ok(reply) => Ok(Composed {
            reply,
            model: again.model,
            usage,
        }),
        Err(fault) => Err(Failure::permanent(
            "draft_unusable",
            "The model's text is unfit to be sent. Say in `instructions` what the email should say, or write it yourself.",
            format!("the repaired answer is {}", fault.class.as_str()),
        )),
    }
}

/// Counts and logs an invalid answer: its class only, because the message may quote the email.
fn record_invalid(model: &Model, fault: &ReplyFault, repaired: bool) {
    let reason = match fault.class {
        FaultClass::Json => InvalidReason::Json,
        FaultClass::Schema | FaultClass::Text(_) => InvalidReason::Schema,
    };
    model.metrics().output_invalid(TASK, reason, repaired);
    tracing::warn!(
        reason = fault.class.as_str(),
        repaired,
        "the model's answer was invalid"
    );
}

fn failure(ctx: &JobContext, error: AskError) -> Failure {
    match error {
        AskError::LeaseLost => Failure::interrupted(),
        AskError::Database(error) => unavailable(&error),
        AskError::Model(error) => {
            let may_wait = ctx.clock.now() - ctx.job.created_at < TIMEOUT;
            failure_of(&error, may_wait)
        }
    }
}

/// Converts a failed call into a failure of the job: there is no draft without a model.
fn failure_of(error: &LlmError, may_wait: bool) -> Failure {
    let class = error.class();
    match error {
        LlmError::Cancelled => Failure::interrupted(),
        // Permanent, so that a missing fixture is noticed.
        LlmError::UnknownFixture { .. } => Failure::permanent(
            "unknown_fixture",
            "No fixture matches this email. Add one, or use a real model.",
            chain(error),
        ),
        LlmError::Refused { .. } => Failure::permanent(
            "llm_refused",
            "The language model refused to write this email. Write it yourself.",
            chain(error),
        ),
        // A retry would fail in the same way.
        LlmError::Truncated { .. }
        | LlmError::ContextTooLong { .. }
        | LlmError::ReplyTooLarge { .. }
        | LlmError::InvalidOutput { .. } => Failure::permanent(
            "draft_unusable",
            "The language model could not write this email. Ask for a shorter one, or write it yourself.",
            format!("{class}: {}", chain(error)),
        ),
        LlmError::RateLimited { .. } | LlmError::QuotaExhausted { .. } => {
            match error.retry_at().filter(|_| may_wait) {
                Some(until) => Failure::rate_limited(
                    until,
                    "llm_rate_limited",
                    UNREACHABLE,
                    format!("{class}: {}", chain(error)),
                ),
                None => unreachable_model(error),
            }
        }
        LlmError::Transient { .. }
        | LlmError::Auth { .. }
        | LlmError::BadRequest { .. }
        | LlmError::DoNotRetry { .. }
        | LlmError::InvalidReply { .. }
        | LlmError::Timeout { .. }
        | LlmError::Connect { .. } => unreachable_model(error),
    }
}

const UNREACHABLE: &str =
    "The language model is unavailable at the moment; the job continues automatically.";

fn unreachable_model(error: &LlmError) -> Failure {
    Failure::transient(
        "llm_unavailable",
        UNREACHABLE,
        format!("{}: {}", error.class(), chain(error)),
    )
}

fn add(usage: &mut LlmUsage, completion: &Completion) {
    usage.calls += 1;
    usage.tokens += completion.usage.total();
    usage.ms += millis(completion.duration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use llm::error::RetryAfter;
    use queue::FailureClass;

    #[test]
    fn each_model_error_has_its_job_failure() {
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(30);
        let limited = || LlmError::RateLimited {
            retry_after: Some(RetryAfter {
                delay: Duration::from_secs(30),
                at,
            }),
        };
        let refused = LlmError::Refused {
            reason: "content_filter",
        };
        let down = LlmError::Auth { status: 401 };
        for (error, may_wait, code, class) in [
            (
                limited(),
                true,
                "llm_rate_limited",
                FailureClass::RateLimited { until: at },
            ),
            (limited(), false, "llm_unavailable", FailureClass::Transient),
            (refused, true, "llm_refused", FailureClass::Permanent),
            (down, true, "llm_unavailable", FailureClass::Transient),
            (
                LlmError::Cancelled,
                true,
                "interrupted",
                FailureClass::Interrupted,
            ),
        ] {
            let failure = failure_of(&error, may_wait);
            assert_eq!((failure.code, failure.class), (code, class), "{error}");
        }
    }
}
