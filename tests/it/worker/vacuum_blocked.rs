//! A worker whose polls and claims time out, as they do while vacuum is blocked.

use super::*;
use crate::support::claim::claim_job;
use sqlx::Connection;

/// Enqueues and claims a job whose lease expired two hours ago.
async fn lost_job(db: &TestDb) -> NewJob {
    let job = put(db, "plain").await;
    claim_job(db, (Probe::QUEUE, Probe::NAME)).await;
    db.execute("update jobs set lease_until = now() - interval '2 hours'")
        .await;
    job
}

#[tokio::test]
async fn job_of_a_long_dead_worker_is_rescued_although_polls_of_all_leases_time_out() {
    let db = TestDb::new().await;
    let lost = lost_job(&db).await;
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_limits in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    let running = start(&db, &[]).await;
    let mut first = String::new();
    until("a poll timed out and the next one waits", async || {
        let started: String = db
            .one(
                "select coalesce(min(query_start)::text, '') from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await;
        if first.is_empty() {
            first.clone_from(&started);
        }
        !started.is_empty() && started != first
    })
    .await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    assert_eq!(finished(&db, &lost).await.state, JobState::Succeeded);
    running.stop().await;
}

#[tokio::test]
async fn worker_shows_in_its_metrics_while_vacuum_is_blocked_and_runs_its_jobs() {
    let db = TestDb::new().await;
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_pauses in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    let running = start(&db, &[]).await;
    let shown = |blocked: i64| {
        let gauge = running
            .metrics
            .runtime
            .claims_vacuum_blocked
            .with_label_values(&["test"]);
        until("the gauge is set", async move || gauge.get() == blocked)
    };
    shown(1).await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    let job = put(&db, "plain").await;
    assert_eq!(finished(&db, &job).await.state, JobState::Succeeded);
    shown(0).await;
    running.stop().await;
}
