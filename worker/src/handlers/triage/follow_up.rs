//! The follow-up jobs of a triage: one executes the actions that the gate let through, one drafts the reply, and one compares
//! the judgement with that of another model.
//!
//! They are enqueued in the transaction that settles the triage, so that both commit or neither does.

use super::plan::{Plan, drafts_reply};
use crate::handlers::internal;
use chrono::TimeDelta;
use jobs::{
    domain::gate::Gate,
    kinds::{
        action::{self, ActionExecute, OnError, Work},
        draft::{self, DraftGenerate},
        triage::{Args, Triage},
        triage_shadow::{self, ComparedJudgement, TriageShadow},
    },
};
use queue::runtime::handler::JobContext;
use queue::{ExternalId, Failure, NewJob};
use sha2::{Digest, Sha256};

/// Builds the follow-up jobs.
///
/// # Errors
/// If the arguments cannot be encoded.
pub(super) fn of_plan(ctx: &JobContext, args: &Args, plan: &Plan) -> Result<Vec<NewJob>, Failure> {
    if args.dry_run {
        return Ok(Vec::new());
    }
    let mut jobs = Vec::new();
    let any = plan.actions.iter().any(|action| action.gate == Gate::Auto);
    let job_id = ctx.job.lease.job;
    if any {
        let actions = action::Args {
            work: Work::Triaged { job_id },
            on_error: OnError::Continue,
            dry_run: false,
            trust: None,
            user: None,
            api_key: args.api_key,
        };
        let new = NewJob::of::<ActionExecute>(ctx.job.lease.tenant, &actions);
        jobs.push(after(ctx, named(new, format!("{job_id}:auto"))?));
    }
    if drafts_reply(&plan.judgement) {
        let reply = draft::Args {
            suggestion: suggestion(plan),
            api_key: args.api_key,
            urgency: args.urgency,
            ..draft::Args::reply(args.message_id)
        };
        let new = NewJob::of::<DraftGenerate>(ctx.job.lease.tenant, &reply);
        jobs.push(after(ctx, named(new, draft::reply_name(args.message_id))?));
    }
    Ok(jobs)
}

/// A job with the priority of this one: what follows from a backfill goes behind new email, too.
fn after(ctx: &JobContext, new: NewJob) -> NewJob {
    NewJob {
        priority: ctx.job.priority,
        ..new
    }
}

/// How long after the fallback the email is judged again at the earliest. Until the model is back, that job waits too.
const JUDGE_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// Builds the job that judges the email again when the model is back.
///
/// # Errors
/// If the arguments cannot be encoded.
pub(super) fn judge_again(ctx: &JobContext, args: &Args) -> Result<NewJob, Failure> {
    let job_id = ctx.job.lease.job;
    let new = named(
        NewJob::of::<Triage>(ctx.job.lease.tenant, args),
        format!("{job_id}:outage"),
    )?;
    Ok(NewJob {
        run_at: Some(ctx.clock.now() + JUDGE_AGAIN),
        priority: ctx.job.priority,
        ..new
    })
}

/// The priority of a comparison: it runs when nothing else waits.
const COMPARE_PRIORITY: i16 = 4;

/// Builds the job that compares the judgement with that of a second model.
///
/// # Errors
/// If the arguments cannot be encoded.
pub(super) fn compare(ctx: &JobContext, args: &Args, plan: &Plan) -> Result<NewJob, Failure> {
    let job = ctx.job.lease.job;
    let actions = plan.actions.iter().map(|action| action.proposal.kind);
    let shadow = triage_shadow::Args {
        job,
        message_id: args.message_id,
        mode: args.mode,
        ruleset_version: args.ruleset_version,
        asked_on: ctx.job.created_at,
        first: ComparedJudgement::of(&plan.judgement, actions),
        api_key: args.api_key,
    };
    let new = NewJob::of::<TriageShadow>(ctx.job.lease.tenant, &shadow);
    Ok(NewJob {
        priority: COMPARE_PRIORITY,
        ..named(new, format!("{job}:shadow"))?
    })
}

/// Returns the reply instructions that a rule or the model proposed.
fn suggestion(plan: &Plan) -> Option<String> {
    plan.actions
        .iter()
        .filter(|action| action.proposal.kind.spec().reaches_sender)
        .find_map(|action| action.proposal.params.get("instructions"))
        .map(str::to_owned)
}

fn named(new: Result<NewJob, serde_json::Error>, name: String) -> Result<NewJob, Failure> {
    let new = new.map_err(|error| internal(&error))?;
    Ok(NewJob {
        external: Some(ExternalId {
            fingerprint: Sha256::digest(&name).into(),
            id: name,
        }),
        ..new
    })
}
