//! Cancellation of running jobs, and workers that stop while jobs run.

use super::*;
use queue::run::cancel::{Cancelled, cancel};
use std::time::Instant;

/// Requests a cancellation without a notification: the worker must find it by polling.
async fn cancel_silently(db: &TestDb, job: &NewJob) {
    let mut conn = db.pool().acquire().await.unwrap();
    let cancelled = cancel(&mut conn, job.tenant, job.id).await.unwrap();
    assert_eq!(cancelled, Cancelled::Requested);
}

async fn started(running: &Running, starts: usize) {
    until("the handlers have started", async || {
        running.starts() == starts
    })
    .await;
}

#[tokio::test]
async fn cancellation_reaches_a_running_job_within_a_second_without_a_notification() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "cooperates").await;
    started(&running, 1).await;
    let asked = Instant::now();
    cancel_silently(&db, &job).await;
    let seen = finished(&db, &job).await;
    assert_eq!(seen.state, JobState::Cancelled);
    assert!(asked.elapsed() < Duration::from_secs(3), "{asked:?}");
    let audited: String = db
        .one("select action || ' ' || error_code from audit_entries")
        .await;
    assert_eq!(audited, "job.cancelled cancelled");
    running.stop().await;
}

#[tokio::test]
async fn notified_cancellation_reaches_a_running_job_without_a_poll() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "cooperates").await;
    started(&running, 1).await;
    // Only notified, not stored: a poll would find nothing.
    running.worker.notifier.cancel_requested(job.id);
    assert_eq!(finished(&db, &job).await.state, JobState::Cancelled);
    running.stop().await;
}

#[tokio::test]
async fn handler_that_ignores_its_cancellation_is_aborted_after_the_grace_period() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let job = put(&db, "waits").await;
    started(&running, 1).await;
    cancel_silently(&db, &job).await;
    assert_eq!(finished(&db, &job).await.state, JobState::Cancelled);
    running.stop().await;
}

#[tokio::test]
async fn stopping_with_a_hundred_running_jobs_counts_no_attempt_and_loses_no_job() {
    let db = TestDb::new().await;
    let running = start(&db, &[("WORKER_SLOTS", "100")]).await;
    for _ in 0..100 {
        put(&db, "cooperates").await;
    }
    started(&running, 100).await;
    running.worker.stopping.cancel();
    running.worker.grace_over.cancel();
    running.ended.await.unwrap().unwrap();
    let waiting: i64 = db
        .one("select count(*) from jobs where state = 'available' and errors = 0 and crashes = 0")
        .await;
    assert_eq!(waiting, 100);
    let interrupted: i64 = db
        .one("select count(*) from job_attempts where outcome = 'interrupted'")
        .await;
    assert_eq!(interrupted, 100);
}

#[tokio::test]
async fn retry_runs_when_it_is_due_and_not_only_at_the_next_poll() {
    let db = TestDb::new().await;
    let running = start(
        &db,
        &[
            ("WORKER_POLL_SECONDS", "20"),
            ("WORKER_LEASE_SECONDS", "60"),
        ],
    )
    .await;
    let job = put(&db, "flaky").await;
    running.worker.wake("test");
    assert_eq!(finished(&db, &job).await.state, JobState::Succeeded);
    running.stop().await;
}

#[tokio::test]
async fn output_that_postgres_cannot_store_fails_alone_and_not_its_batch() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let (bad, good) = (put(&db, "unstorable").await, put(&db, "plain").await);
    assert_eq!(finished(&db, &good).await.state, JobState::Succeeded);
    assert_eq!(finished(&db, &bad).await.state, JobState::Discarded);
    running.stop().await;
}

#[tokio::test]
async fn idle_worker_stops_without_waiting_for_a_timeout() {
    let db = TestDb::new().await;
    let running = start(&db, &[]).await;
    let stopping = Instant::now();
    running.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(3));
}
