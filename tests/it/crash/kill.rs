//! kill -9: the worker between claim and settle, the worker inside its settlement, the API inside a submission.

use super::*;
use crate::support::system::Api;
use reqwest::StatusCode;

#[tokio::test]
async fn worker_killed_between_claim_and_settle_leaves_a_job_that_ends_once() {
    let db = TestDb::new().await;
    let model = FakeModel::start([holds(), says()]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let mut first = model.worker(&db, &[]).await;
    let id = client.submitted(&mail(), "killed-worker").await;
    model.asked(1).await;
    first.process.kill();

    let _second = model.worker(&db, &[]).await;
    let job = assert_ended_once(&db, &client, &id).await;
    assert_eq!(job["output"]["source"], "llm", "{job}");
    assert_eq!(
        model.calls(),
        2,
        "the answer that was never received is asked for again"
    );
    let crashed: i64 = db
        .one("select count(*) from job_attempts where outcome = 'crashed'")
        .await;
    assert_eq!(crashed, 1);
}

#[tokio::test]
async fn worker_killed_inside_its_settlement_writes_all_or_nothing_and_pays_once() {
    let db = TestDb::new().await;
    let model = FakeModel::start([says()]).await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let mut first = model.worker(&db, &[]).await;

    let mut blocker = db.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table approvals in exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let id = client.submitted(&mail(), "killed-settler").await;
    somebody_waits_for_a_lock(&db).await;
    first.process.kill();
    blocker.rollback().await.unwrap();

    let _second = model.worker(&db, &[]).await;
    assert_ended_once(&db, &client, &id).await;
    assert_eq!(
        model.calls(),
        1,
        "the answer was kept and is not paid for twice"
    );
}

#[tokio::test]
async fn api_killed_after_the_key_claim_lets_the_retry_succeed_once() {
    let db = TestDb::new().await;
    let mut api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;

    // The submission claims its key first and writes its audit entry last.
    let mut blocker = db.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table audit_entries in exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let unanswered = tokio::spawn(client.submission(&mail(), "killed-api").send());
    somebody_waits_for_a_lock(&db).await;
    api.process.kill();
    assert!(
        unanswered.await.unwrap().is_err(),
        "nobody was told that it worked"
    );
    blocker.rollback().await.unwrap();

    let api = Api::spawn(&db).await;
    let client = client.at(api.addr);
    let retried = client.submit(&mail(), "killed-api").await;
    assert_eq!(retried.status, StatusCode::ACCEPTED, "{}", retried.body);
    let again = client.submit(&mail(), "killed-api").await;
    assert_eq!(again.body, retried.body, "the stored answer is replayed");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
    assert_eq!(db.one::<i64>("select count(*) from messages").await, 1);
}
