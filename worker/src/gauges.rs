//! The gauges that a scrape reads from the database: [`Gauges`]. Each group is read by itself, so that a statement that fails or
//! is slow leaves only its own group with old values, which [`AssistantMetrics::gauges_age_seconds`] shows.

use crate::metrics::{AssistantMetrics, WorkerMetrics};
use base::text_enum;
use jobs::store::llm_lanes::StoredLane;
use queue::runtime::engine::Engine;
use sqlx::PgPool;
use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The longest time for one group.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time for all: a scrape must be answered while the database is not.
const ALL_TIMEOUT: Duration = Duration::from_secs(3);

text_enum! {
    /// Gauges that are read together.
    Group {
        Queues = "queues",
        Retention = "retention",
        Effects = "effects",
        AuditSeals = "audit_seals",
        Watches = "watches",
        Accounts = "accounts",
        Subscriptions = "subscriptions",
        LlmBatches = "llm_batches",
        LlmBudgets = "llm_budgets",
        LlmRates = "llm_rates",
        LlmLanes = "llm_lanes",
    }
}

/// When each group was read last; at the start, when the process began.
pub(crate) struct Gauges {
    read_at: Mutex<Vec<(Group, Instant)>>,
}

impl Gauges {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let all = Group::ALL.iter().map(|group| (*group, now));
        Self {
            read_at: Mutex::new(all.collect()),
        }
    }

    /// Reads the groups, the oldest first, so that none waits behind the same slow ones at each scrape.
    pub(crate) async fn refresh(
        &self,
        engine: &Engine,
        metrics: &WorkerMetrics,
        is_asked: impl Fn(&StoredLane) -> bool,
    ) {
        let deadline = Instant::now() + ALL_TIMEOUT;
        for group in self.oldest_first() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let read = read(group, engine, metrics, &is_asked);
            match timeout(left.min(TIMEOUT), read).await {
                Ok(Ok(())) => self.was_read(group),
                Ok(Err(error)) => {
                    tracing::warn!(%error, group = group.as_str(), "could not read gauges from the database");
                }
                Err(_) => tracing::warn!(
                    group = group.as_str(),
                    "reading gauges from the database timed out"
                ),
            }
        }
        self.show_ages(&metrics.assistant);
    }

    fn oldest_first(&self) -> Vec<Group> {
        let mut read_at = self.read_at().clone();
        read_at.sort_by_key(|(_, at)| *at);
        read_at.into_iter().map(|(group, _)| group).collect()
    }

    fn was_read(&self, group: Group) {
        for (of, at) in &mut *self.read_at() {
            if *of == group {
                *at = Instant::now();
            }
        }
    }

    fn show_ages(&self, metrics: &AssistantMetrics) {
        for (group, at) in &*self.read_at() {
            metrics
                .gauges_age_seconds
                .with_label_values(&[group.as_str()])
                .set(at.elapsed().as_secs_f64());
        }
    }

    fn read_at(&self) -> MutexGuard<'_, Vec<(Group, Instant)>> {
        let read_at = self.read_at.lock();
        read_at.expect("no holder of this lock can panic")
    }
}

async fn read(
    group: Group,
    engine: &Engine,
    metrics: &WorkerMetrics,
    is_asked: impl Fn(&StoredLane) -> bool,
) -> Result<(), sqlx::Error> {
    let WorkerMetrics {
        runtime, assistant, ..
    } = metrics;
    let pool: &PgPool = &engine.pool;
    match group {
        Group::Queues => {
            let queues = engine.registry.queues();
            runtime.refresh_queues(pool, &queues).await
        }
        Group::Retention => runtime.refresh_retention(pool).await,
        Group::Effects => assistant.read_effects(pool).await,
        Group::AuditSeals => assistant.read_audit_seals(pool).await,
        Group::Watches => assistant.read_watches(pool).await,
        Group::Accounts => assistant.read_accounts(pool).await,
        Group::Subscriptions => assistant.read_subscriptions(pool).await,
        Group::LlmBatches => assistant.read_llm_batches(pool).await,
        Group::LlmBudgets => assistant.read_llm_budgets(pool).await,
        Group::LlmRates => assistant.read_llm_rates(pool).await,
        Group::LlmLanes => assistant.read_llm_lanes(pool, is_asked).await,
    }
}
