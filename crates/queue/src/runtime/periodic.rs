//! [`PeriodicJob`]: a job that is enqueued at a fixed interval, once for all workers.

use super::duty::{Duty, DutyContext};
use crate::{Dedupe, DedupePolicy, NewJob, enqueue::enqueue};
use async_trait::async_trait;
use base::JobId;
use std::time::Duration;

/// Enqueues a copy of a job at a fixed interval. Add it to every worker with [`super::Setup::with_duty`]: one of them
/// enqueues the job per tick.
///
/// At most one copy waits: while the last one has not started, a tick enqueues nothing. Ticks that pass while no worker runs
/// are not made up for. There can be one periodic job per kind.
pub struct PeriodicJob {
    every: Duration,
    job: NewJob,
}

impl PeriodicJob {
    /// Enqueues `job` now and then every `every`, under the dedupe key `periodic` if it has none.
    pub fn every(every: Duration, mut job: NewJob) -> Self {
        job.dedupe.get_or_insert_with(|| Dedupe {
            key: "periodic".to_owned(),
            policy: DedupePolicy::KeepWaiting,
        });
        Self { every, job }
    }
}

#[async_trait]
impl Duty for PeriodicJob {
    fn name(&self) -> &'static str {
        self.job.kind
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let job = NewJob {
            id: JobId::new(),
            ..self.job.clone()
        };
        let mut transaction = context.pool.begin().await?;
        enqueue(&mut transaction, &job).await?;
        transaction.commit().await?;
        context.notifier.job_available(job.queue);
        Ok(())
    }
}
