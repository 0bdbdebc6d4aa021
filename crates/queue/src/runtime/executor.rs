//! Runs one attempt and settles it: span, timeout, panics, cancellation, lost leases, shutdown.
//!
//! See [`run_attempt`]. Every attempt is a task of its own, so that all cores are used. The task catches the handler's
//! panics and aborts the handler by dropping it.

use crate::runtime::{
    attempt::Attempt,
    engine::{ClaimedJob, Engine},
    handler::{JobContext, RegisteredKind, Settlement},
    leases::AttemptSignal,
    reporter::Reporter,
    settle_attempt::{Unsettled, settle_attempt},
    settle_batch::BatchReply,
    storing::Storing,
};
use crate::{Failure, Job, Outcome, run::children};
use base::telemetry::chain;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long a handler may run after its token was set, before it is aborted.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a handler may run after its job was cancelled, to finish what it started.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Runs a claimed job and settles it, or leaves that to the batcher. Never fails: the result is an outcome, or a lost lease.
pub async fn run_attempt(engine: Arc<Engine>, claimed: ClaimedJob) {
    let attempt = Attempt::start(engine, claimed);
    let span = attempt.span.clone();
    run(attempt).instrument(span).await;
}

async fn run(attempt: Attempt) {
    let engine = attempt.engine.clone();
    let kind = engine
        .registry
        .get(&attempt.job.kind)
        .expect("only kinds with a handler are claimed");
    let ended = match run_handler(&engine, kind, &attempt.job, &attempt.signal).await {
        None => Err(Unsettled::LeaseLost),
        Some(Ok(settlement)) if settlement.is_plain() => {
            let (batcher, job) = (&engine.batcher, attempt.job.clone());
            batcher.settle(job, settlement.output, |reply| end_batched(attempt, reply));
            return;
        }
        Some(result) => settle_result(&attempt, result).await,
    };
    Box::pin(end(attempt, ended)).await;
}

/// Ends an attempt that was in a batch. What takes longer has a task of its own.
fn end_batched(attempt: Attempt, reply: BatchReply) {
    let (span, tracker) = (attempt.span.clone(), attempt.engine.tracker.clone());
    match reply {
        BatchReply::Settled(output) => {
            let outcome = Outcome::Succeeded { output };
            if attempt.job.parent.is_none() {
                span.in_scope(|| attempt.settled(&outcome));
            } else {
                tracker.spawn(end(attempt, Ok(outcome)).instrument(span));
            }
        }
        // To learn why.
        BatchReply::SettleAlone(output) => {
            let alone = async move {
                let settled = settle_result(&attempt, Ok(Settlement::of(output))).await;
                end(attempt, settled).await;
            };
            tracker.spawn(alone.instrument(span));
        }
    }
}

/// Counts and reports the end of the attempt, and does what follows from it.
async fn end(attempt: Attempt, ended: Result<Outcome, Unsettled>) {
    match ended {
        Ok(outcome) => {
            attempt.settled(&outcome);
            if !outcome.returns_to_queue() {
                resume_parent(&attempt.engine, &attempt.job).await;
            }
        }
        Err(error) => {
            attempt.lost(&error);
            if attempt.signal.lapsed.is_cancelled() {
                return_lapsed(&attempt.engine, &attempt.job).await;
            }
        }
    }
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
    attempt: &Attempt,
    result: Result<Settlement, Failure>,
) -> Result<Outcome, Unsettled> {
    let (engine, job, lost) = (&*attempt.engine, &*attempt.job, &attempt.signal.lost);
    let kind = engine.registry.get(&job.kind);
    let policy = &kind
        .expect("only kinds with a handler are claimed")
        .retry_policy;
    if let Err(failure) = &result {
        tracing::warn!(
            error_code = failure.code,
            detail = failure.detail,
            "attempt failed"
        );
    }
    let settled = settle_attempt(engine, job, result.as_ref(), policy, lost).await;
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
