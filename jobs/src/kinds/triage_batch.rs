//! `triage.batch`: many emails as one job. It waits for its child jobs, which judge them, and sums up.

use super::triage::Triage;
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

/// The job's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    pub total: usize,
    /// The number of emails by the state of their jobs.
    pub outcomes: BTreeMap<String, usize>,
    /// The number of judged emails by category.
    pub categories: BTreeMap<String, usize>,
    pub items: Vec<ItemOutput>,
}

/// The result of one email.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ItemOutput {
    pub index: usize,
    pub job: JobId,
    /// The email was submitted before this batch.
    pub existing: bool,
    /// `null` if the job ended so long ago that it is no longer kept.
    pub state: Option<JobState>,
    /// Only of a judged email, as are the next two.
    pub category: Option<String>,
    pub disposition: Option<String>,
    pub priority: Option<String>,
    /// The code of the failure.
    pub error_code: Option<String>,
}
