//! Assigns turns to the jobs that wait for the rate of a model: [`AssignTurns`].

use async_trait::async_trait;
use jobs::commands::llm::turns::assign_turns;
use queue::runtime::duty::{Duty, DutyContext};
use std::{collections::BTreeSet, time::Duration};

/// Assigns the next turns and releases their jobs.
pub(super) struct AssignTurns;

#[async_trait]
impl Duty for AssignTurns {
    fn name(&self) -> &'static str {
        "assign_llm_turns"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let queues = assign_turns(&context.pool).await?;
        for queue in queues.into_iter().collect::<BTreeSet<_>>() {
            context.notifier.job_scheduled(&queue);
        }
        Ok(())
    }
}
