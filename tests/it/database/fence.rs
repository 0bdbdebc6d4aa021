//! A standby is promoted that had not heard of a claim: the next claim gets the same number, and only its holder writes.

use crate::support::TestDb;
use base::{JobId, TenantId, WorkerId};
use queue::{
    Failure, Lease, NewJob, Outcome, SettleError,
    claim::{Capacity, Claim, FairnessTurn, claim},
    enqueue::enqueue,
    lease::{lock_if_held, renew},
    settle, settle_succeeded,
};
use serde_json::json;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);

async fn take(db: &TestDb) -> Lease {
    let turn = FairnessTurn::default();
    let request = Claim {
        worker: WorkerId::new(),
        queue: "fence",
        kinds: &["fence.kind".to_owned()],
        lease: LEASE,
        limit: 1,
        turn,
        priorities: &turn.priorities(),
        capacity: &Capacity::UNLIMITED,
    };
    claim(db.pool(), &request).await.unwrap().jobs[0].lease
}

#[tokio::test]
async fn holder_of_a_claim_that_was_lost_writes_nothing_under_the_number_of_the_next() {
    let db = TestDb::new().await;
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &job()).await.unwrap();
    let lost = take(&db).await;
    // What the standby has instead of the claim.
    db.execute("update jobs set state = 'available', attempt = 0, worker_id = null, lease_until = null, started_at = null")
        .await;
    let held = take(&db).await;
    assert_eq!((lost.job, lost.attempt), (held.job, held.attempt));

    let kept = renew(db.pool(), &[lost, held], LEASE).await.unwrap();
    assert!(kept.contains(&held) && !kept.contains(&lost));
    assert!(!lock_if_held(&mut conn, lost).await.unwrap());
    let outcomes = [
        Outcome::Succeeded { output: json!(1) },
        Outcome::Retried { delay: LEASE },
        Outcome::Deferred { delay: LEASE },
        Outcome::Interrupted,
        Outcome::Discarded,
        Outcome::Waiting { children: 1 },
    ];
    for outcome in outcomes {
        let failure = Failure::interrupted();
        let settled = settle(&mut conn, lost, &outcome, Some(&failure)).await;
        assert!(
            matches!(settled, Err(SettleError::LeaseLost { .. })),
            "{outcome:?}: {settled:?}"
        );
    }
    let output = json!(1);
    let settled = settle_succeeded(db.pool(), &[(lost, &output)])
        .await
        .unwrap();
    assert!(settled.is_empty());
    let settled = settle_succeeded(db.pool(), &[(held, &output)])
        .await
        .unwrap();
    assert_eq!(settled.into_iter().collect::<Vec<_>>(), [held.job]);
}

fn job() -> NewJob {
    NewJob {
        id: JobId::new(),
        tenant: TenantId::new(),
        kind: "fence.kind",
        queue: "fence",
        priority: 3,
        args: json!({}),
        max_attempts: 3,
        run_at: None,
        external: None,
        dedupe: None,
        parent: None,
        request_id: None,
        client_request_id: None,
        traceparent: None,
    }
}
