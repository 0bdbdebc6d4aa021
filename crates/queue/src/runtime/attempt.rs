//! [`Attempt`]: an attempt from its start until its outcome is written: what is counted, logged and released.

use crate::runtime::{
    engine::{ClaimedJob, Engine},
    leases::AttemptSignal,
    settle_attempt::Unsettled,
};
use crate::{Job, Outcome};
use base::telemetry::{chain, export, millis, trace_id};
use chrono::TimeDelta;
use std::{sync::Arc, time::Duration};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tracing::Span;

/// An attempt that has started. When it is dropped, its lease and its slot are free.
pub(super) struct Attempt {
    pub(super) engine: Arc<Engine>,
    pub(super) job: Arc<Job>,
    pub(super) signal: Arc<AttemptSignal>,
    pub(super) span: Span,
    started: Instant,
    /// Released last.
    _slot: OwnedSemaphorePermit,
}

impl Attempt {
    /// Counts the start of a claimed job.
    pub(super) fn start(engine: Arc<Engine>, claimed: ClaimedJob) -> Self {
        let ClaimedJob { job, slot, signal } = claimed;
        let trace = job.traceparent.as_deref().and_then(trace_id);
        let span = tracing::info_span!(
            "job.attempt",
            job.id = %job.lease.job,
            job.kind = job.kind,
            attempt = job.lease.attempt,
            tenant.id = %job.lease.tenant,
            request_id = job.request_id,
            trace_id = trace,
            otel.kind = "consumer",
        );
        export::join(&span, job.traceparent.as_deref());
        let metrics = engine.metrics_of(&job.kind);
        let waited = (job.started_at - job.run_at).max(TimeDelta::zero());
        metrics.started.inc();
        metrics.wait_seconds.observe(waited.as_seconds_f64());
        metrics.running.inc();
        Self {
            engine,
            job,
            signal,
            span,
            started: Instant::now(),
            _slot: slot,
        }
    }

    /// Counts an outcome that was written, and notifies those who wait for it.
    pub(super) fn settled(&self, outcome: &Outcome) {
        let (engine, job) = (&self.engine, &self.job);
        let duration = self.ran();
        let metrics = engine.metrics_of(&job.kind);
        match outcome {
            Outcome::Succeeded { .. } => metrics.succeeded.inc(),
            other => engine
                .metrics
                .jobs_finished_total
                .with_label_values(&[&job.kind, other.label()])
                .inc(),
        }
        match outcome {
            Outcome::Succeeded { .. } | Outcome::Discarded | Outcome::Cancelled => {
                engine.notifier.job_finished(job.lease.job);
            }
            // The settle has notified workers of its children.
            Outcome::Waiting { .. } => {}
            Outcome::Interrupted => engine.notifier.job_available(&job.queue),
            Outcome::Retried { .. } | Outcome::Snoozed { .. } | Outcome::Deferred { .. } => {
                engine.rescheduled.notify_one();
            }
        }
        let outcome = outcome.as_str();
        tracing::info!(outcome, duration_ms = millis(duration), "attempt ended");
    }

    /// Counts an attempt whose outcome was not written.
    pub(super) fn lost(&self, error: &Unsettled) {
        let duration = self.ran();
        let lost = &self.engine.metrics.lease_lost_total;
        lost.with_label_values(&[&self.job.kind]).inc();
        tracing::warn!(
            outcome = "lease_lost",
            duration_ms = millis(duration),
            error = chain(error),
            "lease lost during the attempt; its result is dropped"
        );
    }

    fn ran(&self) -> Duration {
        let duration = self.started.elapsed();
        let metrics = self.engine.metrics_of(&self.job.kind);
        metrics.running.dec();
        metrics.run_seconds.observe(duration.as_secs_f64());
        duration
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.signal.lost.is_cancelled() {
            self.engine.leases.remove(&self.job.lease);
        }
    }
}
