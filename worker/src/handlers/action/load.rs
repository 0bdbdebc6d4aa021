//! What a job wants done: [`Wanted`], whoever asks for it.

use crate::handlers::unavailable;
use base::{JobId, telemetry::chain};
use chrono::{DateTime, Utc};
use jobs::{
    commands::approvals::execute::{BeginError, begin},
    domain::{
        ApprovalId, MessageId,
        action::{ActionType, Params},
        approval::NewApproval,
        gate::Confirmation,
        proposal::Proposal,
        risk::Risk,
    },
    kinds::action::{Args, Work},
    store::{approvals::StoredApproval, proposed_actions},
};
use queue::Failure;
use queue::runtime::handler::JobContext;

/// One action that somebody wants done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) kind: ActionType,
    pub(super) params: Params,
    pub(super) message: Option<MessageId>,
    /// The caller's name for the effect.
    pub(super) external_id: Option<String>,
    /// The agreement to it.
    pub(super) approval: Option<ApprovalId>,
    /// As it was found before; otherwise the gate looks at the mail.
    pub(super) found: Option<Risk>,
}

impl Wanted {
    /// By what was found before, or by the type alone.
    pub(super) fn risk(&self) -> Risk {
        self.found.unwrap_or_else(|| self.kind.spec().risk)
    }

    /// Puts it before a person.
    pub(super) fn approval_of(&self, risk: Risk, now: DateTime<Utc>) -> NewApproval {
        let proposal = Proposal {
            kind: self.kind,
            params: self.params.clone(),
            confirmation: Confirmation::Required,
            confidence: 1.0,
            rationale: None,
        };
        let about = NewApproval::about(&proposal, self.message, "action", risk, now);
        match &self.external_id {
            Some(id) => about.with_external_id(id),
            None => about,
        }
    }
}

pub(super) async fn load(ctx: &JobContext, args: &Args) -> Result<Vec<Wanted>, Failure> {
    match &args.work {
        Work::Approval {
            approval_id,
            version,
        } => {
            let approval = begin(&ctx.pool, &ctx.job, *approval_id, *version)
                .await
                .map_err(not_begun)?;
            of_approval(&approval).map(|wanted| vec![wanted])
        }
        Work::Requested(actions) => Ok(actions
            .iter()
            .map(|action| Wanted {
                kind: action.kind,
                params: action.params.clone(),
                message: action.message_id,
                external_id: action.external_id.clone(),
                approval: None,
                found: None,
            })
            .collect()),
        Work::Triaged { job_id } => of_triage(ctx, *job_id).await,
        Work::Undo { .. } => Ok(Vec::new()),
    }
}

pub(super) fn not_begun(error: BeginError) -> Failure {
    match error {
        BeginError::NotHeld => Failure::interrupted(),
        BeginError::NotFound => Failure::permanent(
            "approval_missing",
            "This approval does not exist any more.",
            "no row in approvals",
        ),
        BeginError::Changed => Failure::permanent(
            "approval_changed",
            "The approval was taken back or changed before anything was done.",
            "the approval does not stand as it was agreed to",
        ),
        BeginError::Database(error) => unavailable(&error),
    }
}

fn of_approval(approval: &StoredApproval) -> Result<Wanted, Failure> {
    let broken = |detail: String| {
        Failure::permanent(
            "approval_unreadable",
            "This approval cannot be read by this version of Postroom.",
            detail,
        )
    };
    let payload = &approval.payload;
    let kind = payload["type"]
        .as_str()
        .and_then(ActionType::parse)
        .ok_or_else(|| broken("unknown type".into()))?;
    let raw = payload["params"]
        .as_object()
        .ok_or_else(|| broken("no parameters".into()))?;
    let params = Params::read(kind, raw)
        .map_err(|faults| broken(format!("{} parameters cannot be used", faults.len())))?;
    Ok(Wanted {
        kind,
        params,
        message: payload["source_ids"]["email_message_id"]
            .as_str()
            .and_then(|id| id.parse().ok()),
        external_id: payload["external_id"].as_str().map(str::to_owned),
        approval: Some(approval.id),
        found: Risk::parse(&approval.risk),
    })
}

/// What the gate let through, as far as this version can do it.
async fn of_triage(ctx: &JobContext, job: JobId) -> Result<Vec<Wanted>, Failure> {
    let mut conn = ctx
        .pool
        .acquire()
        .await
        .map_err(|error| unavailable(&error))?;
    let stored = proposed_actions::of_job(&mut conn, ctx.job.tenant, job)
        .await
        .map_err(|error| unavailable(&error))?;
    let auto = stored.into_iter().filter(|action| action.gate == "auto");
    let read = auto.filter_map(|action| {
        let kind = ActionType::parse(&action.kind)?;
        Some((kind, action))
    });
    read.map(|(kind, action)| {
        let params = serde_json::from_value(action.payload).map_err(|error| {
            Failure::permanent(
                "internal_error",
                "Something went wrong on our side.",
                chain(&error),
            )
        })?;
        Ok(Wanted {
            kind,
            params,
            message: Some(action.message),
            external_id: None,
            approval: None,
            found: Risk::parse(&action.risk),
        })
    })
    .collect()
}
