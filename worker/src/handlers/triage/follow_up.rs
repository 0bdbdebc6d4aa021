//! The job that does what the gate let through: enqueued in the transaction that settles the triage, so that there is one
//! for a triage that is kept and none for one that is not.

use super::plan::Plan;
use crate::handler::JobContext;
use jobs::{
    domain::gate::Gate,
    kinds::{
        action::{self, ActionExecute, OnError, Work},
        triage::Args,
    },
    queue::{ExternalId, Failure, NewJob},
};
use sha2::{Digest, Sha256};

pub(super) fn of_plan(ctx: &JobContext, args: &Args, plan: &Plan) -> Result<Vec<NewJob>, Failure> {
    let any = plan
        .actions
        .iter()
        .any(|action| action.gate == Gate::Auto && action.proposal.kind.is_executable());
    if args.dry_run || !any {
        return Ok(Vec::new());
    }
    let job_id = ctx.job.lease.job;
    let args = action::Args {
        work: Work::Triaged { job_id },
        on_error: OnError::Continue,
        dry_run: false,
        trust: None,
        user: None,
    };
    let new = NewJob::of::<ActionExecute>(ctx.job.tenant, &args).map_err(|error| {
        Failure::permanent(
            "internal_error",
            "Something went wrong on our side.",
            error.to_string(),
        )
    })?;
    let name = format!("{job_id}:auto");
    Ok(vec![NewJob {
        external: Some(ExternalId {
            fingerprint: Sha256::digest(&name).into(),
            id: name,
        }),
        ..new
    }])
}
