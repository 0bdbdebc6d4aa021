//! The runtime's metrics. A field's doc comment is its HELP text; labels come from closed sets only.

use crate::{
    operate::duties,
    signals::listener::Listener,
    view::stats::{self, LIVE_STATES},
};
use base::prometheus::{Histogram, IntCounter, IntGauge};
use base::{db, metrics::SECONDS};
use sqlx::PgPool;

base::metrics! {
    /// The runtime's metrics; the program adds its own to the same registry.
    pub struct RuntimeMetrics {
        /// Attempts started.
        jobs_started_total: IntCounterVec [kind],
        /// Attempts ended, by outcome.
        jobs_finished_total: IntCounterVec [kind, outcome],
        /// Time between a job becoming due and its claim, in seconds.
        job_wait_seconds: HistogramVec [kind] = SECONDS,
        /// Duration of attempts, in seconds.
        job_run_seconds: HistogramVec [kind] = SECONDS,
        /// Running jobs of this process.
        jobs_running: IntGaugeVec [queue],
        /// Jobs that this process may run at the same time.
        worker_slots: IntGaugeVec [queue],
        /// Attempts whose lease was lost; their results were dropped.
        lease_lost_total: IntCounterVec [kind],
        /// Jobs rescued from dead workers, by outcome.
        jobs_rescued_total: IntCounterVec [outcome],
        /// Claims, by result.
        claims_total: IntCounterVec [queue, result],
        /// Whether a long-running transaction blocks vacuum, so that claims are slower (1).
        claims_vacuum_blocked: IntGaugeVec [queue],
        /// Attempts whose outcome the database refuses to store; they wait and are not lost.
        outcomes_refused: IntGauge,
        /// Time to write an attempt's outcome, including retries, in seconds.
        settle_seconds: Histogram = SECONDS,
        /// Jobs by queue and state, as counted by one worker for all.
        queue_depth: IntGaugeVec [queue, state],
        /// Time since the oldest available job became due, in seconds; 0 if none waits.
        queue_oldest_available_age_seconds: GaugeVec [queue],
        /// Time since the jobs were counted for queue_depth, in seconds; large if they cannot be counted.
        queue_sample_age_seconds: GaugeVec [queue],
        /// Time for which a retention duty has not caught up, in seconds; 0 while it keeps up. All workers report the same.
        retention_behind_seconds: GaugeVec [duty],
        /// Runs of maintenance duties by this process that failed or took too long.
        duty_failures_total: IntCounterVec [duty],
        /// Database connections of this process.
        db_pool_connections: IntGaugeVec [state],
        /// Whether the listener is up (1) or the process only polls (0).
        listener_alive: IntGauge,
    }
}

/// The series of one kind that every attempt writes: a look-up by labels costs more than the update.
pub struct KindMetrics {
    pub(super) started: IntCounter,
    pub(super) wait_seconds: Histogram,
    pub(super) running: IntGauge,
    pub(super) run_seconds: Histogram,
    pub(super) succeeded: IntCounter,
}

impl RuntimeMetrics {
    /// Looks up the series of a kind, which runs in this queue.
    pub(super) fn of_kind(&self, kind: &str, queue: &str) -> KindMetrics {
        KindMetrics {
            started: self.jobs_started_total.with_label_values(&[kind]),
            wait_seconds: self.job_wait_seconds.with_label_values(&[kind]),
            running: self.jobs_running.with_label_values(&[queue]),
            run_seconds: self.job_run_seconds.with_label_values(&[kind]),
            succeeded: self
                .jobs_finished_total
                .with_label_values(&[kind, "succeeded"]),
        }
    }

    /// Creates the series that alerts watch: a counter that appears with its first fault shows no increase for it.
    pub fn declare(&self, kinds: &[&str], queues: &[&str], duties: &[&str]) {
        for duty in duties {
            self.duty_failures_total.with_label_values(&[duty]);
        }
        for kind in kinds {
            self.jobs_started_total.with_label_values(&[kind]);
            self.lease_lost_total.with_label_values(&[kind]);
            for outcome in [
                "succeeded",
                "retried",
                "snoozed",
                "deferred",
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
            self.claims_vacuum_blocked.with_label_values(&[queue]);
            for result in ["jobs", "empty", "error"] {
                self.claims_total.with_label_values(&[queue, result]);
            }
        }
    }

    /// Updates the gauges of this process that are read rather than counted.
    pub fn refresh(&self, pool: &PgPool, listener: &Listener) {
        let connections = db::connections(pool);
        self.db_pool_connections
            .with_label_values(&["idle"])
            .set(connections.idle);
        self.db_pool_connections
            .with_label_values(&["used"])
            .set(connections.used);
        self.listener_alive.set(i64::from(listener.is_alive()));
    }

    /// Reads from the database how far retention is behind.
    pub async fn refresh_retention(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        for lag in duties::retention_lag(pool).await? {
            self.retention_behind_seconds
                .with_label_values(&[&lag.duty])
                .set(lag.seconds);
        }
        Ok(())
    }

    /// Reads the last sample of the queues from the database.
    pub async fn refresh_queues(&self, pool: &PgPool, queues: &[&str]) -> Result<(), sqlx::Error> {
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
            let sampled = sample.iter().find(|depth| depth.queue == *queue);
            self.queue_sample_age_seconds
                .with_label_values(&[queue])
                // Infinite if the jobs were never counted.
                .set(sampled.map_or(f64::INFINITY, |depth| depth.sample_age_seconds.max(0.0)));
        }
        Ok(())
    }
}
