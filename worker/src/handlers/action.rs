//! `action.execute`: executes actions one after another, each once.
//!
//! [`load`] reads the actions, [`gate`] decides which may run, [`execute`] executes them through the ledger, and [`writes`]
//! holds the writes of the settling transaction. After a crash, the job finds its effects in the ledger and continues.

mod execute;
mod gate;
mod load;
mod metrics;
mod outcomes;
pub(super) mod provider_error;
mod remote;
mod repeat;
mod undo;
mod writes;

pub use metrics::ActionMetrics;

use crate::effects::precheck;
use crate::handlers::internal;
use crate::providers::Providers;
use async_trait::async_trait;
use execute::execute;
use gate::{GateDecision, decide_gate};
use jobs::{
    commands::approvals::execute::ExecutionEnd,
    domain::{ApprovalId, approval::NewApproval, gate::Gate},
    kinds::action::{
        ActionError, ActionExecute, ActionOutcome, ActionResult, Args, OnError, Output, Work,
    },
};
use load::{RequestedAction, load};
use outcomes::refused;
use queue::Failure;
use queue::runtime::handler::{Handler, JobContext, Settlement};
use writes::ActionWrites;

/// Executes actions.
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
        let requested = load(ctx, &args).await?;
        let approval = match args.work {
            Work::Approval { approval_id, .. } => Some(approval_id),
            Work::Requested(_) | Work::Triaged { .. } | Work::Digest { .. } | Work::Undo { .. } => {
                None
            }
        };
        let (mut outcomes, mut approvals) = (Vec::with_capacity(requested.len()), Vec::new());
        let mut stopped = false;
        for (index, action) in requested.iter().enumerate() {
            if ctx.cancelled.is_cancelled() {
                // The ledger has what was done; the next attempt continues after it.
                return Err(Failure::cancelled());
            }
            let outcome = if stopped {
                not_run(action)
            } else {
                let (outcome, approval) = self.execute_one(ctx, &args, action).await?;
                approvals.extend(approval);
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
    /// Executes one action, or returns the approval that it needs.
    async fn execute_one(
        &self,
        ctx: &JobContext,
        args: &Args,
        action: &RequestedAction,
    ) -> Result<(ActionOutcome, Option<NewApproval>), Failure> {
        let GateDecision { risk, gate } = decide_gate(ctx, args, action).await?;
        let base = ActionOutcome {
            risk,
            gate,
            ..not_run(action)
        };
        let fault = precheck(action.kind.executor(&action.params), &action.params);
        if let (Some((code, message)), false) = (fault, gate == Gate::Denied) {
            return Ok((refused(base, None, code, message), None));
        }
        Ok(match gate {
            Gate::Denied => (
                ActionOutcome {
                    result: ActionResult::Denied,
                    error: Some(ActionError {
                        code: "gate_denied".into(),
                        message:
                            "This email was sent automatically; answering it could cause a loop."
                                .into(),
                    }),
                    ..base
                },
                None,
            ),
            Gate::Approval if action.approval.is_none() && !args.dry_run => {
                let approval = action.to_approval(risk, ctx.clock.now());
                let outcome = ActionOutcome {
                    result: ActionResult::PendingApproval,
                    approval_id: Some(approval.id),
                    ..base
                };
                (outcome, Some(approval))
            }
            Gate::Approval | Gate::Auto => (
                execute(ctx, &self.providers, args, action, base).await?,
                None,
            ),
        })
    }

    fn settlement(
        &self,
        args: &Args,
        actions: Vec<ActionOutcome>,
        approvals: Vec<NewApproval>,
        approval: Option<(ApprovalId, ExecutionEnd)>,
    ) -> Result<Settlement, Failure> {
        let output = Output {
            dry_run: args.dry_run,
            approval_id: approval.as_ref().map(|(id, _)| *id),
            actions,
        };
        let value = serde_json::to_value(&output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(value).with(ActionWrites {
            output,
            approvals,
            approval,
            metrics: self.metrics.clone(),
        }))
    }
}

fn not_run(action: &RequestedAction) -> ActionOutcome {
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

/// Returns the end of the approval. Duplicates count as executed, unless they carry an error: an email that was sent for
/// another approval was not sent for this one.
fn ending(outcomes: &[ActionOutcome]) -> ExecutionEnd {
    let failed = outcomes.iter().find(|outcome| match outcome.result {
        ActionResult::Succeeded => false,
        ActionResult::SkippedDuplicate => outcome.error.is_some(),
        ActionResult::Simulated
        | ActionResult::InProgress
        | ActionResult::PendingApproval
        | ActionResult::Denied
        | ActionResult::Failed
        | ActionResult::Unknown
        | ActionResult::NotRun
        | ActionResult::Undone => true,
    });
    let Some(failed) = failed else {
        return ExecutionEnd::Executed;
    };
    let (code, message) = match &failed.error {
        Some(error) => (error.code.clone(), error.message.clone()),
        None => (
            failed.result.to_string(),
            "See the job's output for the result.".into(),
        ),
    };
    match failed.result {
        ActionResult::Unknown | ActionResult::InProgress => ExecutionEnd::Unclear(code, message),
        _ => ExecutionEnd::Failed(code, message),
    }
}
