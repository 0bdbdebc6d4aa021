//! Calls the model about an email: one call, one repair, and what its failure means for the job.

use super::load::Case;
use super::merge::ModelAnswer;
use super::parse_reply::{FaultClass, ReplyFault, parse_repaired, parse_reply};
use super::prompt;
use crate::handlers::{
    ask::{AskError, ModelAccess, Question, add_usage, ask, day_of, usage_of_job},
    model_failure::{Reaction, effects::BATCH_CODE, react},
    unavailable,
};
use crate::prompts::{TRIAGE_TASK, triage_schema};
use base::telemetry::chain;
use chrono::TimeDelta;
use jobs::{
    domain::{
        llm::{OutagePolicy, urgency::Urgency},
        rules::Verdict,
    },
    kinds::triage::LlmUsage,
};
use llm::{Completion, InvalidReason, LlmMetrics, Prompt};
use queue::runtime::handler::JobContext;
use queue::{Failure, FailureClass};
use std::time::Duration;
use tokio::time::Instant;

/// Both calls of an attempt together; the job's own timeout must leave room to settle.
pub(super) const BUDGET: Duration = Duration::from_secs(150);
/// An answer has a few hundred tokens; a reasoning model needs more.
pub(super) const MAX_OUTPUT_TOKENS: u32 = 2_000;
/// How long a job waits that replaces a fallback: a person has the email already, and nobody waits for this job.
const JUDGE_AGAIN_WAIT: TimeDelta = TimeDelta::days(30);

/// The answer and its cost.
pub(super) struct Judged {
    pub(super) answer: ModelAnswer,
    pub(super) usage: LlmUsage,
}

/// Calls the model for what `verdict` leaves open.
///
/// # Errors
/// If the model is unavailable and no rule has decided; the job waits.
pub(super) async fn judge(
    ctx: &JobContext,
    access: &ModelAccess,
    case: &Case,
    verdict: &Verdict<'_>,
    urgency: Urgency,
) -> Result<Judged, Failure> {
    let mut usage = LlmUsage::default();
    let answer = answer(ctx, access, case, verdict, urgency, &mut usage).await?;
    let usage = usage_of_job(ctx, access, usage)
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(Judged { answer, usage })
}

async fn answer(
    ctx: &JobContext,
    access: &ModelAccess,
    case: &Case,
    verdict: &Verdict<'_>,
    urgency: Urgency,
    usage: &mut LlmUsage,
) -> Result<ModelAnswer, Failure> {
    let asked_on = ctx.job.created_at;
    let deadline = Instant::now() + BUDGET;
    let candidates: Vec<&str> = verdict
        .candidates
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    let build = |step, prompt: Prompt, same_today| Question {
        task: TRIAGE_TASK,
        step,
        prompt,
        schema: triage_schema(&candidates),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        same_today,
        urgency,
        falls_back: true,
        deadline,
    };
    let metrics = access.models.metrics();
    let decided = !verdict.hits.is_empty();

    // Progress is optional: a failed report must not stop the job.
    let _not_needed = ctx.report(0.3, "Calling the model.");
    let same_today = prompt::question(case, verdict, day_of(asked_on)).sha256();
    let question = prompt::question(case, verdict, asked_on);
    let first = build("triage", question, Some(same_today));
    let first = match ask(ctx, access, first).await {
        Ok(completion) => completion,
        Err(error) => match without_answer(ctx, case, error, decided).await? {
            NoAnswer::Is(answer) => return Ok(answer),
            NoAnswer::MayComeAgain => {
                let again = build(
                    "triage.again",
                    prompt::question(case, verdict, asked_on),
                    None,
                );
                return match ask(ctx, access, again).await {
                    Ok(completion) => {
                        add_usage(usage, &completion);
                        let parsed = parse_reply(&completion.text, &case.mail, &candidates);
                        Ok(parsed.map_or(ModelAnswer::Unusable, ModelAnswer::Reply))
                    }
                    Err(error) => Ok(without_answer(ctx, case, error, decided)
                        .await?
                        .or_unusable()),
                };
            }
        },
    };
    add_usage(usage, &first);
    let fault = match parse_reply(&first.text, &case.mail, &candidates) {
        Ok(reply) => return Ok(ModelAnswer::Reply(reply)),
        Err(fault) => fault,
    };
    let _not_needed = ctx.report(0.6, "Calling the model again: its answer was invalid.");
    let again = build(
        "triage.repair",
        prompt::repair(case, verdict, asked_on, &first.text, &fault),
        None,
    );
    let again: Completion = match ask(ctx, access, again).await {
        Ok(completion) => completion,
        Err(error) => {
            record_invalid(metrics, &fault, false);
            let answer = without_answer(ctx, case, error, decided).await?;
            return Ok(answer.or_unusable());
        }
    };
    add_usage(usage, &again);
    let repaired = parse_repaired(&again.text, &case.mail, &candidates);
    record_invalid(metrics, &fault, repaired.is_ok());
    Ok(repaired.map_or(ModelAnswer::Unusable, ModelAnswer::Reply))
}

/// Counts and logs an invalid answer: its class only, because the message may quote the email.
fn record_invalid(metrics: &LlmMetrics, fault: &ReplyFault, repaired: bool) {
    metrics.output_invalid(TRIAGE_TASK, reason(fault.class), repaired);
    tracing::warn!(
        reason = fault.class.as_str(),
        repaired,
        "the model's answer was invalid"
    );
}

pub(super) const fn reason(class: FaultClass) -> InvalidReason {
    match class {
        FaultClass::Json => InvalidReason::Json,
        FaultClass::Schema | FaultClass::Ungrounded => InvalidReason::Schema,
        FaultClass::Enum | FaultClass::Rule => InvalidReason::Enum,
    }
}

/// What follows when a call has no answer.
enum NoAnswer {
    Is(ModelAnswer),
    /// One more call may have one.
    MayComeAgain,
}

impl NoAnswer {
    /// At most two calls are paid for.
    fn or_unusable(self) -> ModelAnswer {
        match self {
            Self::Is(answer) => answer,
            Self::MayComeAgain => ModelAnswer::Unusable,
        }
    }
}

async fn without_answer(
    ctx: &JobContext,
    case: &Case,
    error: AskError,
    decided: bool,
) -> Result<NoAnswer, Failure> {
    let replaces_fallback = !case.outage_jobs.is_empty();
    let wait = |policy: &OutagePolicy| {
        if replaces_fallback {
            JUDGE_AGAIN_WAIT
        } else {
            policy.triage()
        }
    };
    match react(ctx, error, wait).await {
        // Rules decide now; only the question beside them stays open.
        Reaction::Fail(failure) if decided && is_wait(&failure) => {
            tracing::warn!(
                error_code = failure.code,
                detail = failure.detail,
                "deciding by rules, without the model"
            );
            Ok(NoAnswer::Is(ModelAnswer::Unusable))
        }
        Reaction::Fail(failure) => Err(failure),
        Reaction::AskAgain(error) => {
            tracing::warn!(error = chain(&error), "the model's answer cannot be read");
            Ok(NoAnswer::MayComeAgain)
        }
        Reaction::Unanswerable(error) => {
            tracing::warn!(
                error = chain(&error),
                class = error.class(),
                "deciding without the model"
            );
            Ok(NoAnswer::Is(ModelAnswer::Unusable))
        }
        // The fallback has decided already, and this job was to replace it.
        Reaction::WaitedEnough(failure) if replaces_fallback => Err(Failure {
            class: FailureClass::Permanent,
            ..failure
        }),
        Reaction::WaitedEnough(failure) => {
            tracing::warn!(
                error_code = failure.code,
                detail = failure.detail,
                "the model was unavailable for too long: the email is left to a person"
            );
            Ok(NoAnswer::Is(if decided {
                ModelAnswer::Unusable
            } else {
                ModelAnswer::Outage
            }))
        }
    }
}

fn is_wait(failure: &Failure) -> bool {
    // A batch will answer, and is paid for in any case.
    matches!(failure.class, FailureClass::RateLimited { .. }) && failure.code != BATCH_CODE
}
