//! Runs one attempt and settles it: span, timeout, panics, cancellation, lost leases, shutdown.
//!
//! See [`run_attempt`]. Every attempt is a task of its own, so that all cores are used. The task catches the handler's
//! panics and aborts the handler by dropping it.

use crate::runtime::{
    engine::{ClaimedJob, Engine},
    handler::{JobContext, RegisteredKind, Settlement},
    leases::AttemptSignal,
    reporter::Reporter,
    settle_attempt::{Unsettled, settle_attempt},
    storing::Storing,
};
use crate::{Failure, Job, Outcome, run::children};
use base::telemetry::{chain, export, millis, trace_id};
use chrono::TimeDelta;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long a handler may run after its token was set, before it is aborted.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a handler may run after its job was cancelled, to finish what it started.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Runs a claimed job and settles it. Never fails: the result is an outcome, or a lost lease.
pub async fn run_attempt(engine: Arc<Engine>, claimed: ClaimedJob) {
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
    attempt(&engine, &job, &signal).instrument(span).await;
    if !signal.lost.is_cancelled() {
        engine.leases.remove(&job.lease);
    }
    drop(slot);
}

/// Returns a job whose lease ran out while the database was unreachable. Otherwise a rescue would count a crash of this worker, and
/// after three outages the job would be taken for poison. Keeps the slot, because there is nothing to claim meanwhile.
async fn return_lapsed(engine: &Engine, job: &Arc<Job>) {
    let Some(kind) = engine.registry.get(&job.kind) else {
        return;
    };
    let failure = Failure::interrupted_by_outage();
    let never_lost = CancellationToken::new();
    match settle_attempt(engine, job, Err(&failure), &kind.retry_policy, &never_lost).await {
        Ok(_) => engine.notifier.job_available(&job.queue),
        // A worker that did not notice the outage was faster, or this one is stopping: the rescue does it.
        Err(error) => {
            tracing::info!(
                error = chain(&error),
                "the job was not returned after the outage"
            );
        }
    }
}

/// Returns a job that was claimed and has not started to the queue.
pub(crate) async fn hand_back(engine: &Arc<Engine>, claimed: ClaimedJob) {
    let ClaimedJob { job, slot, signal } = claimed;
    let Some(kind) = engine.registry.get(&job.kind) else {
        return;
    };
    let failure = Failure::interrupted();
    match settle_attempt(
        engine,
        &job,
        Err(&failure),
        &kind.retry_policy,
        &signal.lost,
    )
    .await
    {
        Ok(_) => engine.notifier.job_available(&job.queue),
        Err(error) => {
            tracing::warn!(error = chain(&error), job.id = %job.lease.job, "could not return a job to the queue; it comes back when its lease expires");
        }
    }
    engine.leases.remove(&job.lease);
    drop(slot);
}

async fn attempt(engine: &Arc<Engine>, job: &Arc<Job>, signal: &AttemptSignal) {
    let kind = engine
        .registry
        .get(&job.kind)
        .expect("only kinds with a handler are claimed");
    let metrics = &engine.metrics;
    let labels = [job.kind.as_str()];
    let running = metrics.jobs_running.with_label_values(&[kind.queue]);
    let waited = (job.started_at - job.run_at).max(TimeDelta::zero());
    metrics.jobs_started_total.with_label_values(&labels).inc();
    metrics
        .job_wait_seconds
        .with_label_values(&labels)
        .observe(waited.as_seconds_f64());
    running.inc();
    let started = Instant::now();
    let ended = match run_handler(engine, kind, job, signal).await {
        None => Err(Unsettled::LeaseLost),
        Some(result) => settle_result(engine, kind, job, result, &signal.lost).await,
    };
    running.dec();
    let duration = started.elapsed();
    metrics
        .job_run_seconds
        .with_label_values(&labels)
        .observe(duration.as_secs_f64());
    match ended {
        Ok(outcome) => {
            metrics
                .jobs_finished_total
                .with_label_values(&[&job.kind, outcome.label()])
                .inc();
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
            if !outcome.returns_to_queue() {
                resume_parent(engine, job).await;
            }
            let outcome = outcome.as_str();
            tracing::info!(outcome, duration_ms = millis(duration), "attempt ended");
        }
        Err(error) => {
            metrics.lease_lost_total.with_label_values(&labels).inc();
            tracing::warn!(
                outcome = "lease_lost",
                duration_ms = millis(duration),
                error = chain(&error),
                "lease lost during the attempt; its result is dropped"
            );
            if signal.lapsed.is_cancelled() {
                return_lapsed(engine, job).await;
            }
        }
    }
}

/// Resumes the parent if this was its last unfinished child. If the worker dies before, the next poll does it.
async fn resume_parent(engine: &Engine, job: &Job) {
    let Some(parent) = job.parent else {
        return;
    };
    match children::resume_parent(&engine.queue_pool, job.lease.tenant, parent).await {
        Ok(Some(queue)) => engine.notifier.job_available(&queue),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "could not resume the parent job; the next poll does"
            );
        }
    }
}

/// Runs the handler until it ends or must stop. Returns `None` if the lease was lost.
async fn run_handler(
    engine: &Arc<Engine>,
    kind: &RegisteredKind,
    job: &Arc<Job>,
    signal: &AttemptSignal,
) -> Option<Result<Settlement, Failure>> {
    let cancelled = CancellationToken::new();
    let context = JobContext {
        job: job.clone(),
        pool: engine.pool.clone(),
        clock: engine.clock.clone(),
        progress: Reporter::new(engine.queue_pool.clone(), job.lease, cancelled.clone()),
        cancelled: cancelled.clone(),
        storing: Storing::default(),
    };
    let mut handler = pin!(AssertUnwindSafe(kind.run(&context)).catch_unwind());
    let stopped = tokio::select! {
        // The handler's own end comes first if several things happen at once.
        biased;
        ended = &mut handler => return Some(ended.unwrap_or_else(|_| Err(panicked()))),
        () = signal.lost.cancelled() => None,
        () = signal.cancelled.cancelled() => {
            cancelled.cancel();
            return finish_cancelled(engine, handler, signal).await;
        }
        () = engine.grace_over.cancelled() => Some(Failure::interrupted()),
        never = context.storing.count_waits(&engine.database) => match never {},
        () = context.storing.time_limit(kind.timeout) => Some(Failure::transient(
            "timed_out",
            "The job took too long. It is tried again automatically.",
            format!("no result after {} s", kind.timeout.as_secs()),
        )),
    };
    // The handler may end in order before it is aborted, but its result is dropped.
    cancelled.cancel();
    let _dropped = tokio::time::timeout(CANCEL_TIMEOUT, handler).await;
    stopped.map(Err)
}

/// Gives the handler of a cancelled job time to finish. A result counts, or a completed effect would be reported as
/// cancelled. Returns `None` if the lease was lost meanwhile.
async fn finish_cancelled(
    engine: &Engine,
    handler: impl Future<Output = std::thread::Result<Result<Settlement, Failure>>>,
    signal: &AttemptSignal,
) -> Option<Result<Settlement, Failure>> {
    tokio::select! {
        biased;
        ended = handler => {
            let settlement = ended.ok().and_then(Result::ok);
            return Some(settlement.ok_or_else(Failure::cancelled));
        }
        () = signal.lost.cancelled() => return None,
        () = engine.grace_over.cancelled() => {}
        () = tokio::time::sleep(CANCEL_GRACE) => {}
    }
    Some(Err(Failure::cancelled()))
}

fn panicked() -> Failure {
    // The panic's message may quote the job's content; its location is in the log.
    Failure::transient(
        "internal_error",
        "Something went wrong on our side. The job is tried again automatically.",
        "the handler panicked",
    )
}

/// Settles the handler's result; if the database refuses its writes, settles that as a failure.
async fn settle_result(
    engine: &Engine,
    kind: &RegisteredKind,
    job: &Arc<Job>,
    result: Result<Settlement, Failure>,
    lost: &CancellationToken,
) -> Result<Outcome, Unsettled> {
    let policy = &kind.retry_policy;
    let settled = match result {
        Ok(settlement) => settle_attempt(engine, job, Ok(settlement), policy, lost).await,
        Err(failure) => {
            tracing::warn!(
                error_code = failure.code,
                detail = failure.detail,
                "attempt failed"
            );
            settle_attempt(engine, job, Err(&failure), policy, lost).await
        }
    };
    match settled {
        // The grace period ended while the database refused the outcome: return the job without it. If that is refused too,
        // the job comes back when its lease expires.
        Err(Unsettled::Refused) => {
            settle_attempt(engine, job, Err(&Failure::interrupted()), policy, lost).await
        }
        Err(error @ Unsettled::Writes(_)) => {
            tracing::error!(
                error = chain(&error),
                "the database refused the attempt's writes; the attempt counts as failed"
            );
            let failure = Failure::transient(
                "internal_error",
                "Something went wrong on our side. The job is tried again automatically.",
                "the database refused the attempt's writes",
            );
            settle_attempt(engine, job, Err(&failure), policy, lost).await
        }
        settled => settled,
    }
}
