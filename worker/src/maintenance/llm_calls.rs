//! Deletes the records of requests to a model after their retention: [`PurgeLlmCalls`].

use async_trait::async_trait;
use jobs::store::llm_calls::OldCalls;
use queue::{
    operate::retention::walk::{self, WalkPosition},
    runtime::duty::{Duty, DutyContext, RETENTION_BUDGET},
};
use std::time::Duration;

/// Deletes old records. The next run begins where the last one ended for lack of time.
pub(super) struct PurgeLlmCalls {
    days: i32,
    position: WalkPosition,
}

impl PurgeLlmCalls {
    /// Keeps records for so many days.
    pub(super) fn after(days: i32) -> Self {
        Self {
            days,
            position: WalkPosition::default(),
        }
    }
}

#[async_trait]
impl Duty for PurgeLlmCalls {
    fn name(&self) -> &'static str {
        "purge_llm_calls"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn is_retention(&self) -> bool {
        true
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let old = OldCalls {
            pool: &context.pool,
            days: self.days,
        };
        let pruned = walk::prune(&old, RETENTION_BUDGET, &self.position).await?;
        context.report(self.name(), pruned.backlog).await
    }
}
