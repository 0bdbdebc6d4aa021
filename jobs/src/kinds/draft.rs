//! `draft.generate`: a message drafted for a person, who decides whether it is sent.

use super::{MODEL_RETRIES, triage::LlmUsage};
use crate::domain::{
    ApiKeyId, ApprovalId, DraftId, FollowUpId, MessageId, UserId,
    draft::{Confidence, DiffLine, DraftMode, Tone, headers::Recipients, send_at::SendAt},
    llm::urgency::Urgency,
};
use base::str_enum;
use chrono::{DateTime, Utc};
use queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// The kind of job; see [`Args`] and [`Output`].
pub struct DraftGenerate;

impl JobKind for DraftGenerate {
    const NAME: &'static str = "draft.generate";
    const QUEUE: &'static str = "draft";
    const TIMEOUT: Duration = Duration::from_secs(180);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        MODEL_RETRIES
    }
}

/// The longest text, in words, if the request gives none.
pub const MAX_WORDS: u16 = 200;

/// The job's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub mode: DraftMode,
    /// The message it is about.
    pub message_id: Option<MessageId>,
    /// The recipients of a new message or a forward.
    pub recipients: Recipients,
    /// The purpose, in the user's words.
    pub intent: Option<String>,
    /// The instructions for the text or the revision, in the user's words.
    pub instructions: Option<String>,
    /// What a rule or a model suggested. May contain text of a message: it is evidence, not an instruction.
    #[serde(default)]
    pub suggestion: Option<String>,
    pub tone: Option<Tone>,
    pub max_words: u16,
    pub send_at: Option<SendAt>,
    /// After how many days without an answer the writer is reminded: 0 never, `None` as the writer usually wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_days: Option<i16>,
    /// The version to revise.
    pub base: Option<Base>,
    /// Stores nothing but the job's output.
    pub dry_run: bool,
    /// The user who requested it; null if a triage did.
    pub user: Option<UserId>,
    /// The API key that submitted it, directly or through another job; its budgets cover the calls of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKeyId>,
    /// The follow-up whose user the draft is to remind; null if a user or a triage requested it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<FollowUpId>,
    /// How soon the model's answer is needed.
    #[serde(default, skip_serializing_if = "Urgency::is_now")]
    pub urgency: Urgency,
}

/// A version of a draft, as the person saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    pub draft_id: DraftId,
    pub version: i32,
}

impl Args {
    /// Arguments for the reply to a message that needs one.
    pub fn reply(message_id: MessageId) -> Self {
        Self {
            mode: DraftMode::Reply,
            message_id: Some(message_id),
            recipients: Recipients::default(),
            intent: None,
            instructions: None,
            suggestion: None,
            tone: None,
            max_words: MAX_WORDS,
            send_at: None,
            follow_up_days: None,
            base: None,
            dry_run: false,
            user: None,
            api_key: None,
            follow_up: None,
            urgency: Urgency::Now,
        }
    }

    /// Arguments for the next version of a draft.
    pub fn revise(base: Base, instructions: String, user: UserId) -> Self {
        Self {
            mode: DraftMode::Revise,
            message_id: None,
            recipients: Recipients::default(),
            intent: None,
            instructions: Some(instructions),
            suggestion: None,
            tone: None,
            max_words: MAX_WORDS,
            send_at: None,
            follow_up_days: None,
            base: Some(base),
            dry_run: false,
            user: Some(user),
            api_key: None,
            follow_up: None,
            urgency: Urgency::Now,
        }
    }
}

/// Returns the external id of the one job that replies to a message, whichever rule, model or person asked for the
/// reply.
pub fn reply_name(message: MessageId) -> String {
    format!("{message}:reply")
}

str_enum! {
    /// The outcome of a draft job.
    DraftOutcome {
        /// A new version and its approval were written.
        Drafted = "drafted",
        /// The model lacked information: see `open_questions`.
        OpenQuestions = "open_questions",
        /// No email was needed: see `not_needed`.
        NotNeeded = "not_needed",
    }
}

str_enum! {
    /// Why no email was written.
    #[schemars(rename = "DraftNotNeededReason")]
    NotNeeded {
        /// The user has replied already.
        Answered = "answered",
        /// An automatic sender wrote the email and reads no answers.
        AutomaticSender = "automatic_sender",
        /// The user would be the only recipient.
        NobodyToAnswer = "nobody_to_answer",
        /// The follow-up that asked for a reminder has ended.
        FollowUpEnded = "follow_up_ended",
    }
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DraftOutput")]
pub struct Output {
    pub outcome: DraftOutcome,
    pub draft_id: Option<DraftId>,
    #[schemars(range(min = 1))]
    pub version: Option<i32>,
    pub approval_id: Option<ApprovalId>,
    pub confidence: Option<Confidence>,
    /// When it is sent after its approval.
    pub send_at: Option<DateTime<Utc>>,
    pub not_needed: Option<NotNeeded>,
    /// Information that the model lacked.
    pub open_questions: Vec<String>,
    /// Assumptions that the model made.
    pub assumptions: Vec<String>,
    /// The memory items in its prompt; see `/v1/memory`.
    pub memory_ids: Vec<Uuid>,
    /// Only of a revision: the changes in the text.
    pub diff: Vec<DiffLine>,
    /// Only of a dry run: the email that would have been stored.
    pub preview: Option<Preview>,
    pub dry_run: bool,
    pub llm: LlmUsage,
}

/// An email that was not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DraftPreview")]
pub struct Preview {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub subject: String,
    pub body_text: String,
}
