//! Statements that lock many rows lock them in one order, so that two of them wait for each other and never deadlock.

use super::*;
use crate::support::wait::{SOON, eventually};

#[tokio::test]
async fn renewal_and_batch_of_settles_of_the_same_jobs_do_not_deadlock() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    let (earlier, later) = (new_job(tenant), new_job(tenant));
    // The job with the higher id lies first.
    put(&db, &later).await.unwrap();
    put(&db, &earlier).await.unwrap();
    let jobs = take(&db, 2).await;
    let lies_last: uuid::Uuid = db
        .one("select id from jobs order by ctid desc limit 1")
        .await;
    assert_eq!(lies_last, earlier.id.0);
    let mut leases: Vec<_> = jobs.iter().map(|job| job.lease).collect();
    leases.sort_by_key(|lease| lease.job);

    let mut held = db.pool().begin().await.unwrap();
    sqlx::raw_sql(
        "select from jobs where id = (select id from jobs order by ctid desc limit 1) for update",
    )
    .execute(&mut *held)
    .await
    .unwrap();
    let waiting = async |statements: i64| {
        eventually(SOON, async || {
            let sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
            let found = db.one::<i64>(sql).await;
            (found == statements).then_some(()).ok_or_else(|| found.to_string())
        })
        .await;
    };
    let renewal = {
        let (pool, leases) = (db.pool().clone(), leases.clone());
        tokio::spawn(async move { lease::renew(&pool, &leases, LEASE).await })
    };
    waiting(1).await;
    let settles = {
        let (pool, mut jobs) = (db.pool().clone(), jobs);
        jobs.sort_by_key(|job| job.lease.job);
        tokio::spawn(async move {
            let output = json!(1);
            let succeeded: Vec<_> = jobs.iter().map(|job| (job, &output)).collect();
            settle_succeeded(&pool, &succeeded).await
        })
    };
    waiting(2).await;
    held.rollback().await.unwrap();
    assert_eq!(renewal.await.unwrap().unwrap().len(), 2);
    // A renewed row lies elsewhere: its job is settled in the batch or alone.
    settles.await.unwrap().unwrap();
}
