//! `triage.batch`: many emails as one job. It waits for its child jobs, which judge them, and sums up.

use super::triage::Triage;
use crate::domain::judgement::{Category, Disposition, Priority};
use base::JobId;
use queue::{JobKind, JobState, RetryPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// The kind of job; see [`Args`] and [`Output`].
pub struct TriageBatch;

impl JobKind for TriageBatch {
    const NAME: &'static str = "triage.batch";
    const QUEUE: &'static str = Triage::QUEUE;
    /// It reads its children's results once.
    const TIMEOUT: Duration = Duration::from_secs(30);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        Triage::retry_policy()
    }
}

/// The job's arguments: the child jobs, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub items: Vec<Item>,
}

/// The job of one email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub job: JobId,
    /// The email was submitted before, so its job is not a child of the batch.
    pub existing: bool,
}

/// The output of the job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TriageBatchOutput")]
pub struct Output {
    pub total: usize,
    /// How many of the emails' jobs ended in each state.
    pub outcomes: BTreeMap<String, usize>,
    /// How many of the triaged emails are of each category.
    pub categories: BTreeMap<String, usize>,
    pub items: Vec<ItemOutput>,
}

/// The result of one email, in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TriageBatchOutputItem")]
pub struct ItemOutput {
    pub index: usize,
    pub job: JobId,
    /// Whether the email was submitted before this batch.
    pub existing: bool,
    /// Null if the job ended so long ago that it is no longer stored.
    pub state: Option<JobState>,
    /// Null if the email was not triaged.
    #[schemars(with = "Option<Category>")]
    pub category: Option<String>,
    #[schemars(with = "Option<Disposition>")]
    pub disposition: Option<String>,
    #[schemars(with = "Option<Priority>")]
    pub priority: Option<String>,
    /// The code of the failure; null if it was triaged.
    pub error_code: Option<String>,
}
