//! Claims of a deep backlog continue from their cursor and miss no row behind it.

use super::*;
use crate::support::wait::{SOON, eventually};
use queue::claim::resume::{ScanCursor, resume_claim};
use queue::operate::pause;
use sqlx::{Connection, PgConnection, PgPool, postgres::PgPoolOptions};

/// The successive claims of a worker.
pub(super) struct Claims {
    turn: FairnessTurn,
    cursor: ScanCursor,
}

impl Claims {
    pub(super) fn new() -> Self {
        Self {
            turn: FairnessTurn::default(),
            cursor: ScanCursor::default(),
        }
    }

    async fn next(&mut self, db: &TestDb, limit: u32) -> Vec<Job> {
        self.next_of(db.pool(), limit).await
    }

    pub(super) async fn next_of(&mut self, pool: &PgPool, limit: u32) -> Vec<Job> {
        let kinds = ["test.noop".to_owned()];
        let request = Claim {
            worker: WorkerId::new(),
            queue: "test",
            kinds: &kinds,
            lease: LEASE,
            limit,
            turn: self.turn,
            priorities: &self.turn.priorities(),
            capacity: &Capacity::UNLIMITED,
        };
        let batch = resume_claim(pool, &request, &mut self.cursor)
            .await
            .unwrap();
        self.turn = batch.turn;
        batch.jobs
    }
}

async fn backlog(db: &TestDb, tenant: TenantId, jobs: usize) {
    let jobs: Vec<NewJob> = (0..jobs).map(|_| new_job(tenant)).collect();
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue_many(&mut conn, &jobs).await.unwrap();
}

#[tokio::test]
async fn two_workers_share_a_backlog_and_take_every_job_once() {
    let db = TestDb::new().await;
    for jobs in [700, 400, 20] {
        backlog(&db, TenantId::new(), jobs).await;
    }
    let (mut one, mut other) = (Claims::new(), Claims::new());
    let (mut seen, mut claims) = (HashSet::new(), 0);
    loop {
        let jobs = [one.next(&db, 50).await, other.next(&db, 50).await].concat();
        if jobs.is_empty() {
            break;
        }
        claims += 2;
        for job in jobs {
            assert!(seen.insert(job.lease.job), "claimed twice");
        }
    }
    assert_eq!(seen.len(), 1120);
    assert!(claims < 40, "claims are full: {claims}");
}

#[tokio::test]
async fn resumed_claim_starts_after_the_last_claimed_job() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    backlog(&db, tenant, 300).await;
    let mut claims = Claims::new();
    let first = claims.next(&db, 50).await;
    let second = claims.next(&db, 50).await;
    let last = first.iter().map(|job| (job.run_at, job.lease.job)).max();
    assert!(
        second
            .iter()
            .all(|job| Some((job.run_at, job.lease.job)) > last)
    );
    assert_eq!(second.len(), 50);
}

#[tokio::test]
async fn row_behind_the_cursor_is_found_although_the_backlog_never_ends() {
    let db = TestDb::new().await;
    backlog(&db, TenantId::new(), 2000).await;
    let mut claims = Claims::new();
    claims.next(&db, 10).await;
    // Of a tenant without a position.
    let late = new_job(TenantId::new());
    put(&db, &late).await.unwrap();
    eventually(SOON, async || {
        let jobs = claims.next(&db, 10).await;
        assert!(!jobs.is_empty(), "the backlog has ended");
        let found = jobs.iter().any(|job| job.lease.job == late.id);
        found
            .then_some(())
            .ok_or_else(|| "not claimed yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn empty_claim_means_that_no_row_waits_behind_the_cursor() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    backlog(&db, tenant, 20).await;
    let mut claims = Claims::new();
    assert_eq!(claims.next(&db, 10).await.len(), 10);
    assert_eq!(claims.next(&db, 10).await.len(), 10);
    let late = new_job(TenantId::new());
    put(&db, &late).await.unwrap();
    assert_eq!(claims.next(&db, 10).await[0].lease.job, late.id);
    assert!(claims.next(&db, 10).await.is_empty());
}

/// Makes a claim from the start reach its timeout, as dead tuples do.
async fn block_vacuum(db: &TestDb, claims: &mut Claims) {
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_pauses in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    claims.cursor = ScanCursor::default();
    let claim = claims.next(db, 10);
    let release = async {
        eventually(SOON, async || {
            let waits: bool = db
                .one(
                    "select coalesce(bool_or(now() - query_start > interval '500 ms'), false) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'",
                )
                .await;
            waits.then_some(()).ok_or_else(|| "it does not wait".to_owned())
        })
        .await;
        sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    };
    let (jobs, ()) = tokio::join!(claim, release);
    assert!(jobs.is_empty(), "no job waits yet");
    assert!(claims.cursor.rescan_in().is_some(), "vacuum is not blocked");
}

/// Claims until the job is found, without another claim from the start.
async fn found_by_scan(db: &TestDb, claims: &mut Claims, job: &NewJob) {
    eventually(SOON, async || {
        let jobs = claims.next(db, 10).await;
        assert!(
            claims.cursor.rescan_in().is_some(),
            "it claimed from the start"
        );
        let found = jobs.iter().any(|found| found.lease.job == job.id);
        found
            .then_some(())
            .ok_or_else(|| "not claimed yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn new_tenant_is_found_while_vacuum_is_blocked_and_then_served_at_once() {
    let db = TestDb::new().await;
    let mut claims = Claims::new();
    block_vacuum(&db, &mut claims).await;
    let tenant = TenantId::new();
    let first = new_job(tenant);
    put(&db, &first).await.unwrap();
    found_by_scan(&db, &mut claims, &first).await;
    let second = new_job(tenant);
    put(&db, &second).await.unwrap();
    let next = claims.next(&db, 10).await;
    assert_eq!(next.len(), 1, "a tenant with a position is served at once");
    assert_eq!(next[0].lease.job, second.id);
}

#[tokio::test]
async fn job_that_was_committed_late_is_found_while_vacuum_is_blocked() {
    let db = TestDb::new().await;
    let mut claims = Claims::new();
    block_vacuum(&db, &mut claims).await;
    let tenant = TenantId::new();
    let first = new_job(tenant);
    put(&db, &first).await.unwrap();
    found_by_scan(&db, &mut claims, &first).await;
    let late = new_job(tenant);
    put(&db, &late).await.unwrap();
    db.execute("update jobs set run_at = run_at - interval '1 hour' where state = 'available'")
        .await;
    found_by_scan(&db, &mut claims, &late).await;
}

#[tokio::test]
async fn jobs_in_every_part_of_the_table_are_claimed_once_while_vacuum_is_blocked() {
    let db = TestDb::new().await;
    let (mut one, mut other) = (Claims::new(), Claims::new());
    block_vacuum(&db, &mut one).await;
    block_vacuum(&db, &mut other).await;
    // More than the smallest scan of the table's tail reads: 256 blocks.
    let tenants: Vec<TenantId> = (0..300).map(|_| TenantId::new()).collect();
    let jobs: Vec<NewJob> = (0..9000).map(|n| new_job(tenants[n % 300])).collect();
    let mut conn = db.pool().acquire().await.unwrap();
    for batch in jobs.chunks(1000) {
        enqueue_many(&mut conn, batch).await.unwrap();
    }
    drop(conn);
    let mut seen = HashSet::new();
    eventually(SOON, async || {
        let jobs = [one.next(&db, 100).await, other.next(&db, 100).await].concat();
        for job in jobs {
            assert!(seen.insert(job.lease.job), "claimed twice");
        }
        (seen.len() == 9000)
            .then_some(())
            .ok_or_else(|| format!("{} were claimed", seen.len()))
    })
    .await;
}

#[tokio::test]
async fn costly_positions_are_dropped_and_their_jobs_still_found() {
    let db = TestDb::new().await;
    let mut claims = Claims::new();
    block_vacuum(&db, &mut claims).await;
    let tenant = TenantId::new();
    let first = new_job(tenant);
    put(&db, &first).await.unwrap();
    found_by_scan(&db, &mut claims, &first).await;
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_pauses in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    let hasty = PgPoolOptions::new().after_connect(|conn, _| {
        Box::pin(async move {
            let timeout = sqlx::raw_sql("set statement_timeout = 300");
            timeout.execute(conn).await.map(|_| ())
        })
    });
    let hasty = hasty.connect(&db.url()).await.unwrap();
    eventually(SOON, async || {
        let jobs = claims.next_of(&hasty, 10).await;
        assert!(jobs.is_empty(), "no job waits");
        let dropped = format!("{:?}", claims.cursor).contains("reached: {}");
        dropped
            .then_some(())
            .ok_or_else(|| "it continues from its cursor".to_owned())
    })
    .await;
    sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    let second = new_job(tenant);
    put(&db, &second).await.unwrap();
    eventually(SOON, async || {
        let jobs = claims.next(&db, 10).await;
        let found = jobs.iter().any(|found| found.lease.job == second.id);
        found
            .then_some(())
            .ok_or_else(|| "not claimed yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn paused_queue_is_not_claimed_while_vacuum_is_blocked() {
    let db = TestDb::new().await;
    let mut claims = Claims::new();
    block_vacuum(&db, &mut claims).await;
    let job = new_job(TenantId::new());
    put(&db, &job).await.unwrap();
    pause::pause(db.pool(), "test", "the provider is down")
        .await
        .unwrap();
    for _ in 0..5 {
        assert!(claims.next(&db, 10).await.is_empty());
    }
    assert!(pause::resume(db.pool(), "test").await.unwrap());
    eventually(SOON, async || {
        let jobs = claims.next(&db, 10).await;
        (jobs.len() == 1)
            .then_some(())
            .ok_or_else(|| "not claimed yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn quick_claim_from_the_start_ends_the_scans() {
    let db = TestDb::new().await;
    let mut claims = Claims::new();
    block_vacuum(&db, &mut claims).await;
    eventually(SOON, async || {
        claims.next(&db, 10).await;
        let over = claims.cursor.rescan_in().is_none();
        over.then_some(())
            .ok_or_else(|| "vacuum still counts as blocked".to_owned())
    })
    .await;
    put(&db, &new_job(TenantId::new())).await.unwrap();
    assert_eq!(claims.next(&db, 10).await.len(), 1);
}
