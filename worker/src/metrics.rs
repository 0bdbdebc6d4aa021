//! What this process counts. A field's comment is its HELP text; labels come from closed sets only.

use jobs::{
    db,
    domain::connection::{ConnectionStatus, Provider},
    queue::{
        listen::Listener,
        stats::{self, LIVE_STATES},
    },
    store::{connections, effects},
};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use sqlx::PgPool;

/// Waits and runs last from milliseconds to minutes.
const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0,
];

/// The worker's metrics, registered in one registry.
#[derive(Clone)]
pub struct WorkerMetrics {
    pub registry: Registry,
    /// Attempts begun.
    pub jobs_started_total: IntCounterVec,
    /// Attempts ended, by what they ended in.
    pub jobs_finished_total: IntCounterVec,
    /// Time a job could have been claimed and was not, in seconds.
    pub job_wait_seconds: HistogramVec,
    /// Time an attempt took, in seconds.
    pub job_run_seconds: HistogramVec,
    /// Jobs running in this process.
    pub jobs_running: IntGaugeVec,
    /// Jobs this process may run at the same time.
    pub worker_slots: IntGaugeVec,
    /// Attempts whose lease was taken over: their results were dropped.
    pub lease_lost_total: IntCounterVec,
    /// Jobs found with an expired lease, by what became of them.
    pub jobs_rescued_total: IntCounterVec,
    /// Looks into the queue, by what they brought.
    pub claims_total: IntCounterVec,
    /// Whether claims have to step around what vacuum may not remove (1).
    pub claims_amid_litter: IntGaugeVec,
    /// Approvals that nobody decided in time.
    pub approvals_expired_total: IntCounter,
    /// Time it took to write an attempt's end, retries included, in seconds.
    pub settle_seconds: Histogram,
    /// Jobs in the queue by state, as one worker counted them for all.
    pub queue_depth: IntGaugeVec,
    /// Since when the longest waiting job could have been claimed, in seconds; 0 if none waits.
    pub queue_oldest_available_age_seconds: GaugeVec,
    /// Effects that may have been done, and nobody knows: all workers report the same number.
    pub effects_unknown: IntGauge,
    /// Accounts of users by whether they can be used: all workers report the same numbers.
    pub connections: IntGaugeVec,
    /// Connections of this process to the database.
    pub db_pool_connections: IntGaugeVec,
    /// Whether notifications are heard (1) or the process lives by polling (0).
    pub listener_alive: IntGauge,
    /// Which models answer: 1 for the mode this process runs in.
    pub llm_mode: IntGaugeVec,
}

impl WorkerMetrics {
    /// # Errors
    /// If a name is registered twice, which is a mistake in the code.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let histograms = |name: &str, help: &str| {
            let metric = HistogramVec::new(
                HistogramOpts::new(name, help).buckets(SECONDS.to_vec()),
                &["kind"],
            )?;
            registry.register(Box::new(metric.clone()))?;
            Ok::<_, prometheus::Error>(metric)
        };
        let settle_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "settle_seconds",
                "Time it took to write an attempt's end, retries included, in seconds.",
            )
            .buckets(SECONDS.to_vec()),
        )?;
        registry.register(Box::new(settle_seconds.clone()))?;
        let effects_unknown = IntGauge::new(
            "effects_unknown",
            "Effects that may have been done, and nobody knows: all workers report the same number.",
        )?;
        registry.register(Box::new(effects_unknown.clone()))?;
        let approvals_expired_total = IntCounter::new(
            "approvals_expired_total",
            "Approvals that nobody decided in time.",
        )?;
        registry.register(Box::new(approvals_expired_total.clone()))?;
        let listener_alive = IntGauge::new(
            "listener_alive",
            "Whether notifications are heard (1) or the process lives by polling (0).",
        )?;
        registry.register(Box::new(listener_alive.clone()))?;
        let oldest_age = GaugeVec::new(
            Opts::new(
                "queue_oldest_available_age_seconds",
                "Since when the longest waiting job could have been claimed, in seconds; 0 if none waits.",
            ),
            &["queue"],
        )?;
        registry.register(Box::new(oldest_age.clone()))?;
        Ok(Self {
            jobs_started_total: counters("jobs_started_total", "Attempts begun.", &["kind"])?,
            jobs_finished_total: counters(
                "jobs_finished_total",
                "Attempts ended, by what they ended in.",
                &["kind", "outcome"],
            )?,
            job_wait_seconds: histograms(
                "job_wait_seconds",
                "Time a job could have been claimed and was not, in seconds.",
            )?,
            job_run_seconds: histograms("job_run_seconds", "Time an attempt took, in seconds.")?,
            jobs_running: gauges("jobs_running", "Jobs running in this process.", &["queue"])?,
            worker_slots: gauges(
                "worker_slots",
                "Jobs this process may run at the same time.",
                &["queue"],
            )?,
            lease_lost_total: counters(
                "lease_lost_total",
                "Attempts whose lease was taken over: their results were dropped.",
                &["kind"],
            )?,
            jobs_rescued_total: counters(
                "jobs_rescued_total",
                "Jobs found with an expired lease, by what became of them.",
                &["outcome"],
            )?,
            claims_total: counters(
                "claims_total",
                "Looks into the queue, by what they brought.",
                &["queue", "result"],
            )?,
            claims_amid_litter: gauges(
                "claims_amid_litter",
                "Whether claims have to step around what vacuum may not remove (1).",
                &["queue"],
            )?,
            approvals_expired_total,
            settle_seconds,
            queue_depth: gauges(
                "queue_depth",
                "Jobs in the queue by state, as one worker counted them for all.",
                &["queue", "state"],
            )?,
            queue_oldest_available_age_seconds: oldest_age,
            db_pool_connections: gauges(
                "db_pool_connections",
                "Connections of this process to the database.",
                &["state"],
            )?,
            connections: gauges(
                "connections",
                "Accounts of users by whether they can be used: all workers report the same numbers.",
                &["provider", "status"],
            )?,
            effects_unknown,
            listener_alive,
            llm_mode: gauges(
                "llm_mode",
                "Which models answer: 1 for the mode this process runs in.",
                &["mode"],
            )?,
            registry,
        })
    }

    /// Creates the series that alerts watch before anything happened to them: a counter that appears with its first
    /// fault shows no increase for it.
    pub fn declare(&self, kinds: &[&str], queues: &[&str]) {
        for kind in kinds {
            self.jobs_started_total.with_label_values(&[kind]);
            self.lease_lost_total.with_label_values(&[kind]);
            for outcome in [
                "succeeded",
                "retried",
                "snoozed",
                "waiting",
                "interrupted",
                "discarded",
                "cancelled",
            ] {
                self.jobs_finished_total.with_label_values(&[kind, outcome]);
            }
        }
        for outcome in ["retried", "discarded", "cancelled"] {
            self.jobs_rescued_total.with_label_values(&[outcome]);
        }
        for queue in queues {
            self.jobs_running.with_label_values(&[queue]);
            self.claims_amid_litter.with_label_values(&[queue]);
            for result in ["jobs", "empty", "error"] {
                self.claims_total.with_label_values(&[queue, result]);
            }
        }
    }

    /// Brings the gauges up to date that are read rather than counted.
    ///
    /// # Errors
    /// If the last sample cannot be read; the other gauges are set all the same.
    pub async fn refresh(
        &self,
        pool: &PgPool,
        listener: &Listener,
        queues: &[&str],
    ) -> Result<(), sqlx::Error> {
        let connections = db::connections(pool);
        self.db_pool_connections
            .with_label_values(&["idle"])
            .set(connections.idle);
        self.db_pool_connections
            .with_label_values(&["used"])
            .set(connections.used);
        self.listener_alive.set(i64::from(listener.is_alive()));
        self.effects_unknown
            .set(effects::count_unknown(pool).await?);
        let counted = connections::count(pool).await?;
        for provider in Provider::ALL {
            for status in ConnectionStatus::ALL {
                let count = counted
                    .iter()
                    .find(|(of, is, _)| (of, is) == (provider, status))
                    .map_or(0, |(_, _, count)| *count);
                self.connections
                    .with_label_values(&[provider.as_str(), status.as_str()])
                    .set(count);
            }
        }
        let sample = stats::read_sample(pool).await?;
        for queue in queues {
            for state in LIVE_STATES {
                let depth = sample
                    .iter()
                    .find(|depth| depth.queue == *queue && depth.state == state.as_str());
                self.queue_depth
                    .with_label_values(&[queue, state.as_str()])
                    .set(depth.map_or(0, |depth| depth.jobs));
            }
            let age = sample
                .iter()
                .filter(|depth| depth.queue == *queue)
                .find_map(|depth| depth.oldest_age_seconds);
            self.queue_oldest_available_age_seconds
                .with_label_values(&[queue])
                .set(age.unwrap_or(0.0).max(0.0));
        }
        Ok(())
    }
}
