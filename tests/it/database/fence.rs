//! A standby is promoted that had not heard of a claim: the next claim gets the same number, and only its holder writes.

use crate::support::TestDb;
use base::{JobId, TenantId, WorkerId};
use queue::{
    Failure, Job, NewJob, Outcome, SettleError,
    claim::{Capacity, Claim, FairnessTurn, claim},
    enqueue::enqueue,
    lease::{lock_if_held, renew},
    settle, settle_succeeded,
};
use serde_json::json;
use std::{collections::HashSet, time::Duration};

const LEASE: Duration = Duration::from_secs(30);

async fn take(db: &TestDb) -> Job {
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
    claim(db.pool(), &request).await.unwrap().jobs.remove(0)
}

#[tokio::test]
async fn holder_of_a_claim_that_was_lost_writes_nothing_under_the_number_of_the_next() {
    let db = TestDb::new().await;
    let mut conn = db.pool().acquire().await.unwrap();
    enqueue(&mut conn, &job()).await.unwrap();
    let lost_job = take(&db).await;
    let lost = lost_job.lease;
    // What the standby has instead of the claim.
    db.execute("update jobs set state = 'available', attempt = 0, worker_id = null, lease_until = null, started_at = null")
        .await;
    let held_job = take(&db).await;
    let held = held_job.lease;
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
    // Where the older one left the row, and where it lies now.
    for place in [lost_job.place, held_job.place] {
        let late = Job {
            place,
            ..lost_job.clone()
        };
        let unsettled = settle_succeeded(db.pool(), &[(&late, &output)]).await;
        assert_eq!(unsettled.unwrap(), HashSet::from([lost.job]));
    }
    let unsettled = settle_succeeded(db.pool(), &[(&held_job, &output)]).await;
    assert!(unsettled.unwrap().is_empty());
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
