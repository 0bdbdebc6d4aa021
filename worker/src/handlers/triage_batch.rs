//! `triage.batch`: sums up what became of the mails of a batch, once their jobs have ended.
//!
//! Its children were enqueued with it, so it is claimed only when none of them is left. A mail that had been handed in
//! before is judged by a job of somebody else's; if that one has not ended yet, this one looks again a little later.

use async_trait::async_trait;
use base::JobId;
use chrono::TimeDelta;
use jobs::kinds::triage_batch::{Args, ItemOutput, Output, TriageBatch};
use queue::runtime::handler::{Handler, JobContext, Settlement};
use queue::{
    Failure,
    view::{self, Standing},
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// How soon to look again at jobs that are no children.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(2);

/// Sums up.
pub struct TriageBatchHandler;

#[async_trait]
impl Handler for TriageBatchHandler {
    type Kind = TriageBatch;

    async fn run(&self, ctx: &JobContext, args: Args) -> Result<Settlement, Failure> {
        let standings = load(ctx, &args)
            .await
            .map_err(|error| unavailable(&error))?;
        if standings.values().any(|found| !found.state.is_terminal()) {
            return Err(Failure::rate_limited(
                ctx.clock.now() + LOOK_AGAIN,
                "batch_incomplete",
                "Some of these mails were handed in before and are still being judged.",
                "jobs of other submissions have not ended",
            ));
        }
        let output = sum_up(&args, &standings);
        let output = serde_json::to_value(output).map_err(|error| {
            Failure::permanent(
                "internal_error",
                "Something went wrong on our side.",
                error.to_string(),
            )
        })?;
        Ok(Settlement::of(output))
    }
}

async fn load(ctx: &JobContext, args: &Args) -> Result<HashMap<JobId, Standing>, sqlx::Error> {
    let jobs: Vec<JobId> = args.items.iter().map(|item| item.job).collect();
    let mut conn = ctx.pool.acquire().await?;
    view::standings(&mut conn, ctx.job.tenant, &jobs).await
}

fn unavailable(error: &sqlx::Error) -> Failure {
    Failure::transient(
        "database_unavailable",
        "The job could not be worked on just now.",
        error.to_string(),
    )
}

fn sum_up(args: &Args, standings: &HashMap<JobId, Standing>) -> Output {
    let (mut outcomes, mut categories) = (BTreeMap::new(), BTreeMap::new());
    let items: Vec<ItemOutput> = args
        .items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let found = standings.get(&item.job);
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
    fn every_mail_is_counted_once_also_one_whose_job_is_no_longer_kept() {
        let item = |existing| Item {
            job: JobId::new(),
            existing,
        };
        let args = Args {
            items: vec![item(false), item(true), item(false), item(true)],
        };
        let standing = |state, output, code: Option<&str>| Standing {
            state,
            output,
            error_code: code.map(str::to_owned),
        };
        let judged =
            || Some(json!({"category": "fyi", "disposition": "notify", "priority": "low"}));
        let standings = HashMap::from([
            (
                args.items[0].job,
                standing(JobState::Succeeded, judged(), None),
            ),
            (
                args.items[1].job,
                standing(JobState::Succeeded, judged(), None),
            ),
            (
                args.items[2].job,
                standing(JobState::Discarded, None, Some("unparsable_mail")),
            ),
        ]);
        let output = sum_up(&args, &standings);
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
            (2, Some("unparsable_mail"))
        );
        assert_eq!((output.total, output.items[3].state), (4, None));
    }
}
