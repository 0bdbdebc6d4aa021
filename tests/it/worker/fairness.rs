//! A single job of one tenant beside the backlog of another.

use super::*;
use queue::enqueue::bulk::enqueue_many;

#[tokio::test]
async fn job_of_a_second_tenant_starts_within_two_seconds_of_a_backlog_of_100_000() {
    let db = TestDb::new().await;
    let busy = TenantId::new();
    let mut conn = db.pool().acquire().await.unwrap();
    for _ in 0..20 {
        let jobs: Vec<NewJob> = (0..5000)
            .map(|_| NewJob::of::<Probe>(busy, &"naps".to_owned()).unwrap())
            .collect();
        enqueue_many(&mut conn, &jobs).await.unwrap();
    }
    drop(conn);
    let running = start(&db, &[("WORKER_SLOTS", "16")]).await;
    until("all slots are busy with the backlog", async || {
        running.starts() >= 32
    })
    .await;
    let small = put(&db, "naps").await;
    let seen = finished(&db, &small).await;
    let waited = seen.started_at.unwrap() - seen.created_at;
    assert!(waited < chrono::TimeDelta::seconds(2), "{waited}");
    running.stop().await;
}
