//! The worker's metrics besides those of the queue's runtime. Labels come from closed sets only.

use crate::handlers::{ask::SpendMetrics, model_failure::effects::STOPPING_CLASSES};
use jobs::{
    domain::{
        connection::{ConnectionStatus, Provider},
        llm::BudgetPeriod,
        subscription::SubscriptionStatus,
    },
    kinds::{self, ModelUse},
    store::{
        audit_seals, connections, effects, llm_batches, llm_budgets,
        llm_lanes::{self, StoredLane},
        llm_rates, subscriptions, watches,
    },
};
use prometheus::Registry;
use queue::runtime::metrics::RuntimeMetrics;
use sqlx::PgPool;

base::metrics! {
    /// The metrics of the assistant.
    pub struct AssistantMetrics {
        /// Approvals that expired undecided.
        approvals_expired_total: IntCounter,
        /// Effects whose outcome is unknown; all workers report the same number.
        effects_unknown: IntGauge,
        /// Connected accounts by provider and status; all workers report the same numbers.
        accounts: IntGaugeVec [provider, status],
        /// Webhooks that are called when jobs end, by status; all workers report the same numbers.
        subscriptions: IntGaugeVec [status],
        /// Emails that were read from watched mailboxes for the first time.
        emails_fetched_total: IntCounter,
        /// Watched folders of accounts that work; all workers report the same number.
        watched_folders: IntGauge,
        /// Watched folders that their server does not list; all workers report the same number.
        watched_folders_missing: IntGauge,
        /// Age of the oldest check of a watched folder that exists, in seconds; all workers report the same number.
        watch_staleness_seconds: IntGauge,
        /// Seals over the audit log: the number of the newest; all workers report the same number.
        audit_seals: IntGauge,
        /// Time since the gauges of a group were read from the database, in seconds; they keep their values meanwhile.
        gauges_age_seconds: GaugeVec [group],
        /// Model mode, live or testing: 1 for the mode of this process.
        llm_mode: IntGaugeVec [mode],
        /// Batches of requests at providers that have not ended; all workers report the same number.
        llm_batches_open: IntGauge,
        /// Age of the oldest open batch, in seconds; all workers report the same number.
        llm_batch_oldest_seconds: IntGauge,
        /// Models that are not asked: 1 while an operator must act, or while the provider is unavailable or asked to wait; all workers report the same numbers.
        llm_lane_open: IntGaugeVec [provider, model, cause],
        /// Configured requests and tokens per minute, by unit; absent without a limit. All workers report the same numbers.
        llm_rate_limit: IntGaugeVec [provider, model, unit],
        /// Jobs that wait for their turn at a model's rate; all workers report the same numbers.
        llm_rate_waiting: IntGaugeVec [provider, model],
        /// Longest wait of a job for its turn at a model's rate, in seconds; all workers report the same numbers.
        llm_rate_oldest_wait_seconds: IntGaugeVec [provider, model],
        /// The largest part that any tenant has used of a budget for models, 1 for all of it, by period; all workers report the same numbers.
        llm_budget_used_ratio: GaugeVec [period],
    }
}

/// The worker's metrics, registered in one registry.
#[derive(Clone)]
pub struct WorkerMetrics {
    pub registry: Registry,
    pub runtime: RuntimeMetrics,
    pub assistant: AssistantMetrics,
    pub spend: SpendMetrics,
}

impl WorkerMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let asking = kinds::names_where(|kind| kind.model != ModelUse::None);
        Ok(Self {
            runtime: RuntimeMetrics::register(&registry)?,
            assistant: AssistantMetrics::register(&registry)?,
            spend: SpendMetrics::declared(&registry, &asking)?,
            registry,
        })
    }
}

impl AssistantMetrics {
    /// Sets the model mode. Exports both series, so that alerts can refer to either.
    pub fn show_llm_mode(&self, mode: &str) {
        for known in ["live", "testing"] {
            let value = i64::from(known == mode);
            self.llm_mode.with_label_values(&[known]).set(value);
        }
    }

    pub(crate) async fn read_effects(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        self.effects_unknown
            .set(effects::count_unknown(pool).await?);
        Ok(())
    }

    pub(crate) async fn read_audit_seals(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let head = audit_seals::head(&mut *pool.acquire().await?).await?;
        self.audit_seals.set(head.number);
        Ok(())
    }

    pub(crate) async fn read_watches(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let staleness = watches::staleness(pool).await?;
        self.watched_folders.set(staleness.folders);
        self.watched_folders_missing.set(staleness.missing);
        self.watch_staleness_seconds.set(staleness.oldest_seconds);
        Ok(())
    }

    pub(crate) async fn read_accounts(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let counted = connections::count(pool).await?;
        for provider in Provider::ALL {
            for status in ConnectionStatus::ALL {
                let count = counted
                    .iter()
                    .find(|(of, is, _)| (of, is) == (provider, status))
                    .map_or(0, |(_, _, count)| *count);
                self.accounts
                    .with_label_values(&[provider.as_str(), status.as_str()])
                    .set(count);
            }
        }
        Ok(())
    }

    pub(crate) async fn read_subscriptions(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let counted = subscriptions::count(pool).await?;
        for status in SubscriptionStatus::ALL {
            let count = counted
                .iter()
                .find(|(is, _)| is == status)
                .map_or(0, |(_, count)| *count);
            self.subscriptions
                .with_label_values(&[status.as_str()])
                .set(count);
        }
        Ok(())
    }

    pub(crate) async fn read_llm_batches(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let open = llm_batches::open(pool).await?;
        self.llm_batches_open.set(open.batches);
        self.llm_batch_oldest_seconds.set(open.oldest_seconds);
        Ok(())
    }

    pub(crate) async fn read_llm_budgets(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let used = llm_budgets::most_used(pool).await?;
        for period in BudgetPeriod::ALL {
            let ratio = used
                .iter()
                .find(|(of, _)| of == period.as_str())
                .map_or(0.0, |(_, ratio)| *ratio);
            self.llm_budget_used_ratio
                .with_label_values(&[period.as_str()])
                .set(ratio);
        }
        Ok(())
    }

    pub(crate) async fn read_llm_rates(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        for rate in llm_rates::list(pool).await? {
            let model = [rate.provider.as_str(), rate.model.as_str()];
            self.llm_rate_waiting
                .with_label_values(&model)
                .set(rate.waiting);
            self.llm_rate_oldest_wait_seconds
                .with_label_values(&model)
                .set(rate.oldest_seconds);
            for (unit, limit) in [
                ("requests", rate.requests_per_minute),
                ("tokens", rate.tokens_per_minute),
            ] {
                if let Some(limit) = limit {
                    self.llm_rate_limit
                        .with_label_values(&[&rate.provider, &rate.model, unit])
                        .set(limit);
                }
            }
        }
        Ok(())
    }

    /// Reads which models are not asked; those that `is_asked` does not know stop nobody.
    pub(crate) async fn read_llm_lanes(
        &self,
        pool: &PgPool,
        is_asked: impl Fn(&StoredLane) -> bool,
    ) -> Result<(), sqlx::Error> {
        for lane in llm_lanes::list(pool).await? {
            let is_configured = is_asked(&lane);
            let cause = lane
                .reason
                .as_deref()
                .filter(|_| is_configured)
                .map(cause_of);
            for known in ["operator", "provider"] {
                self.llm_lane_open
                    .with_label_values(&[&lane.provider, &lane.model, known])
                    .set(i64::from(cause == Some(known)));
            }
        }
        Ok(())
    }
}

/// Returns who must act before a model is asked again, a label value.
fn cause_of(reason: &str) -> &'static str {
    if STOPPING_CLASSES.contains(&reason) {
        "operator"
    } else {
        "provider"
    }
}
