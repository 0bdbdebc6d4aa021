//! `action.execute`: actions, one after another, each done once.
//!
//! [`load`] finds out what is wanted and by whom, the gate decides what may run ([`gate`]), [`carry_out`] has it done by way
//! of the ledger, and what the settling transaction must hold (approvals that are needed, the end of the one that was
//! carried out) is in [`writes`]. A job that comes back after a crash finds what it did in the ledger and goes on.

mod carry_out;
mod gate;
mod halt;
mod load;
mod metrics;
mod remote;
mod undo;
mod writes;

pub use metrics::ActionMetrics;

use crate::providers::Providers;
use async_trait::async_trait;
use carry_out::carry_out;
use gate::{Gated, gated};
use jobs::{
    commands::approvals::execute::Ending,
    domain::{ApprovalId, approval::NewApproval, gate::Gate},
    kinds::action::{
        ActionError, ActionExecute, ActionOutcome, ActionResult, Args, OnError, Output, Work,
    },
};
use load::{Wanted, load};
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use writes::ActionWrites;

/// Has actions done.
pub struct ActionHandler {
    providers: Providers,
    metrics: ActionMetrics,
}

impl ActionHandler {
    pub fn new(providers: Providers, metrics: ActionMetrics) -> Self {
        Self { providers, metrics }
    }
}

#[async_trait]
impl Handler for ActionHandler {
    type Kind = ActionExecute;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        if let Work::Undo { approval_id } = args.work {
            let (actions, ending) = undo::undo(ctx, &self.providers, approval_id).await?;
            let approval = Some((approval_id, ending));
            return self.settlement(&args, actions, Vec::new(), approval);
        }
        let wanted = load(ctx, &args).await?;
        let approval = match args.work {
            Work::Approval { approval_id, .. } => Some(approval_id),
            Work::Requested(_) | Work::Triaged { .. } | Work::Undo { .. } => None,
        };
        let (mut outcomes, mut approvals) = (Vec::with_capacity(wanted.len()), Vec::new());
        let mut stopped = false;
        for (index, action) in wanted.iter().enumerate() {
            if ctx.cancelled.is_cancelled() {
                // What was done is in the ledger; what comes back goes on after it.
                return Err(Failure::cancelled());
            }
            let outcome = if stopped {
                not_run(action)
            } else {
                let (outcome, asked) = self.one(ctx, &args, action).await?;
                approvals.extend(asked);
                outcome
            };
            stopped |= args.on_error == OnError::Stop && outcome.result == ActionResult::Failed;
            outcomes.push(ActionOutcome { index, ..outcome });
        }
        let approval = approval.map(|id| (id, ending(&outcomes)));
        self.settlement(&args, outcomes, approvals, approval)
    }
}

impl ActionHandler {
    /// What becomes of one action, with the approval that it needs.
    async fn one(
        &self,
        ctx: &JobContext,
        args: &Args,
        action: &Wanted,
    ) -> Result<(ActionOutcome, Option<NewApproval>), Failure> {
        let Gated { risk, gate } = gated(ctx, args, action).await?;
        let base = ActionOutcome {
            risk,
            gate,
            ..not_run(action)
        };
        Ok(match gate {
            Gate::Denied => (
                ActionOutcome {
                    result: ActionResult::Denied,
                    error: Some(ActionError {
                        code: "gate_denied".into(),
                        message: "A machine wrote this mail: answering it would make a loop."
                            .into(),
                    }),
                    ..base
                },
                None,
            ),
            Gate::Approval if action.approval.is_none() && !args.dry_run => {
                let approval = action.approval_of(risk, ctx.clock.now());
                let outcome = ActionOutcome {
                    result: ActionResult::PendingApproval,
                    approval_id: Some(approval.id),
                    ..base
                };
                (outcome, Some(approval))
            }
            Gate::Approval | Gate::Auto => (
                carry_out(ctx, &self.providers, args, action, base).await?,
                None,
            ),
        })
    }

    fn settlement(
        &self,
        args: &Args,
        actions: Vec<ActionOutcome>,
        approvals: Vec<NewApproval>,
        approval: Option<(ApprovalId, Ending)>,
    ) -> Result<Settlement, Failure> {
        let output = Output {
            dry_run: args.dry_run,
            approval_id: approval.as_ref().map(|(id, _)| *id),
            actions,
        };
        let value = serde_json::to_value(&output).map_err(|error| {
            Failure::permanent(
                "internal_error",
                "Something went wrong on our side.",
                error.to_string(),
            )
        })?;
        Ok(Settlement::of(value).with(ActionWrites {
            output,
            approvals,
            approval,
            metrics: self.metrics.clone(),
        }))
    }
}

fn not_run(action: &Wanted) -> ActionOutcome {
    ActionOutcome {
        index: 0,
        r#type: action.kind,
        risk: action.risk(),
        gate: Gate::Auto,
        result: ActionResult::NotRun,
        effect_id: None,
        approval_id: action.approval,
        receipt: None,
        error: None,
    }
}

/// What the approval's person is told. What was done before, by whomever, is done.
fn ending(outcomes: &[ActionOutcome]) -> Ending {
    let bad = outcomes.iter().find(|outcome| {
        !matches!(
            outcome.result,
            ActionResult::Succeeded | ActionResult::SkippedDuplicate
        )
    });
    let Some(bad) = bad else {
        return Ending::Executed;
    };
    let (code, message) = match &bad.error {
        Some(error) => (error.code.clone(), error.message.clone()),
        None => (
            bad.result.to_string(),
            "See the job's output for what became of it.".into(),
        ),
    };
    match bad.result {
        ActionResult::Unknown | ActionResult::InProgress => Ending::Unclear(code, message),
        _ => Ending::Failed(code, message),
    }
}
