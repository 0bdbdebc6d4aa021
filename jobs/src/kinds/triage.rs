//! `triage.email`: judges an email and proposes actions.

use super::MODEL_RETRIES;
use crate::domain::{ApiKeyId, ApprovalId, MessageId, llm::urgency::Urgency};
use crate::domain::{
    action::ActionType,
    gate::Gate,
    judgement::{Category, Disposition, Priority, Sla, Source, ThreadStatus},
    risk::Risk,
};
use base::hex;
use queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of job; see [`Args`] and [`Output`].
pub struct Triage;

impl JobKind for Triage {
    const NAME: &'static str = "triage.email";
    const QUEUE: &'static str = "triage";
    const TIMEOUT: Duration = Duration::from_secs(180);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        MODEL_RETRIES
    }
}

/// Whether rules, the model or both decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TriageMode")]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    RulesThenLlm,
    RulesOnly,
    LlmOnly,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::RulesThenLlm, Self::RulesOnly, Self::LlmOnly];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RulesThenLlm => "rules_then_llm",
            Self::RulesOnly => "rules_only",
            Self::LlmOnly => "llm_only",
        }
    }
}

/// The job's arguments. The message itself is in `messages`: arguments stay small, and so does the hot table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub message_id: MessageId,
    pub mode: Mode,
    pub dry_run: bool,
    /// Judge again although the active rule set has judged this message already.
    pub force: bool,
    /// The rule set that was active when the job was submitted; 0 = none. The attempt uses exactly this version.
    pub ruleset_version: i32,
    /// The API key that submitted it, directly or through another job; its budgets cover the calls of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyId>,
    /// How soon the model's answer is needed.
    #[serde(default, skip_serializing_if = "Urgency::is_now")]
    pub urgency: Urgency,
}

/// Returns the external id of a triage that was submitted without one: the same email, rules and mode are the same work, and
/// a dry run is other work than a real run.
pub fn default_name(
    content_hash: &[u8; 32],
    ruleset_version: i32,
    mode: Mode,
    dry_run: bool,
) -> String {
    let hash = hex(&content_hash[..16]);
    let dry = if dry_run { ":dry" } else { "" };
    // The name does not say how the email came here: one that is submitted and read from a mailbox is one job. The dash is part
    // of the names of stored jobs.
    format!("-:{hash}:{ruleset_version}:{}{dry}", mode.as_str())
}

/// Rounds a confidence to thousandths: a single-precision 0.83 would be rounded as 0.8299999833106995.
pub fn rounded(confidence: f32) -> f64 {
    (f64::from(confidence) * 1000.0).round() / 1000.0
}

/// One proposed action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionOutput {
    pub id: uuid::Uuid,
    #[schemars(with = "ActionType")]
    pub r#type: String,
    #[schemars(with = "Risk")]
    pub risk: String,
    #[schemars(with = "Gate")]
    pub gate: String,
    /// 0 to 1, in thousandths.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    pub approval_id: Option<ApprovalId>,
    pub payload: serde_json::Value,
}

/// The model calls of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmUsage {
    /// Requests to the model, including failed ones.
    pub calls: u32,
    /// Input and output tokens together.
    pub tokens: u64,
    pub ms: u64,
    /// Millionths of a US dollar, including requests that the provider may bill; null if the model has no price.
    #[serde(default)]
    pub cost_micros: Option<u64>,
    /// The provider that answered last; null if none answered.
    #[serde(default)]
    pub provider: Option<String>,
    /// The model that answered last, as its provider names it.
    #[serde(default)]
    pub model: Option<String>,
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TriageOutput")]
pub struct Output {
    #[schemars(with = "Category")]
    pub category: String,
    #[schemars(with = "Disposition")]
    pub disposition: String,
    #[schemars(with = "Priority")]
    pub priority: String,
    #[schemars(with = "Sla")]
    pub sla: String,
    /// 0 to 1, in thousandths.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    pub rationale: String,
    #[schemars(with = "Source")]
    pub source: String,
    pub rules_applied: Vec<String>,
    pub actions: Vec<ActionOutput>,
    #[schemars(with = "ThreadStatus")]
    pub thread_status: String,
    /// Whether the model was needed and not available.
    pub degraded: bool,
    pub injection_suspected: bool,
    pub dry_run: bool,
    pub llm: LlmUsage,
    #[schemars(range(min = 0))]
    pub ruleset_version: i32,
    pub message: MessageSummary,
}

/// The email in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSummary {
    pub id: MessageId,
    /// `Name <address>` or the address alone; empty if the email names no sender.
    pub from: String,
    pub subject: String,
}
