//! Claims of a deep backlog go on from where they were, and miss nothing that lies behind them.

use super::*;
use crate::support::wait::{SOON, eventually};
use jobs::queue::onward::{Marks, claim_onward};
use sqlx::{Connection, PgConnection};

/// A worker's claims, one after the other.
struct Claims {
    turn: Turn,
    marks: Marks,
}

impl Claims {
    fn new() -> Self {
        Self {
            turn: Turn::default(),
            marks: Marks::default(),
        }
    }

    async fn next(&mut self, db: &TestDb, limit: u32) -> Vec<Job> {
        let kinds = ["test.noop".to_owned()];
        let request = Claim {
            worker: WorkerId::new(),
            queue: "test",
            kinds: &kinds,
            lease: LEASE,
            limit,
            turn: self.turn,
            priorities: &self.turn.priorities(),
            room: &Room::UNLIMITED,
        };
        let claimed = claim_onward(db.pool(), &request, &mut self.marks)
            .await
            .unwrap();
        self.turn = claimed.turn;
        claimed.jobs
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
    assert!(claims < 40, "claims bring what they can: {claims}");
}

#[tokio::test]
async fn onward_claim_steps_over_nothing_that_was_claimed_before() {
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
async fn job_behind_the_marks_is_found_although_the_backlog_never_ends() {
    let db = TestDb::new().await;
    backlog(&db, TenantId::new(), 2000).await;
    let mut claims = Claims::new();
    claims.next(&db, 10).await;
    // Of a tenant that has no mark.
    let late = new_job(TenantId::new());
    put(&db, &late).await.unwrap();
    eventually(SOON, async || {
        let jobs = claims.next(&db, 10).await;
        assert!(!jobs.is_empty(), "the backlog is over");
        let found = jobs.iter().any(|job| job.lease.job == late.id);
        found
            .then_some(())
            .ok_or_else(|| "not claimed yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn empty_claim_means_that_there_is_nothing_also_behind_the_marks() {
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

/// Makes a claim from the start take long, once.
async fn slow_claim(db: &TestDb, claims: &mut Claims, limit: u32) -> Vec<Job> {
    let mut holder = PgConnection::connect(&db.url()).await.unwrap();
    let lock = sqlx::raw_sql("begin; lock table queue_pauses in access exclusive mode");
    lock.execute(&mut holder).await.unwrap();
    let waited = async {
        eventually(SOON, async || {
            let long: bool = db
                .one(
                    "select coalesce(bool_or(now() - query_start > interval '300 ms'), false) from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'",
                )
                .await;
            long.then_some(()).ok_or_else(|| "it does not wait".to_owned())
        })
        .await;
        sqlx::raw_sql("commit").execute(&mut holder).await.unwrap();
    };
    tokio::join!(claims.next(db, limit), waited).0
}

#[tokio::test]
async fn looks_from_the_start_that_take_long_are_had_seldom_and_hide_nothing_for_ever() {
    let db = TestDb::new().await;
    let (known, new) = (TenantId::new(), TenantId::new());
    let mut claims = Claims::new();
    for _ in 0..2 {
        backlog(&db, known, 1).await;
        assert_eq!(slow_claim(&db, &mut claims, 10).await.len(), 1);
    }
    assert!(claims.marks.put_off().is_some());
    let hidden = new_job(new);
    put(&db, &hidden).await.unwrap();
    assert!(claims.next(&db, 10).await.is_empty(), "it has looked");
    backlog(&db, known, 1).await;
    let next = claims.next(&db, 10).await;
    assert_eq!(
        next.len(),
        1,
        "whose jobs were seen before is found at once"
    );
    assert_eq!(next[0].tenant, known);
    eventually(SOON, async || {
        let jobs = claims.next(&db, 10).await;
        let found = jobs.iter().any(|job| job.lease.job == hidden.id);
        found
            .then_some(())
            .ok_or_else(|| "not claimed yet".to_owned())
    })
    .await;
    assert!(claims.marks.put_off().is_none(), "it was quick again");
}
