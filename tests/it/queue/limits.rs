//! Limits on running jobs hold over all workers.

use super::*;
use crate::support::wait::SOON;
use queue::{
    claim::under_limits::claim_under_limits,
    operate::limits::{self, Limit, Scope},
};
use sqlx::Executor;

async fn limit(db: &TestDb, scope: Scope, name: impl ToString, max_running: i32) {
    let limit = Limit {
        scope,
        name: name.to_string(),
        max_running,
    };
    limits::set(db.pool(), &limit).await.unwrap();
}

async fn take_limited(db: &TestDb, limit: u32) -> Vec<Job> {
    take_in_turn(db, limit, &mut FairnessTurn::default()).await
}

async fn take_in_turn(db: &TestDb, limit: u32, turn: &mut FairnessTurn) -> Vec<Job> {
    let kinds = ["test.noop".to_owned(), "test.other".to_owned()];
    let request = Claim {
        worker: WorkerId::new(),
        queue: "test",
        kinds: &kinds,
        lease: LEASE,
        limit,
        turn: *turn,
        priorities: &[1, 2, 3, 4],
        capacity: &Capacity::UNLIMITED,
    };
    let batch = claim_under_limits(db.pool(), &request).await.unwrap();
    *turn = batch.turn;
    batch.jobs
}

async fn fill_both_kinds(db: &TestDb) {
    for _ in 0..10 {
        for kind in ["test.noop", "test.other"] {
            let job = NewJob {
                kind,
                ..new_job(TenantId::new())
            };
            put(db, &job).await.unwrap();
        }
    }
}

fn kinds_of(jobs: &[Job]) -> HashSet<&str> {
    jobs.iter().map(|job| job.kind.as_str()).collect()
}

async fn fill(db: &TestDb, tenant: TenantId, kind: &'static str) {
    for priority in [1, 3, 4] {
        for _ in 0..10 {
            let job = NewJob {
                kind,
                priority,
                ..new_job(tenant)
            };
            put(db, &job).await.unwrap();
        }
    }
}

#[tokio::test]
async fn queue_limit_holds_under_parallel_claims_and_is_freed_by_an_ended_job() {
    let db = TestDb::new().await;
    fill(&db, TenantId::new(), "test.noop").await;
    limit(&db, Scope::Queue, "test", 7).await;
    let (a, b, c) = tokio::join!(
        take_limited(&db, 5),
        take_limited(&db, 5),
        take_limited(&db, 5)
    );
    let running = [a, b, c].concat();
    assert_eq!(running.len(), 7);
    assert!(take_limited(&db, 5).await.is_empty());
    end(&db, running[0].lease, &succeeded()).await.unwrap();
    assert_eq!(take_limited(&db, 5).await.len(), 1);
}

#[tokio::test]
async fn kind_limit_leaves_other_kinds_alone() {
    let db = TestDb::new().await;
    fill(&db, TenantId::new(), "test.noop").await;
    fill(&db, TenantId::new(), "test.other").await;
    limit(&db, Scope::Kind, "test.noop", 4).await;
    let taken = take_limited(&db, 100).await;
    let of = |kind| taken.iter().filter(|job| job.kind == kind).count();
    assert_eq!((of("test.noop"), of("test.other")), (4, 30));
}

#[tokio::test]
async fn tenant_limit_counts_all_priorities_and_a_tenants_own_overrides_the_default() {
    let db = TestDb::new().await;
    let (plain, special) = (TenantId::new(), TenantId::new());
    fill(&db, plain, "test.noop").await;
    fill(&db, special, "test.noop").await;
    limit(&db, Scope::Tenant, "*", 3).await;
    limit(&db, Scope::Tenant, special.0, 12).await;
    let taken = take_limited(&db, 100).await;
    let of = |tenant| {
        taken
            .iter()
            .filter(|job| job.lease.tenant == tenant)
            .count()
    };
    assert_eq!((of(plain), of(special)), (3, 12));
    assert!(limits::remove(db.pool(), Scope::Tenant, "*").await.unwrap());
    assert_eq!(take_limited(&db, 100).await.len(), 27);
}

#[tokio::test]
async fn tenants_that_may_run_nothing_hold_up_no_other() {
    let db = TestDb::new().await;
    let mut tenants: Vec<_> = (0..200).map(|_| TenantId::new()).collect();
    tenants.sort_unstable();
    for tenant in &tenants {
        put(&db, &new_job(*tenant)).await.unwrap();
    }
    let (last, stopped) = tenants.split_last().unwrap();
    for tenant in stopped {
        limit(&db, Scope::Tenant, tenant, 0).await;
    }
    let taken = take_limited(&db, 5).await;
    let taken: Vec<_> = taken.iter().map(|job| job.lease.tenant).collect();
    assert_eq!(taken, [*last]);
    assert!(take_limited(&db, 5).await.is_empty(), "and it ends");
}

#[tokio::test]
async fn kinds_without_a_limit_of_their_own_are_claimed_together() {
    let db = TestDb::new().await;
    fill_both_kinds(&db).await;
    limit(&db, Scope::Kind, "test.absent", 1).await;
    // The tenants are served in turn, whatever kind their jobs are of.
    let taken = take_limited(&db, 5).await;
    assert_eq!(taken.len(), 5);
    assert_eq!(kinds_of(&taken).len(), 2);
}

#[tokio::test]
async fn kinds_with_limits_are_first_in_turn() {
    let db = TestDb::new().await;
    fill_both_kinds(&db).await;
    for kind in ["test.noop", "test.other"] {
        limit(&db, Scope::Kind, kind, 100).await;
    }
    let mut turn = FairnessTurn::default();
    let first = take_in_turn(&db, 5, &mut turn).await;
    let second = take_in_turn(&db, 5, &mut turn).await;
    assert_eq!((first.len(), second.len()), (5, 5));
    assert_ne!(kinds_of(&first), kinds_of(&second));
}

#[tokio::test]
async fn claim_of_an_empty_queue_waits_for_no_other_worker() {
    let db = TestDb::new().await;
    limit(&db, Scope::Queue, "test", 1).await;
    let mut other = db.pool().begin().await.unwrap();
    let lock = "select pg_advisory_xact_lock(hashtextextended('queue: claim under limits', 0))";
    other.execute(lock).await.unwrap();
    let claimed = tokio::time::timeout(SOON, take_limited(&db, 5)).await;
    assert!(claimed.expect("it waits for no lock").is_empty());
}
