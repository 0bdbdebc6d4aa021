//! `triage.batch`: many mails as one piece of work. Its children judge them; it waits for them and sums up.

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
    /// It reads, once, what its children have left.
    const TIMEOUT: Duration = Duration::from_secs(30);

    type Args = Args;
    type Output = Output;

    fn retry_policy() -> RetryPolicy {
        Triage::retry_policy()
    }
}

/// What the job carries: the jobs that judge the mails, in the order in which these were handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub items: Vec<Item>,
}

/// One mail's job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub job: JobId,
    /// The mail had been handed in before, so this is no child of the batch.
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
