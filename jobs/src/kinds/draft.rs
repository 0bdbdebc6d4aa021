//! `draft.generate`: a mail written for a person, who decides whether it goes.

use super::triage::LlmUsage;
use crate::domain::{
    ApprovalId, DraftId, MessageId, UserId,
    draft::{Confidence, DiffLine, DraftMode, Tone, headers::Recipients, schedule::SendAt},
    words::words,
};
use crate::queue::{JobKind, RetryPolicy};
use chrono::{DateTime, Utc};
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
    /// What came of it.
    DraftOutcome {
        /// There is a new version, and an approval for it.
        Drafted = "drafted",
        /// The model knew too little to write: see `open_questions`.
        OpenQuestions = "open_questions",
        /// No mail is wanted: see `not_needed`.
        NotNeeded = "not_needed",
    }
}

words! {
    /// Why no mail is wanted.
    #[schemars(rename = "DraftNotNeededReason")]
    NotNeeded {
        /// The user has answered already.
        Answered = "answered",
        /// A machine wrote the mail: nobody would read an answer.
        AutomaticSender = "automatic_sender",
        /// Nobody but the user would get it.
        NobodyToAnswer = "nobody_to_answer",
    }
}

/// The job's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DraftOutput")]
pub struct Output {
    pub outcome: DraftOutcome,
    pub draft_id: Option<DraftId>,
    pub version: Option<i32>,
    pub approval_id: Option<ApprovalId>,
    pub confidence: Option<Confidence>,
    /// When it is to go once it is approved.
    pub send_at: Option<DateTime<Utc>>,
    pub not_needed: Option<NotNeeded>,
    /// What the model would have to know, or to know better.
    pub open_questions: Vec<String>,
    /// What it took for granted.
    pub assumptions: Vec<String>,
    /// What was remembered for the user and went into it; see `/v1/memory`.
    pub memory_ids: Vec<Uuid>,
    /// Of a revision: what changed in the text.
    pub diff: Vec<DiffLine>,
    /// Of a dry run: what would have been kept.
    pub preview: Option<Preview>,
    pub dry_run: bool,
    pub llm: LlmUsage,
}

/// A mail that was not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DraftPreview")]
pub struct Preview {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub subject: String,
    pub body_text: String,
}
