//! Settles an attempt: its outcome, the handler's writes, its follow-up jobs and the recorder's entries commit together.
//!
//! See [`settle_attempt`]. Retries while the lease holds; an attempt that lost its lease writes nothing.

use crate::runtime::{
    database_state::RefusedOutcome,
    engine::Engine,
    handler::{SettleWrites, Settlement},
    recorder::{EndedAttempt, is_repeated},
};
use crate::{
    EnqueueError, Failure, FailureClass, Job, NewJob, Outcome, RetryPolicy, SettleError, Settled,
    enqueue::{bulk::enqueue_many, dedupe::SUPERSEDED},
    lease,
    run::cancel::CANCELLED,
    settle,
};
use base::{
    db::{self, Unavailability},
    telemetry::{chain, millis},
};
use sqlx::PgConnection;
use std::{collections::BTreeSet, time::Duration};
use tokio_util::sync::CancellationToken;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// The attempt was not settled.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    #[error("the lease was lost")]
    LeaseLost,
    #[error("the process is ending")]
    Ending,
    /// The database refused the outcome until the grace period was over.
    #[error("the database refused the outcome until the worker had to stop")]
    Refused,
    /// The handler's writes failed with an error that a retry does not mend.
    #[error("could not apply the writes of the attempt")]
    Writes(#[source] sqlx::Error),
}

/// Settles an attempt and returns its outcome.
///
/// # Errors
/// [`Unsettled::Writes`] if the handler's writes are wrong: settle the attempt as failed instead.
/// [`Unsettled::Refused`] if the database does not serve and the worker must stop: return the job instead.
pub async fn settle_attempt(
    engine: &Engine,
    job: &Job,
    result: Result<&Settlement, &Failure>,
    policy: &RetryPolicy,
    lost: &CancellationToken,
) -> Result<Outcome, Unsettled> {
    // Boxed, because the future of every attempt would otherwise have its size: moving that around took a third of the
    // worker's time.
    Box::pin(settle_while_held(engine, job, result, policy, lost)).await
}

async fn settle_while_held(
    engine: &Engine,
    job: &Job,
    result: Result<&Settlement, &Failure>,
    policy: &RetryPolicy,
    lost: &CancellationToken,
) -> Result<Outcome, Unsettled> {
    // Decided once, so that a settle whose reply was lost is recognised.
    let mut decided = None;
    let _timer = engine.metrics.settle_seconds.start_timer();
    let mut retry = FIRST_RETRY;
    let mut refused: Option<RefusedOutcome<'_>> = None;
    loop {
        // Not raced against the loss of the lease: a commit in flight must be awaited, or its result would be unknown.
        let tried = async {
            let outcome = match decided.take() {
                Some(outcome) => outcome,
                None => outcome_of(engine, job, result, policy).await?,
            };
            match try_settle(engine, job, &outcome, result).await {
                Ok(settled) => Ok((settled, outcome)),
                Err(error) => {
                    decided = Some(outcome);
                    Err(error)
                }
            }
        };
        match tried.await {
            Ok((settled, outcome)) => {
                if let Some(writes) = writes_of(result) {
                    writes.committed();
                }
                notify_follow_ups(engine, settled, result);
                if let Settled::WrittenReplacing(older) = settled {
                    engine.notifier.job_finished(older);
                }
                return Ok(
                    if matches!(settled, Settled::Superseded | Settled::Cancelled) {
                        Outcome::Cancelled
                    } else {
                        outcome
                    },
                );
            }
            Err(TryError::Settle(SettleError::LeaseLost { .. })) => {
                return Err(Unsettled::LeaseLost);
            }
            // An output that Postgres refuses (a NUL in a string) is an error of the handler like a refused write.
            Err(
                TryError::Writes(error)
                | TryError::Settle(SettleError::Database { source: error, .. }),
            ) if !db::is_transient(&error) => {
                return Err(Unsettled::Writes(error));
            }
            Err(TryError::FollowUps(error)) => {
                return Err(Unsettled::Writes(sqlx::Error::Encode(Box::new(error))));
            }
            Err(error) => {
                if let Some(reason) = error.unavailability() {
                    let unserved = !reason.may_concern_one_statement();
                    if refused.as_ref().map(RefusedOutcome::is_unserved) != Some(unserved) {
                        refused = Some(engine.database.refuse(reason));
                    }
                }
                tracing::warn!(
                    error = chain(&error),
                    retry_ms = millis(retry),
                    "could not settle the attempt; retrying"
                );
            }
        }
        tokio::select! {
            () = lost.cancelled() => return Err(Unsettled::LeaseLost),
            () = engine.grace_over.cancelled() => return Err(Unsettled::Refused),
            () = tokio::time::sleep(retry) => retry = (retry * 2).min(LAST_RETRY),
        }
    }
}

/// Decides the outcome. Reads what the job may fail if this failure would be its last.
async fn outcome_of(
    engine: &Engine,
    job: &Job,
    result: Result<&Settlement, &Failure>,
    policy: &RetryPolicy,
) -> Result<Outcome, TryError> {
    let draw = rand::random();
    match result {
        Ok(Settlement {
            follow_ups,
            waits: true,
            ..
        }) => Ok(Outcome::Waiting {
            children: i32::try_from(follow_ups.len()).unwrap_or(i32::MAX),
        }),
        // The handler may have renewed what the job may fail since it was claimed.
        Err(failure) if failure.class == FailureClass::Transient && job.is_last_attempt() => {
            let allowed = lease::max_attempts(&engine.queue_pool, job.lease)
                .await
                .map_err(TryError::Decide)?;
            let job = Job {
                max_attempts: allowed.unwrap_or(job.max_attempts),
                ..job.clone()
            };
            Ok(Outcome::from_attempt(Err(failure), &job, policy, draw))
        }
        other => {
            let output = other.map(|settlement| settlement.output.clone());
            Ok(Outcome::from_attempt(output, job, policy, draw))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("could not read how often the job may fail")]
    Decide(#[source] sqlx::Error),
    #[error("could not begin or commit")]
    Transaction(#[source] sqlx::Error),
    #[error("could not write the outcome")]
    Settle(#[source] SettleError),
    #[error("could not apply the handler's writes")]
    Writes(#[source] sqlx::Error),
    #[error("could not enqueue the follow-up jobs")]
    FollowUps(#[source] EnqueueError),
    #[error("could not record the attempt")]
    Record(#[source] sqlx::Error),
}

impl TryError {
    /// Why the database does not serve; `None` if the next try may well succeed.
    fn unavailability(&self) -> Option<Unavailability> {
        match self {
            Self::Decide(error)
            | Self::Transaction(error)
            | Self::Writes(error)
            | Self::Record(error) => Unavailability::of(error),
            Self::Settle(SettleError::Database { source, .. }) => Unavailability::of(source),
            Self::Settle(SettleError::LeaseLost { .. }) | Self::FollowUps(_) => None,
        }
    }
}

async fn try_settle(
    engine: &Engine,
    job: &Job,
    outcome: &Outcome,
    result: Result<&Settlement, &Failure>,
) -> Result<Settled, TryError> {
    let mut transaction = engine.pool.begin().await.map_err(TryError::Transaction)?;
    let settled = settle(&mut transaction, job.lease, outcome, result.err())
        .await
        .map_err(TryError::Settle)?;
    if settled != Settled::AlreadySettled {
        enqueue_follow_ups(&mut transaction, job, settled, result).await?;
        if let Some(writes) = writes_of(result) {
            writes
                .apply(&mut transaction, job)
                .await
                .map_err(TryError::Writes)?;
        }
        let repeats = settled == Settled::Written
            && is_repeated(&mut transaction, job, outcome, result.err())
                .await
                .map_err(TryError::Record)?;
        if let Some(recorder) = &engine.recorder
            && !repeats
        {
            recorder
                .record(
                    &mut transaction,
                    &ended(job, outcome, settled, result.err()),
                )
                .await
                .map_err(TryError::Record)?;
        }
    }
    transaction.commit().await.map_err(TryError::Transaction)?;
    Ok(settled)
}

/// Enqueues the follow-up jobs; none if the job was cancelled instead of waiting.
async fn enqueue_follow_ups(
    conn: &mut PgConnection,
    job: &Job,
    settled: Settled,
    result: Result<&Settlement, &Failure>,
) -> Result<(), TryError> {
    let follow_ups: Vec<NewJob> = follow_ups_of(settled, result)
        .iter()
        .map(|follow_up| NewJob {
            parent: Some(job.lease.job),
            request_id: job.request_id.clone(),
            traceparent: job.traceparent.clone(),
            ..follow_up.clone()
        })
        .collect();
    if follow_ups.is_empty() {
        return Ok(());
    }
    let enqueued = enqueue_many(conn, &follow_ups)
        .await
        .map_err(|error| TryError::Writes(error.into()))?;
    // A name that a caller gave to other work must not undo what this job has done: that work stands for the follow-up.
    let refused = enqueued
        .into_iter()
        .filter_map(Result::err)
        .find(|error| !matches!(error, EnqueueError::KeyReused { .. }));
    refused.map_or(Ok(()), |error| Err(TryError::FollowUps(error)))
}

fn follow_ups_of<'a>(settled: Settled, result: Result<&'a Settlement, &Failure>) -> &'a [NewJob] {
    match (settled, result) {
        (Settled::Superseded | Settled::Cancelled, _) | (_, Err(_)) => &[],
        (
            Settled::Written | Settled::WrittenReplacing(_) | Settled::AlreadySettled,
            Ok(settlement),
        ) => &settlement.follow_ups,
    }
}

fn notify_follow_ups(engine: &Engine, settled: Settled, result: Result<&Settlement, &Failure>) {
    let queues: BTreeSet<&str> = follow_ups_of(settled, result)
        .iter()
        .map(|follow_up| follow_up.queue)
        .collect();
    for queue in queues {
        engine.notifier.job_available(queue);
    }
}

fn writes_of<'a>(result: Result<&'a Settlement, &Failure>) -> Option<&'a dyn SettleWrites> {
    result.ok()?.writes.as_deref()
}

/// Describes the attempt for the recorder, and the older job that it superseded, if any.
fn ended(
    job: &Job,
    outcome: &Outcome,
    settled: Settled,
    failure: Option<&Failure>,
) -> Vec<EndedAttempt> {
    let cancelled = |code| EndedAttempt {
        code: Some(code),
        ..EndedAttempt::of(job, &Outcome::Cancelled, None)
    };
    match settled {
        Settled::Superseded => vec![cancelled(SUPERSEDED)],
        Settled::Cancelled => vec![cancelled(CANCELLED)],
        Settled::Written | Settled::AlreadySettled => vec![EndedAttempt::of(job, outcome, failure)],
        Settled::WrittenReplacing(older) => vec![
            EndedAttempt::of(job, outcome, failure),
            EndedAttempt::superseded(job.lease.tenant, older, Some(job.lease.worker)),
        ],
    }
}
