//! `action.execute`: actions executed in order, each with its own ledger row and its own outcome.

use crate::domain::{
    ApiKeyId, ApprovalId, DigestId, EffectId, MessageId, UserId,
    action::{ActionType, Params},
    gate::{Gate, TrustMode},
    risk::Risk,
};
use base::JobId;
use base::str_enum;
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

str_enum! {
    /// Whether a failed action stops the later ones.
    #[schemars(rename = "ActionOnError")]
    OnError {
        Stop = "stop",
        Continue = "continue",
    }
}

/// The job's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub work: Work,
    pub on_error: OnError,
    /// Reports what would happen, and changes nothing.
    pub dry_run: bool,
    /// May only lower the tenant's own.
    pub trust: Option<TrustMode>,
    /// The user in whose name it is executed: their accounts, calendar and time zone are used. Of an approval not the one who
    /// decided it, if it belongs to another.
    pub user: Option<UserId>,
    /// The API key that submitted it, directly or through another job; its budgets cover the calls of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyId>,
}

/// Where the actions come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// An approval, in the version that was approved.
    Approval {
        approval_id: ApprovalId,
        version: i32,
    },
    /// A client's request; the gate decides.
    Requested(Vec<RequestedAction>),
    /// What a triage proposed and the gate let through.
    Triaged { job_id: JobId },
    /// A digest that its user wants by email.
    Digest { digest_id: DigestId },
    /// The effects of an approval are undone.
    Undo { approval_id: ApprovalId },
}

/// An action that a client requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestedAction {
    pub kind: ActionType,
    pub params: Params,
    /// The message it is about.
    pub message_id: Option<MessageId>,
    /// The caller's name for the effect: under one name it happens once.
    pub external_id: Option<String>,
}

str_enum! {
    /// The result of one action.
    ActionResult {
        Succeeded = "succeeded",
        /// A dry run: `receipt` says what would be done.
        Simulated = "simulated",
        /// Another job executed it before; see `effect_id`.
        SkippedDuplicate = "skipped_duplicate",
        /// Another job is executing it.
        InProgress = "in_progress",
        /// A person must approve it; see `approval_id`.
        PendingApproval = "pending_approval",
        /// The gate denies it.
        Denied = "denied",
        Failed = "failed",
        /// It may have happened. A person must check before it is tried again.
        Unknown = "unknown",
        /// An earlier action failed.
        NotRun = "not_run",
        /// It was executed and then undone.
        Undone = "undone",
    }
}

/// Why an action failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ActionError")]
pub struct ActionError {
    /// Stable and machine-readable.
    pub code: String,
    pub message: String,
}

/// The result of one action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ActionOutcome")]
pub struct ActionOutcome {
    /// Its index in the list.
    pub index: usize,
    pub r#type: ActionType,
    pub risk: Risk,
    pub gate: Gate,
    pub result: ActionResult,
    /// Its effect: `GET /v1/effects/{id}`.
    pub effect_id: Option<EffectId>,
    pub approval_id: Option<ApprovalId>,
    /// What the provider returned, or of a dry run, what would be done.
    pub receipt: Option<Value>,
    pub error: Option<ActionError>,
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExecutionOutput")]
pub struct Output {
    pub dry_run: bool,
    /// The approval that was executed or undone.
    pub approval_id: Option<ApprovalId>,
    pub actions: Vec<ActionOutcome>,
}
