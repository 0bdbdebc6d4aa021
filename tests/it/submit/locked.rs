//! A submission that meets a lock: of another request with its key or dedupe key, or of a migration.

use super::mail;
use crate::support::{TestDb, client::send, system::TestApi};

#[tokio::test]
async fn submission_is_unavailable_and_not_in_flight_while_a_migration_locks_the_jobs() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut migration = db.pool().begin().await.unwrap();
    sqlx::raw_sql("lock table jobs in access exclusive mode")
        .execute(&mut *migration)
        .await
        .unwrap();
    let refused = client.submit(&mail("Locked"), "new").await;
    refused.assert_problem(503, "UNAVAILABLE", "nobody has used the key");
    assert!(refused.retry_after().is_some());
}

#[tokio::test]
async fn submission_is_in_flight_while_another_transaction_holds_its_dedupe_key() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut first = db.pool().begin().await.unwrap();
    let name = format!("dedupe {} triage.email morning", client.tenant);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "select pg_advisory_xact_lock(hashtextextended('{name}', 0))"
    )))
    .execute(&mut *first)
    .await
    .unwrap();
    let submit = async |key: &str| {
        let request = client.submission(&mail("Held"), key);
        send(request.query(&[("dedupe_key", "morning")])).await
    };
    let refused = submit("second").await;
    refused.assert_problem(409, "DEDUPE_KEY_IN_FLIGHT", "its lock is held");
    assert_eq!(refused.retry_after(), Some(1));
    first.rollback().await.unwrap();
    assert_eq!(
        submit("second").await.status,
        202,
        "the key was kept for nobody"
    );
}

#[tokio::test]
async fn submission_is_in_flight_while_another_transaction_holds_its_key() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    assert_eq!(client.submit(&mail("Held"), "same").await.status, 202);
    db.execute("update request_keys set expires_at = now()")
        .await;
    let mut first = db.pool().begin().await.unwrap();
    sqlx::raw_sql("update request_keys set created_at = now()")
        .execute(&mut *first)
        .await
        .unwrap();
    let refused = client.submit(&mail("Held"), "same").await;
    refused.assert_problem(409, "IDEMPOTENCY_KEY_IN_FLIGHT", "its row is locked");
}
