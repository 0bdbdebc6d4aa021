//! Has a model write the text: one question, one repair, and a decision on what its failure means for the job.

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

/// The label of all calls of this kind of job.
const TASK: &str = "draft";
/// Both calls of an attempt together; the job's own timeout must leave room to settle.
const BUDGET: Duration = Duration::from_secs(150);
/// A long letter has some thousand tokens; a model that thinks aloud needs more.
const MAX_OUTPUT_TOKENS: u32 = 4_000;
/// Who waits for a draft has written the mail themselves by then.
const PATIENCE: TimeDelta = TimeDelta::hours(24);

/// What came of it, and what it cost.
pub(super) struct Composed {
    pub(super) reply: Reply,
    /// The model that answered.
    pub(super) model: String,
    pub(super) usage: LlmUsage,
}

/// # Errors
/// When the model cannot be reached, or what it writes is not fit to be sent.
pub(super) async fn compose(
    ctx: &JobContext,
    model: &Model,
    case: &Case,
    args: &Args,
    letter: &OutgoingMessage,
) -> Result<Composed, Failure> {
    let deadline = Instant::now() + BUDGET;
    let question = |step, prompt: Prompt| Question {
        label: TASK,
        step,
        prompt,
        schema: DRAFT.schema(),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        deadline,
    };
    let asked_on = ctx.job.created_at;
    let mut usage = LlmUsage::default();
    // A report that is not taken is no reason to stop.
    let _not_needed = ctx.report(0.3, "Asking the model.");
    let first = question("draft", prompt::question(case, args, letter, asked_on));
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
    let _not_needed = ctx.report(0.6, "Asking the model once more: its answer did not fit.");
    let again = question(
        "draft.repair",
        prompt::repair(case, args, letter, asked_on, &first.text, &fault),
    );
    let again = match ask(ctx, model, again).await {
        Ok(completion) => completion,
        Err(error) => {
            tell_of_invalid(model, &fault, false);
            return Err(failure(ctx, error));
        }
    };
    add(&mut usage, &again);
    let repaired = parse_reply(&again.text, case, args);
    tell_of_invalid(model, &fault, repaired.is_ok());
    match repaired {
        Ok(reply) => Ok(Composed {
            reply,
            model: again.model,
            usage,
        }),
        Err(fault) => Err(Failure::permanent(
            "draft_unusable",
            "What the model wrote is not fit to be sent. Say in `instructions` what the mail should say, or write it yourself.",
            format!("the repaired answer is {}", fault.class.as_str()),
        )),
    }
}

/// The class only: the message may quote the mail.
fn tell_of_invalid(model: &Model, fault: &ReplyFault, repaired: bool) {
    let reason = match fault.class {
        FaultClass::Json => InvalidReason::Json,
        FaultClass::Schema | FaultClass::Text(_) => InvalidReason::Schema,
    };
    model.metrics().output_invalid(TASK, reason, repaired);
    tracing::warn!(
        reason = fault.class.as_str(),
        repaired,
        "the model's answer did not fit"
    );
}

fn failure(ctx: &JobContext, error: AskError) -> Failure {
    match error {
        AskError::LeaseLost => Failure::interrupted(),
        AskError::Database(error) => unavailable(&error),
        AskError::Model(error) => {
            let may_wait = ctx.clock.now() - ctx.job.created_at < PATIENCE;
            meaning(&error, may_wait)
        }
    }
}

/// What a failed call means for the job. There is no draft without a model.
fn meaning(error: &LlmError, may_wait: bool) -> Failure {
    let class = error.class();
    match error {
        LlmError::Cancelled => Failure::interrupted(),
        // Never covered up: a missing fixture is a mistake of whoever tests.
        LlmError::UnknownFixture { .. } => Failure::permanent(
            "unknown_fixture",
            "No fixture answers this mail. Add one, or use a real model.",
            chain(error),
        ),
        LlmError::Refused { .. } => Failure::permanent(
            "llm_refused",
            "The language model declines to write this mail. Write it yourself.",
            chain(error),
        ),
        // The same call would fail the same way, and only because of this mail.
        LlmError::Truncated { .. }
        | LlmError::ContextTooLong { .. }
        | LlmError::ReplyTooLarge { .. }
        | LlmError::InvalidOutput { .. } => Failure::permanent(
            "draft_unusable",
            "The language model cannot write this mail. Ask for a shorter one, or write it yourself.",
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
    "The language model cannot be reached right now; the job goes on by itself as soon as it can.";

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
    fn each_failure_of_the_model_has_its_meaning_for_the_job() {
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
            let failure = meaning(&error, may_wait);
            assert_eq!((failure.code, failure.class), (code, class), "{error}");
        }
    }
}
