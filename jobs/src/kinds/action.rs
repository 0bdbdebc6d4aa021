//! `action.execute`: actions done in their order, each with its own line in the effect ledger and its own outcome.

use crate::domain::{
    ApprovalId, EffectId, MessageId, UserId,
    action::{ActionType, Params},
    gate::{Gate, TrustMode},
    risk::Risk,
    words::words,
};
use base::JobId;
use queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The kind of job; see [`Args`] and [`Output`].
pub struct ActionExecute;

impl JobKind for ActionExecute {
    const NAME: &'static str = "action.execute";
    const QUEUE: &'static str = "action";
    const TIMEOUT: Duration = Duration::from_secs(300);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 8,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(900),
            floor: Duration::from_millis(200),
        }
    }
}

words! {
    /// Whether an action that failed keeps the later ones from being done.
    OnError {
        Stop = "stop",
        Continue = "continue",
    }
}

/// What the job carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub work: Work,
    pub on_error: OnError,
    /// Says what would happen, and touches nothing.
    pub dry_run: bool,
    /// May only lower the tenant's own.
    pub trust: Option<TrustMode>,
    /// Who asked for it, or approved it.
    pub user: Option<UserId>,
}

/// Where the actions come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// What a person has approved, as it was when they did.
    Approval {
        approval_id: ApprovalId,
        version: i32,
    },
    /// What a client asks for; the gate decides.
    Requested(Vec<RequestedAction>),
    /// What a triage found and the gate let through.
    Triaged { job_id: JobId },
    /// What was done for an approval is taken back.
    Undo { approval_id: ApprovalId },
}

/// One action that a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedAction {
    pub kind: ActionType,
    pub params: Params,
    /// The mail it is about.
    pub message_id: Option<MessageId>,
    /// The caller's name for the effect: used twice, it is done once.
    pub external_id: Option<String>,
}

words! {
    /// What became of one action.
    ActionResult {
        Succeeded = "succeeded",
        /// A dry run: this is what would be done.
        Simulated = "simulated",
        /// It was done before, by another job; see `effect_id`.
        SkippedDuplicate = "skipped_duplicate",
        /// Another job is at it.
        InProgress = "in_progress",
        /// A person must agree; see `approval_id`.
        PendingApproval = "pending_approval",
        /// The gate refuses it.
        Denied = "denied",
        Failed = "failed",
        /// It may have been done. It is not tried again before a person has looked.
        Unknown = "unknown",
        /// An action before it failed.
        NotRun = "not_run",
        /// What had been done was taken back.
        Undone = "undone",
    }
}

/// Why an action was not done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ActionError")]
pub struct ActionError {
    /// Stable and machine-readable.
    pub code: String,
    pub message: String,
}

/// What became of one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ActionOutcome")]
pub struct ActionOutcome {
    /// Its place in the list.
    pub index: usize,
    pub r#type: ActionType,
    pub risk: Risk,
    pub gate: Gate,
    pub result: ActionResult,
    /// Its line in the ledger: `GET /v1/effects/{id}`.
    pub effect_id: Option<EffectId>,
    pub approval_id: Option<ApprovalId>,
    /// By which it can be found where it was done; of a dry run, what would be done.
    pub receipt: Option<Value>,
    pub error: Option<ActionError>,
}

/// The job's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExecutionOutput")]
pub struct Output {
    pub dry_run: bool,
    /// The approval that was carried out or taken back.
    pub approval_id: Option<ApprovalId>,
    pub actions: Vec<ActionOutcome>,
}
