//! Fairness: tenants are served in turn, priorities in order, and none of them starves.

use super::*;
use std::collections::HashMap;

/// Claims several times, as a worker does.
async fn claims(db: &TestDb, limit: u32, times: usize) -> Vec<Vec<Job>> {
    let kinds = ["test.noop".to_owned()];
    let mut turn = FairnessTurn::default();
    let mut all = Vec::new();
    for _ in 0..times {
        let request = Claim {
            worker: WorkerId::new(),
            queue: "test",
            kinds: &kinds,
            lease: LEASE,
            limit,
            turn,
            priorities: &turn.priorities(),
            capacity: &Capacity::UNLIMITED,
        };
        let claimed = claim(db.pool(), &request).await.unwrap();
        turn = claimed.turn;
        all.push(claimed.jobs);
    }
    all
}

async fn backlog(db: &TestDb, tenant: TenantId, priority: i16, jobs: usize) {
    let jobs: Vec<NewJob> = (0..jobs)
        .map(|_| NewJob {
            priority,
            ..new_job(tenant)
        })
        .collect();
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue_many(&mut conn, &jobs).await.unwrap();
}

#[tokio::test]
async fn backlog_of_a_tenant_delays_the_job_of_another_by_one_claim() {
    let db = TestDb::new().await;
    let (busy, small) = (TenantId::new(), TenantId::new());
    backlog(&db, busy, 3, 5000).await;
    claims(&db, 1, 3).await;
    let job = new_job(small);
    put(&db, &job).await.unwrap();
    let next = claims(&db, 1, 2).await.concat();
    assert!(next.iter().any(|claimed| claimed.lease.job == job.id));
}

#[tokio::test]
async fn large_claim_is_shared_evenly_between_tenants() {
    let db = TestDb::new().await;
    let tenants: Vec<TenantId> = (0..5).map(|_| TenantId::new()).collect();
    for tenant in &tenants {
        backlog(&db, *tenant, 3, 100).await;
    }
    let mut shares: HashMap<TenantId, usize> = HashMap::new();
    for job in claims(&db, 50, 1).await.concat() {
        *shares.entry(job.lease.tenant).or_default() += 1;
    }
    assert_eq!(shares.len(), 5);
    assert!(shares.values().all(|share| *share == 10), "{shares:?}");
}

#[tokio::test]
async fn claims_go_round_more_tenants_than_one_claim_reads() {
    let db = TestDb::new().await;
    let tenants: Vec<TenantId> = (0..70).map(|_| TenantId::new()).collect();
    for tenant in &tenants {
        backlog(&db, *tenant, 3, 2).await;
    }
    let served: HashSet<TenantId> = claims(&db, 1, 70)
        .await
        .concat()
        .iter()
        .map(|job| job.lease.tenant)
        .collect();
    assert_eq!(
        served.len(),
        70,
        "each tenant is served once before any is served twice"
    );
}

#[tokio::test]
async fn least_urgent_job_is_not_starved_by_a_backlog_of_urgent_ones() {
    let db = TestDb::new().await;
    let tenant = TenantId::new();
    backlog(&db, tenant, 1, 100).await;
    backlog(&db, tenant, 4, 1).await;
    let order: Vec<i16> = claims(&db, 1, 16)
        .await
        .concat()
        .iter()
        .map(|job| job.priority)
        .collect();
    assert_eq!(order[0], 1, "the urgent ones come first");
    assert!(order.contains(&4), "{order:?}");
}
