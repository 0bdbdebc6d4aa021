//! Releases jobs that wait for a model: one as a probe when a lane is due for it, and the others when a lane has closed.

use crate::handlers::model_failure::effects::LANE_CODES;
use async_trait::async_trait;
use chrono::TimeDelta;
use jobs::{
    kinds::{self, ModelUse},
    store::llm_lanes,
};
use queue::{
    operate::release::{Release, release_snoozed},
    runtime::duty::{Duty, DutyContext},
};
use std::{collections::BTreeSet, time::Duration};

const EVERY: Duration = Duration::from_secs(5);
/// How long after its refusal an attempt may be settled.
const SETTLING: TimeDelta = TimeDelta::seconds(2);
/// Jobs released per tick after a lane has closed: a provider that is just back gets at most 40 requests a second.
const RELEASED: i64 = 200;

/// Releases jobs that wait for a model.
pub(super) struct ReleaseLanes;

#[async_trait]
impl Duty for ReleaseLanes {
    fn name(&self) -> &'static str {
        "release_llm_lanes"
    }

    fn every(&self) -> Duration {
        EVERY
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let lanes = llm_lanes::list(&context.queue_pool).await?;
        let probes = lanes.iter().filter(|lane| lane.awaits_probe).count();
        let closed = lanes.iter().filter_map(|lane| lane.closed_lately).max();
        let kinds = kinds::names_where(|kind| kind.model == ModelUse::Waits);
        let release = |limit, spread, snoozed_before| Release {
            kinds: &kinds,
            codes: &LANE_CODES,
            snoozed_before,
            limit,
            spread,
        };
        let mut queues = BTreeSet::new();
        if let Some(closed) = closed {
            // A job that failed after the lane had closed keeps its own backoff.
            let closed = release(RELEASED, EVERY, Some(closed + SETTLING));
            queues.extend(release_snoozed(&context.queue_pool, closed).await?);
        }
        if probes > 0 {
            let probes = i64::try_from(probes).unwrap_or(i64::MAX);
            let probes = release(probes, Duration::ZERO, None);
            queues.extend(release_snoozed(&context.queue_pool, probes).await?);
        }
        for queue in queues {
            context.notifier.job_scheduled(&queue);
        }
        Ok(())
    }
}
