//! A worker whose looks are cut off, as they are where vacuum may not remove what is gone.

use super::*;
use base::WorkerId;
use queue::claim::{Claim, Room, Turn, claim};
use sqlx::Connection;

/// A job of a worker that died two hours ago.
async fn lost_job(db: &TestDb) -> NewJob {
    let job = put(db, "plain").await;
    let kinds = ["test.probe".to_owned()];
    let request = Claim {
        worker: WorkerId::new(),
        queue: "test",
        kinds: &kinds,
        lease: SOON,
        limit: 1,
        turn: Turn::default(),
        priorities: &Turn::default().priorities(),
        room: &Room::UNLIMITED,
    };
    let claimed = claim(db.pool(), &request).await.unwrap();
    assert_eq!(claimed.jobs.len(), 1);
    db.execute("update jobs set lease_until = now() - interval '2 hours'")
        .await;
    job
}

#[tokio::test]
async fn job_of_a_worker_that_died_long_ago_is_taken_back_although_looks_at_all_leases_are_cut_off()
{
    let db = TestDb::new().await;
    let lost = lost_job(&db).await;
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_limits in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    let running = start(&db, &[]).await;
    let mut first = String::new();
    until("a look was cut off and the next one waits", async || {
        let began: String = db
            .one(
                "select coalesce(min(query_start)::text, '') from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await;
        if first.is_empty() {
            first.clone_from(&began);
        }
        !began.is_empty() && began != first
    })
    .await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    assert_eq!(finished(&db, &lost).await.state, JobState::Succeeded);
    running.stop().await;
}

#[tokio::test]
async fn worker_whose_claims_are_cut_off_says_so_serves_its_jobs_and_says_when_it_is_over() {
    let db = TestDb::new().await;
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_pauses in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    let running = start(&db, &[]).await;
    let said = |amid: i64| {
        let gauge = running
            .metrics
            .runtime
            .claims_vacuum_blocked
            .with_label_values(&["test"]);
        until("it is said", async move || gauge.get() == amid)
    };
    said(1).await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    let job = put(&db, "plain").await;
    assert_eq!(finished(&db, &job).await.state, JobState::Succeeded);
    said(0).await;
    running.stop().await;
}
