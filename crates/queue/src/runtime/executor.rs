//! One attempt: span, timeout, panic, loss of the lease, shutdown → outcome → settle.
//!
//! See [`run_attempt`]. Every attempt is a task of its own, so that all cores are used; the handler runs inside of it,
//! where its panic is caught, and is aborted by being dropped.

use crate::runtime::{
    engine::{Claimed, Engine, Word},
    handler::{JobContext, Registered, Settlement},
    reporter::Reporter,
    settle_attempt::{Unsettled, settle_attempt},
};
use crate::{Failure, Job, Outcome, run::children};
use base::telemetry::{chain, millis, trace_id};
use chrono::TimeDelta;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long a handler may take to heed its cancellation before it is aborted.
const HEED: Duration = Duration::from_millis(500);
/// How long a handler may go on after its job was cancelled, to leave things in order.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Runs a claimed job to its settled end. Never fails: whatever happens is an outcome, or a lease that another has.
pub async fn run_attempt(engine: Arc<Engine>, claimed: Claimed) {
    let Claimed { job, slot, word } = claimed;
    let trace = job.traceparent.as_deref().and_then(trace_id);
    let span = tracing::info_span!(
        "job.attempt",
        job.id = %job.lease.job,
        job.kind = job.kind,
        attempt = job.lease.attempt,
        tenant.id = %job.tenant,
        request_id = job.request_id,
        trace_id = trace,
    );
    attempt(&engine, &job, &word).instrument(span).await;
    engine.held.remove(&job.lease);
    drop(slot);
}

/// Gives back a job that was claimed and never started.
pub(crate) async fn hand_back(engine: &Arc<Engine>, claimed: Claimed) {
    let Claimed { job, slot, word } = claimed;
    let Some(kind) = engine.registry.get(&job.kind) else {
        return;
    };
    let failure = Failure::interrupted();
    match settle_attempt(engine, &job, Err(&failure), &kind.retry_policy, &word.lost).await {
        Ok(_) => engine.notifier.job_available(&job.queue),
        Err(error) => {
            tracing::warn!(error = chain(&error), job.id = %job.lease.job, "could not hand a job back");
        }
    }
    engine.held.remove(&job.lease);
    drop(slot);
}

async fn attempt(engine: &Arc<Engine>, job: &Arc<Job>, word: &Word) {
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
    let ended = match run_handler(engine, kind, job, word).await {
        None => Err(Unsettled::LeaseLost),
        Some(result) => settle_result(engine, kind, job, result, &word.lost).await,
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
                .with_label_values(&[&job.kind, outcome.as_str()])
                .inc();
            match outcome {
                Outcome::Succeeded { .. } | Outcome::Discarded | Outcome::Cancelled => {
                    engine.notifier.job_finished(job.lease.job);
                }
                // Its children were announced with the settle.
                Outcome::Waiting { .. } => {}
                Outcome::Interrupted => engine.notifier.job_available(&job.queue),
                Outcome::Retried { .. } | Outcome::Snoozed { .. } => {
                    engine.rescheduled.notify_one();
                }
            }
            if !outcome.comes_back() {
                wake_parent(engine, job).await;
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
                "attempt ended without a lease; its result is dropped"
            );
        }
    }
}

/// Lets the parent go on if this was the last of its children. A worker that dies before has the next look do it.
async fn wake_parent(engine: &Engine, job: &Job) {
    let Some(parent) = job.parent else {
        return;
    };
    match children::wake(&engine.queue_pool, job.tenant, parent).await {
        Ok(Some(queue)) => engine.notifier.job_available(&queue),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, "could not wake a parent; it goes on with the next look");
        }
    }
}

/// Runs the handler until it ends or must; `None` when the lease was lost.
async fn run_handler(
    engine: &Arc<Engine>,
    kind: &Registered,
    job: &Arc<Job>,
    word: &Word,
) -> Option<Result<Settlement, Failure>> {
    let cancelled = CancellationToken::new();
    let context = JobContext {
        job: job.clone(),
        pool: engine.pool.clone(),
        clock: engine.clock.clone(),
        progress: Reporter::new(engine.queue_pool.clone(), job.lease, cancelled.clone()),
        cancelled: cancelled.clone(),
    };
    let mut handler = pin!(AssertUnwindSafe(kind.run(&context)).catch_unwind());
    let stopped = tokio::select! {
        // Its own end counts before anything that happened at the same moment.
        biased;
        ended = &mut handler => return Some(ended.unwrap_or_else(|_| Err(panicked()))),
        () = word.lost.cancelled() => None,
        () = word.cancelled.cancelled() => {
            cancelled.cancel();
            return heed(engine, handler, word).await;
        }
        () = engine.grace_over.cancelled() => Some(Failure::interrupted()),
        () = tokio::time::sleep(kind.timeout) => Some(Failure::transient(
            "timed_out",
            "The job took longer than it may; it will be tried again.",
            format!("no end after {} s", kind.timeout.as_secs()),
        )),
    };
    // First a word, then force: a handler between two steps may end in order, but nothing of it is used any more.
    cancelled.cancel();
    let _used_by_nobody = tokio::time::timeout(HEED, handler).await;
    stopped.map(Err)
}

/// Gives a cancelled handler time to end as it sees fit: what it completes counts, or a mail that was sent would be told
/// to have been cancelled. `None` when the lease was lost meanwhile.
async fn heed(
    engine: &Engine,
    handler: impl Future<Output = std::thread::Result<Result<Settlement, Failure>>>,
    word: &Word,
) -> Option<Result<Settlement, Failure>> {
    tokio::select! {
        biased;
        ended = handler => {
            let settlement = ended.ok().and_then(Result::ok);
            return Some(settlement.ok_or_else(Failure::cancelled));
        }
        () = word.lost.cancelled() => return None,
        () = engine.grace_over.cancelled() => {}
        () = tokio::time::sleep(CANCEL_GRACE) => {}
    }
    Some(Err(Failure::cancelled()))
}

fn panicked() -> Failure {
    // The payload may quote what was being worked on; where it happened is in the log.
    Failure::transient(
        "internal_error",
        "Something went wrong on our side; the job will be tried again.",
        "the handler panicked",
    )
}

/// Settles what the handler brought; if its writes are at fault, settles that as the failure it is.
async fn settle_result(
    engine: &Engine,
    kind: &Registered,
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
        Err(error @ Unsettled::Writes(_)) => {
            tracing::error!(
                error = chain(&error),
                "the attempt's writes were refused by the database"
            );
            let failure = Failure::transient(
                "internal_error",
                "Something went wrong on our side; the job will be tried again.",
                "the attempt's writes were refused",
            );
            settle_attempt(engine, job, Err(&failure), policy, lost).await
        }
        settled => settled,
    }
}
