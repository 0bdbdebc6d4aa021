//! A worker that begins to execute an approval and a person who revokes it lock approval and job in one order, so that neither
//! fails by a deadlock.

use super::{decide, propose};
use crate::support::{TestDb, system::TestApi, wait::statement_waits};
use base::WorkerId;
use jobs::{
    commands::approvals::execute::begin, domain::ApprovalId, kinds::action::ActionExecute,
    store::approvals,
};
use queue::{
    Job, JobKind,
    claim::{self, Claim},
    run::cancel::{Cancelled, cancel},
};
use std::time::Duration;

async fn claimed(db: &TestDb) -> Job {
    let kinds = [ActionExecute::NAME.to_owned()];
    let wanted = Claim {
        queue: ActionExecute::QUEUE,
        kinds: &kinds,
        worker: WorkerId::new(),
        lease: Duration::from_secs(30),
        limit: 1,
        turn: claim::FairnessTurn::default(),
        priorities: &[1, 2, 3, 4],
        capacity: &claim::Capacity::UNLIMITED,
    };
    let mut claimed = claim::claim(db.pool(), &wanted).await.unwrap();
    claimed.jobs.pop().unwrap()
}

#[tokio::test]
async fn approval_is_revoked_at_the_moment_in_which_a_worker_begins_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let text = propose(&db, client.tenant, "Pay").await;
    assert_eq!(decide(&client, &text, "approve", 1).await.status, 200);
    let (id, job): (ApprovalId, Job) = (text.parse().unwrap(), claimed(&db).await);

    let mut person = db.pool().begin().await.unwrap();
    approvals::lock(&mut person, client.tenant, id)
        .await
        .unwrap();
    let begun = {
        let (pool, job) = (db.pool().clone(), job.clone());
        tokio::spawn(async move { begin(&pool, &job, id, 1).await.map(drop) })
    };
    statement_waits(&db).await;
    let cancelled = cancel(&mut person, client.tenant, job.lease.job).await;
    assert_eq!(cancelled.unwrap(), Cancelled::Requested);
    person.rollback().await.unwrap();
    begun.await.unwrap().unwrap();
}
