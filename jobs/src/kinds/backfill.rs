//! `mailbox.backfill`: walks a folder of a mailbox, oldest email first, and enqueues the triage of each email at low
//! priority. Continues where it stopped, whatever stopped it.

use super::action::ActionExecute;
use crate::domain::{
    ConnectionId,
    llm::urgency::Urgency,
    watch::{FolderName, Period},
};
use queue::{JobKind, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of job; see [`Args`] and [`Output`].
pub struct Backfill;

/// The most emails of one job, and those of a job that names no limit.
pub const MAX_EMAILS: i64 = 10_000;
pub const USUAL_EMAILS: i64 = 1_000;

impl JobKind for Backfill {
    const NAME: &'static str = "mailbox.backfill";
    const QUEUE: &'static str = ActionExecute::QUEUE;
    /// An attempt gives its slot back long before, and continues in the next one.
    const TIMEOUT: Duration = Duration::from_secs(300);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        ActionExecute::retry_policy()
    }
}

/// The job's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub connection_id: ConnectionId,
    pub folder: FolderName,
    pub period: Period,
    /// The most emails to read.
    pub limit: i64,
    /// Only counts the emails.
    pub dry_run: bool,
    /// Of the answers of models about the emails.
    #[serde(default, skip_serializing_if = "Urgency::is_now")]
    pub urgency: Urgency,
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BackfillOutput")]
pub struct Output {
    pub connection_id: ConnectionId,
    pub folder: FolderName,
    pub dry_run: bool,
    /// Emails that were read; in a dry run, those that would be.
    #[schemars(range(min = 0))]
    pub emails: i64,
    /// Emails whose triage was enqueued; the others were known.
    #[schemars(range(min = 0))]
    pub enqueued: i64,
    /// Emails that were too large or could not be read.
    #[schemars(range(min = 0))]
    pub skipped: i64,
    /// Whether the limit was reached before the end of the folder.
    pub is_limited: bool,
}
