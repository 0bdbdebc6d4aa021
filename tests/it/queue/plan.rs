//! Claims keep one plan, and it reads along the index whatever the statistics said when it was made.

use super::{resume::Claims, *};
use queue::TupleId;
use sqlx::{PgPool, Row, postgres::PgPoolOptions};

/// Jobs of three tenants that wait while a claim is counted.
const WAITING: &str = "insert into jobs (tenant_id, id, max_attempts, kind, queue, args, state)
    select ('00000000-0000-7000-8000-00000000000' || n % 3)::uuid, gen_random_uuid(), 3, 'test.noop', 'test', '{}', 'available'
    from generate_series(1, 20000) n";
const RUNNING: &str = "insert into jobs (tenant_id, id, max_attempts, kind, queue, args, state, attempt, worker_id, lease_until)
    select '00000000-0000-7000-8000-000000000001', gen_random_uuid(), 3, 'test.noop', 'test', '{}', 'running', 1,
           gen_random_uuid(), now() + interval '1 hour'
    from generate_series(1, 20000) n";

/// Counts the scans of the whole table and the rows that scans of its indexes fetched, up to now.
async fn scans(pool: &PgPool) -> (i64, i64) {
    sqlx::raw_sql("select pg_stat_force_next_flush()")
        .execute(pool)
        .await
        .unwrap();
    let row = sqlx::raw_sql(
        "select seq_scan, idx_tup_fetch from pg_stat_user_tables where relname = 'jobs'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    (row.get(0), row.get(1))
}

/// Plans claims while the table looks as `before` leaves it, and counts what they read once many jobs wait.
async fn claims_read_little_after(before: &[&str]) {
    let db = TestDb::new().await;
    let one = PgPoolOptions::new().max_connections(1);
    let pool = one.connect(&db.url()).await.unwrap();
    for sql in before {
        db.execute(sql).await;
    }
    // Often enough for Postgres to prefer a plan that it keeps, if it may.
    for _ in 0..8 {
        assert!(Claims::new().next_of(&pool, 10).await.is_empty());
    }
    db.execute(WAITING).await;
    let (whole, fetched) = scans(&pool).await;
    let mut claims = Claims::new();
    // The second continues after the first.
    for _ in 0..2 {
        assert_eq!(claims.next_of(&pool, 10).await.len(), 10);
    }
    let (whole_after, fetched_after) = scans(&pool).await;
    assert_eq!(whole_after - whole, 0, "scans of the whole table");
    let rows = fetched_after - fetched;
    assert!(rows < 200, "{rows} rows were read for 20 jobs");
}

#[tokio::test]
async fn claim_planned_on_an_empty_table_reads_along_the_index_when_it_is_full() {
    claims_read_little_after(&[]).await;
    claims_read_little_after(&["vacuum analyze jobs"]).await;
}

#[tokio::test]
async fn claim_planned_while_every_job_ran_reads_along_the_index() {
    claims_read_little_after(&[RUNNING]).await;
    claims_read_little_after(&[RUNNING, "analyze jobs"]).await;
}

#[tokio::test]
async fn claim_with_fresh_statistics_reads_along_the_index() {
    let db = TestDb::new().await;
    db.execute(WAITING).await;
    db.execute("vacuum analyze jobs").await;
    let one = PgPoolOptions::new().max_connections(1);
    let pool = one.connect(&db.url()).await.unwrap();
    let (whole, fetched) = scans(&pool).await;
    let mut claims = Claims::new();
    for _ in 0..8 {
        assert_eq!(claims.next_of(&pool, 10).await.len(), 10);
    }
    let (whole_after, fetched_after) = scans(&pool).await;
    assert_eq!(whole_after, whole, "scans of the whole table");
    let rows = fetched_after - fetched;
    assert!(rows < 800, "{rows} rows were read for 80 jobs");
}

#[tokio::test]
async fn functions_that_claim_and_settle_keep_their_plans() {
    let db = TestDb::new().await;
    let replanned: i64 = db
        .one(
            "select count(*) from pg_proc
             where proname in ('pick_jobs', 'pick_jobs_after', 'start_picked', 'settle_placed', 'finish_placed', 'settle_succeeded',
                 'finish_succeeded', 'settle_audited')
               and not proconfig @> array['plan_cache_mode=force_generic_plan']",
        )
        .await;
    assert_eq!(replanned, 0);
}

#[tokio::test]
async fn settle_planned_on_an_empty_table_looks_each_job_up_when_it_is_full() {
    for before in [
        &[][..],
        &["vacuum analyze jobs"],
        &[RUNNING, "analyze jobs"],
    ] {
        let db = TestDb::new().await;
        let one = PgPoolOptions::new().max_connections(1);
        let pool = one.connect(&db.url()).await.unwrap();
        put(&db, &new_job(TenantId::new())).await.unwrap();
        let unknown = take(&db, 1).await.remove(0);
        db.execute("delete from jobs").await;
        for sql in before {
            db.execute(sql).await;
        }
        let output = json!(1);
        for _ in 0..8 {
            let unsettled = settle_succeeded(&pool, &[(&unknown, &output)]).await;
            assert_eq!(unsettled.unwrap().len(), 1);
        }
        db.execute(WAITING).await;
        let mut jobs = Claims::new().next_of(&pool, 200).await;
        // Half of them have moved since.
        for job in jobs.iter_mut().step_by(2) {
            job.place = TupleId::default();
        }
        let succeeded: Vec<_> = jobs.iter().map(|job| (job, &output)).collect();
        let (whole, fetched) = scans(&pool).await;
        let unsettled = settle_succeeded(&pool, &succeeded).await.unwrap();
        assert!(unsettled.is_empty());
        let (whole_after, fetched_after) = scans(&pool).await;
        assert_eq!(whole_after - whole, 0, "scans of the whole table");
        let rows = fetched_after - fetched;
        let most = 2 * i64::try_from(jobs.len()).unwrap();
        assert!(
            rows <= most,
            "{rows} rows were read for {} jobs",
            jobs.len()
        );
    }
}
