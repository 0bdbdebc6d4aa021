//! Lets the model write the text: one call, one repair, and what its failure means for the job.

use super::load::Case;
use super::parse_reply::{FaultClass, Reply, ReplyFault, parse_reply};
use super::prompt;
use crate::handlers::{
    ask::{AskError, ModelAccess, Question, add_usage, ask, day_of, forget_answers, usage_of_job},
    model_failure::{Reaction, react},
    unavailable,
};
use crate::prompts::{DRAFT, DRAFT_TASK};
use base::telemetry::chain;
use jobs::{
    domain::{draft::OutgoingMessage, llm::OutagePolicy},
    kinds::{draft::Args, triage::LlmUsage},
};
use llm::{InvalidReason, LlmError, LlmMetrics, Prompt};
use queue::runtime::handler::JobContext;
use queue::{Failure, FailureClass};
use std::time::Duration;
use tokio::time::Instant;

/// Both calls of an attempt together; the job's own timeout must leave room to settle.
const BUDGET: Duration = Duration::from_secs(150);
/// A long email has some thousand tokens; a reasoning model needs more.
const MAX_OUTPUT_TOKENS: u32 = 4_000;
/// The code of a job whose answers are no draft.
const UNUSABLE: &str = "draft_unusable";

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
    access: &ModelAccess,
    case: &Case,
    args: &Args,
    outgoing: &OutgoingMessage,
) -> Result<Composed, Failure> {
    let composed = match answer(ctx, access, case, args, outgoing).await {
        Err(failure) if failure.code == UNUSABLE => {
            return Err(forget(ctx, access).await.err().unwrap_or(failure));
        }
        composed => composed?,
    };
    let usage = usage_of_job(ctx, access, composed.usage)
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(Composed { usage, ..composed })
}

/// Forgets the answers that were no draft.
async fn forget(ctx: &JobContext, access: &ModelAccess) -> Result<(), Failure> {
    match forget_answers(ctx, access).await {
        Ok(()) => Ok(()),
        Err(AskError::Database(error)) => Err(unavailable(&error)),
        Err(_) => Err(Failure::interrupted()),
    }
}

async fn answer(
    ctx: &JobContext,
    access: &ModelAccess,
    case: &Case,
    args: &Args,
    outgoing: &OutgoingMessage,
) -> Result<Composed, Failure> {
    let deadline = Instant::now() + BUDGET;
    let build = |step, prompt: Prompt, same_today| Question {
        task: DRAFT_TASK,
        step,
        prompt,
        schema: DRAFT.schema(),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        same_today,
        urgency: args.urgency,
        falls_back: true,
        deadline,
    };
    let metrics = access.models.metrics();
    let asked_on = ctx.job.created_at;
    let question = || prompt::question(case, args, outgoing, asked_on);
    let same_today = prompt::question(case, args, outgoing, day_of(asked_on)).sha256();
    let mut usage = LlmUsage::default();
    // Progress is optional: a failed report must not stop the job.
    let _not_needed = ctx.report(0.3, "Calling the model.");
    let first = match ask(ctx, access, build("draft", question(), Some(same_today))).await {
        Ok(completion) => completion,
        Err(error) => {
            let unreadable = unless_it_may_come_again(ctx, error).await?;
            let again = ask(ctx, access, build("draft.again", question(), None)).await;
            let again = match again {
                Ok(completion) => completion,
                Err(error) => {
                    unless_it_may_come_again(ctx, error).await?;
                    return Err(unusable(&unreadable));
                }
            };
            add_usage(&mut usage, &again);
            // At most two calls are paid for, so that this one is not repaired.
            return match parse_reply(&again.text, case, args) {
                Ok(reply) => Ok(Composed {
                    reply,
                    model: again.model,
                    usage,
                }),
                Err(fault) => Err(unfit(&fault)),
            };
        }
    };
    add_usage(&mut usage, &first);
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
        prompt::repair(case, args, outgoing, asked_on, &first.text, &fault),
        None,
    );
    let again = match ask(ctx, access, again).await {
        Ok(completion) => completion,
        Err(error) => {
            record_invalid(metrics, &fault, false);
            unless_it_may_come_again(ctx, error).await?;
            return Err(unfit(&fault));
        }
    };
    add_usage(&mut usage, &again);
    let repaired = parse_reply(&again.text, case, args);
    record_invalid(metrics, &fault, repaired.is_ok());
    match repaired {
        Ok(reply) => Ok(Composed {
            reply,
            model: again.model,
            usage,
        }),
        Err(fault) => Err(unfit(&fault)),
    }
}

/// Returns the error of an answer that cannot be read, if one more may be asked for.
///
/// # Errors
/// The failure of the attempt: there is no draft without a model.
async fn unless_it_may_come_again(ctx: &JobContext, error: AskError) -> Result<LlmError, Failure> {
    match react(ctx, error, OutagePolicy::draft).await {
        Reaction::Fail(failure) => Err(failure),
        Reaction::AskAgain(error) => Ok(error),
        Reaction::Unanswerable(error) => Err(unusable(&error)),
        Reaction::WaitedEnough(failure) => Err(Failure {
            class: FailureClass::Permanent,
            message: "The language model was unavailable for too long. Write the email yourself, or retry the job."
                .into(),
            ..failure
        }),
    }
}

fn unfit(fault: &ReplyFault) -> Failure {
    Failure::permanent(
        UNUSABLE,
        "The model's text is unfit to be sent. Say in `instructions` what the email should say, or write it yourself.",
        format!("the repaired answer is {}", fault.class.as_str()),
    )
}

fn unusable(error: &LlmError) -> Failure {
    let detail = format!("{}: {}", error.class(), chain(error));
    if matches!(error, LlmError::Refused { .. }) {
        return Failure::permanent(
            "llm_refused",
            "The language model refused to write this email. Write it yourself.",
            detail,
        );
    }
    Failure::permanent(
        UNUSABLE,
        "The language model could not write this email. Ask for a shorter one, or write it yourself.",
        detail,
    )
}

/// Counts and logs an invalid answer: its class only, because the message may quote the email.
fn record_invalid(metrics: &LlmMetrics, fault: &ReplyFault, repaired: bool) {
    let reason = match fault.class {
        FaultClass::Json => InvalidReason::Json,
        FaultClass::Schema | FaultClass::Text(_) => InvalidReason::Schema,
    };
    metrics.output_invalid(DRAFT_TASK, reason, repaired);
    tracing::warn!(
        reason = fault.class.as_str(),
        repaired,
        "the model's answer was invalid"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_and_unusable_answer_have_codes_of_their_own() {
        let refused = unusable(&LlmError::Refused {
            reason: "content_filter",
        });
        let cut_off = unusable(&LlmError::Truncated {
            max_output_tokens: 9,
        });
        assert_eq!(
            (refused.code, refused.class),
            ("llm_refused", FailureClass::Permanent)
        );
        assert_eq!(
            (cut_off.code, cut_off.class),
            ("draft_unusable", FailureClass::Permanent)
        );
    }
}
