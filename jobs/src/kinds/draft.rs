//! `draft.generate`: a mail written for a person, who decides whether it goes.

use super::triage::LlmUsage;
use crate::domain::{
    ApprovalId, DraftId, MessageId, UserId,
    draft::{Confidence, DiffLine, DraftMode, Tone, headers::Recipients, send_at::SendAt},
    words::words,
};
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
        RetryPolicy {
            max_attempts: 5,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(600),
            floor: Duration::from_millis(200),
        }
    }
}

/// How long a text is to be, if nobody says.
pub const MAX_WORDS: u16 = 200;

/// What the job carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub mode: DraftMode,
    /// The mail it is about.
    pub message_id: Option<MessageId>,
    /// Of a new mail or a forward.
    pub recipients: Recipients,
    /// What it is to achieve, in the user's words.
    pub intent: Option<String>,
    /// How it is to be written, or what is to be changed, in the user's words.
    pub instructions: Option<String>,
    /// What a rule or a model thought that it should say. May hold a mail's words: it is evidence, and no instruction.
    #[serde(default)]
    pub suggestion: Option<String>,
    pub tone: Option<Tone>,
    pub max_words: u16,
    pub send_at: Option<SendAt>,
    /// What is revised.
    pub base: Option<Base>,
    /// Writes nothing but the job's output.
    pub dry_run: bool,
    /// Who asked for it; null if a triage did.
    pub user: Option<UserId>,
}

/// A version of a draft, as the person has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    pub draft_id: DraftId,
    pub version: i32,
}

impl Args {
    /// A reply to a mail that triage found to want one.
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
            base: None,
            dry_run: false,
            user: None,
        }
    }

    /// The next version of a draft.
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
            base: Some(base),
            dry_run: false,
            user: Some(user),
        }
    }
}

/// The name of the one job that answers a mail by itself, whoever found that it wants an answer.
pub fn reply_name(message: MessageId) -> String {
    format!("{message}:reply")
}

words! {
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

words! {
    /// Why no email was written.
    #[schemars(rename = "DraftNotNeededReason")]
    NotNeeded {
        /// The user has answered already.
        Answered = "answered",
        /// An automatic sender wrote the email and reads no answers.
        AutomaticSender = "automatic_sender",
        /// The user would be the only recipient.
        NobodyToAnswer = "nobody_to_answer",
    }
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DraftOutput")]
pub struct Output {
    pub outcome: DraftOutcome,
    pub draft_id: Option<DraftId>,
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
