//! A worker that begins to execute an approval and a person who revokes it lock approval and job in one order, so that neither
//! fails by a deadlock.

use super::{decide, propose};
use crate::support::{TestDb, claim::claim_job, system::TestApi, wait::statement_waits};
use jobs::{
    commands::approvals::execute::begin, domain::ApprovalId, kinds::action::ActionExecute,
    store::approvals,
};
use queue::{
    Job, JobKind,
    run::cancel::{Cancelled, cancel},
};

#[tokio::test]
async fn approval_is_revoked_at_the_moment_in_which_a_worker_begins_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let text = propose(&db, client.tenant, "Pay").await;
    assert_eq!(decide(&client, &text, "approve", 1).await.status, 200);
    let (id, job): (ApprovalId, Job) = (
        text.parse().unwrap(),
        claim_job(&db, (ActionExecute::QUEUE, ActionExecute::NAME)).await,
    );

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
