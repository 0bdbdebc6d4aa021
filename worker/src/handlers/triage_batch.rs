//! `triage.batch`: summarises the results of a batch after its jobs have ended.
//!
//! Its children are enqueued with it, so that it is claimed only after all of them ended. An email that was submitted before
//! belongs to a job of another submission; while that job runs, this one snoozes.

use super::{internal, unavailable};
use async_trait::async_trait;
use base::JobId;
use chrono::TimeDelta;
use jobs::kinds::triage_batch::{Args, ItemOutput, Output, TriageBatch};
use queue::runtime::handler::{Handler, JobContext, Settlement};
use queue::{
    Failure,
    view::{self, JobStatus},
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// How long to snooze while jobs of other submissions run, after a batch's first seconds and at most: they may be scheduled
/// far ahead, and each look is an attempt with a row of its own.
const FIRST_SNOOZE: TimeDelta = TimeDelta::seconds(2);
const LONGEST_SNOOZE: TimeDelta = TimeDelta::minutes(5);

/// Summarises batches.
pub struct TriageBatchHandler;

#[async_trait]
impl Handler for TriageBatchHandler {
    type Kind = TriageBatch;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let statuses = load(ctx, &args)
            .await
            .map_err(|error| unavailable(&error))?;
        if statuses.values().any(|found| !found.state.is_terminal()) {
            let now = ctx.clock.now();
            return Err(Failure::rate_limited(
                now + snooze(now - ctx.job.created_at),
                "batch_incomplete",
                "Some of these emails were submitted before and are still being triaged.",
                "jobs of other submissions have not ended",
            ));
        }
        let output = summarise(&args, &statuses);
        let output = serde_json::to_value(output).map_err(|error| internal(&error))?;
        Ok(Settlement::of(output))
    }
}

/// A tenth of the batch's age.
fn snooze(age: TimeDelta) -> TimeDelta {
    (age / 10).clamp(FIRST_SNOOZE, LONGEST_SNOOZE)
}

async fn load(ctx: &JobContext, args: &Args) -> Result<HashMap<JobId, JobStatus>, sqlx::Error> {
    let jobs: Vec<JobId> = args.items.iter().map(|item| item.job).collect();
    let mut conn = ctx.pool.acquire().await?;
    view::statuses(&mut conn, ctx.job.lease.tenant, &jobs).await
}

fn summarise(args: &Args, statuses: &HashMap<JobId, JobStatus>) -> Output {
    let (mut outcomes, mut categories) = (BTreeMap::new(), BTreeMap::new());
    let items: Vec<ItemOutput> = args
        .items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let found = statuses.get(&item.job);
            let word = |name| {
                let output = found?.output.as_ref()?;
                output.get(name).and_then(Value::as_str).map(str::to_owned)
            };
            ItemOutput {
                index,
                job: item.job,
                existing: item.existing,
                state: found.map(|found| found.state),
                category: word("category"),
                disposition: word("disposition"),
                priority: word("priority"),
                error_code: found.and_then(|found| found.error_code.clone()),
            }
        })
        .collect();
    for item in &items {
        let outcome = item.state.map_or("removed", |state| state.as_str());
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
        if let Some(category) = &item.category {
            *categories.entry(category.clone()).or_default() += 1;
        }
    }
    Output {
        total: items.len(),
        outcomes,
        categories,
        items,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::kinds::triage_batch::Item;
    use queue::JobState;
    use serde_json::json;

    #[test]
    fn every_email_is_counted_once_even_if_its_job_is_deleted() {
        let item = |existing| Item {
            job: JobId::new(),
            existing,
        };
        let args = Args {
            items: vec![item(false), item(true), item(false), item(true)],
        };
        let status = |state, output, code: Option<&str>| JobStatus {
            state,
            output,
            error_code: code.map(str::to_owned),
        };
        let triaged =
            || Some(json!({"category": "fyi", "disposition": "notify", "priority": "low"}));
        let statuses = HashMap::from([
            (
                args.items[0].job,
                status(JobState::Succeeded, triaged(), None),
            ),
            (
                args.items[1].job,
                status(JobState::Succeeded, triaged(), None),
            ),
            (
                args.items[2].job,
                status(JobState::Discarded, None, Some("unparsable_email")),
            ),
        ]);
        let output = summarise(&args, &statuses);
        assert_eq!(
            serde_json::to_value(&output.outcomes).unwrap(),
            json!({"discarded": 1, "removed": 1, "succeeded": 2})
        );
        assert_eq!(
            serde_json::to_value(&output.categories).unwrap(),
            json!({"fyi": 2})
        );
        let third = &output.items[2];
        assert_eq!(
            (third.index, third.error_code.as_deref()),
            (2, Some("unparsable_email"))
        );
        assert_eq!((output.total, output.items[3].state), (4, None));
    }

    #[test]
    fn batch_looks_less_often_the_longer_it_waits() {
        assert_eq!(snooze(TimeDelta::zero()), TimeDelta::seconds(2));
        assert_eq!(snooze(TimeDelta::minutes(10)), TimeDelta::minutes(1));
        assert_eq!(snooze(TimeDelta::days(30)), TimeDelta::minutes(5));
    }
}
