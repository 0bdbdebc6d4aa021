//! Periodic maintenance: [`TABLE`] has a row for each duty, which one worker of all runs each per tick. Duties with a state of
//! their own have a file each.

mod batches;
mod forget_emails;
mod identity_keys;
mod lanes;
mod llm_calls;
mod rates;
mod table;
mod work;

use crate::{
    handlers::ask::{ModelAccess, SpendMetrics},
    providers::Providers,
};
use async_trait::async_trait;
use batches::RunBatches;
use forget_emails::ForgetEmails;
use identity_keys::FetchIdentityKeys;
use lanes::ReleaseLanes;
use llm_calls::PurgeLlmCalls;
use prometheus::IntCounter;
use queue::{
    operate::retention::Backlog,
    runtime::duty::{
        Duty, DutyContext, PruneFinished, RETENTION_BUDGET, SampleQueues, delete_in_batches,
    },
};
use rates::AssignTurns;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use table::{Row, TABLE, Work};

/// Rows per statement that deletes old ones: nobody waits for them, and larger batches pass the deleted ones less often.
const PURGE_BATCH: u32 = 2000;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub finished_jobs: Duration,
    /// The records of requests to a model, in days.
    pub llm_calls: i32,
    /// Which emails of mailboxes were read, in days.
    pub fetched_emails: i32,
}

/// What the duties of the table need of this worker.
struct Needs {
    retention: Retention,
    approvals_expired: IntCounter,
    spend: SpendMetrics,
}

/// Returns the duty that sends requests in batches and reads their answers.
pub fn batches(access: ModelAccess, every: Duration) -> Arc<dyn Duty> {
    Arc::new(RunBatches::new(access, every))
}

/// Returns all other duties of a worker: the queue's and the assistant's.
pub fn duties(
    retention: Retention,
    providers: Providers,
    approvals_expired: &IntCounter,
    spend: &SpendMetrics,
) -> Vec<Arc<dyn Duty>> {
    let mut duties: Vec<Arc<dyn Duty>> = vec![
        Arc::new(SampleQueues),
        Arc::new(PruneFinished::after(retention.finished_jobs)),
        Arc::new(ReleaseLanes),
        Arc::new(AssignTurns),
        Arc::new(ForgetEmails::default()),
        Arc::new(PurgeLlmCalls::after(retention.llm_calls)),
        Arc::new(FetchIdentityKeys { providers }),
    ];
    let needs = Arc::new(Needs {
        retention,
        approvals_expired: approvals_expired.clone(),
        spend: spend.clone(),
    });
    for row in TABLE {
        let needs = Arc::clone(&needs);
        duties.push(Arc::new(TableDuty { row, needs }));
    }
    duties
}

/// A duty of the table.
struct TableDuty {
    row: &'static Row,
    needs: Arc<Needs>,
}

#[async_trait]
impl Duty for TableDuty {
    fn name(&self) -> &'static str {
        self.row.name
    }

    fn every(&self) -> Duration {
        self.row.every
    }

    fn is_retention(&self) -> bool {
        matches!(self.row.work, Work::Purge(_))
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let purges = match self.row.work {
            Work::Run(run) => return run(&self.needs, context).await,
            Work::Purge(purges) => purges,
        };
        let until = Instant::now() + RETENTION_BUDGET;
        let mut backlog = Backlog::None;
        for purge in purges {
            let left = delete_in_batches(until, PURGE_BATCH, || async {
                let mut conn = context.pool.acquire().await?;
                purge(&mut conn, &self.needs.retention, PURGE_BATCH.into()).await
            });
            backlog = backlog.and(left.await?);
        }
        context.report(self.name(), backlog).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn duties_have_names_of_their_own() {
        let names: BTreeSet<_> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), TABLE.len());
    }
}
