//! `/readyz` says no, and why, for what a probe that only reads would not meet.

use super::{Address, email, ready_says};
use crate::support::{
    TestDb, eventually,
    process::Process,
    refusal::Refusal,
    system::{Api, Worker, metric},
    wait::{SOON, statement_waits},
};
use jobs::commands::operators::grant::grant;
use std::time::Duration;

#[tokio::test]
async fn lock_that_keeps_jobs_from_being_written_makes_nobody_ready() {
    let db = TestDb::new().await;
    let (api, worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    let mut holder = db.pool().begin().await.unwrap();
    // As CREATE INDEX takes it: reads go on.
    sqlx::Executor::execute(&mut *holder, "lock table jobs in share mode")
        .await
        .unwrap();
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 503, "a table of the database is locked").await;
    }
    holder.rollback().await.unwrap();
    for ops in [api.ops, worker.ops] {
        ready_says(ops, 200, "ok").await;
    }
}

#[tokio::test]
async fn row_that_others_wait_for_is_no_locked_table() {
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    client.submitted(&email(1), "k").await;
    let lock = "select id from jobs for update";
    let (mut holder, mut waiter) = (
        db.pool().begin().await.unwrap(),
        db.pool().begin().await.unwrap(),
    );
    sqlx::Executor::execute(&mut *holder, lock).await.unwrap();
    let waiting = tokio::spawn(async move {
        sqlx::Executor::execute(&mut *waiter, lock).await.unwrap();
    });
    statement_waits(&db).await;
    let seen = super::readyz(api.ops).await;
    assert_eq!(seen.0, 200, "{seen:?}");
    holder.rollback().await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn api_whose_writes_find_the_disk_full_is_not_ready_until_one_succeeds_or_none_came() {
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let refusal = Refusal::of(&db, ("insert", "messages"), "true", "53100").await;
    let refused = client.submit(&email(1), "k").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    ready_says(api.ops, 503, "the disk of the database is full").await;
    refusal.end().await;
    let accepted = client.submit(&email(1), "k").await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let now = super::readyz(api.ops).await;
    assert_eq!(now.0, 200, "{now:?}");

    let refusal = Refusal::of(&db, ("insert", "messages"), "true", "53100").await;
    assert_eq!(client.submit(&email(2), "l").await.status, 503);
    ready_says(api.ops, 503, "the disk of the database is full").await;
    refusal.end().await;
    // A balancer sends nothing to a process that is not ready.
    ready_says(api.ops, 200, "ok").await;
}

#[tokio::test]
async fn worker_whose_claims_fail_for_ten_seconds_is_not_ready() {
    let db = TestDb::new().await;
    let (api, worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    let client = api.sign_in(&db).await;
    // A code that may concern one statement: a single one proves nothing.
    let refusal = Refusal::of(&db, ("update", "jobs"), "true", "54000").await;
    let id = client.submitted(&email(1), "k").await;
    eventually(SOON * 2, async || {
        let seen = super::readyz(worker.ops).await;
        (seen.0 == 503 && seen.1.contains("reached a limit"))
            .then_some(())
            .ok_or_else(|| format!("{seen:?}"))
    })
    .await;
    refusal.end().await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
    ready_says(worker.ops, 200, "ok").await;
}

#[tokio::test]
async fn worker_that_cannot_read_the_limits_counts_it_as_failing_claims() {
    let db = TestDb::new().await;
    db.execute("alter table queue_limits rename to swapped")
        .await;
    let worker = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let labels = [("result", "error"), ("queue", "triage")];
        let failed = metric(worker.ops, "postroom_claims_total", &labels).await;
        (failed > 1.0)
            .then_some(())
            .ok_or_else(|| format!("{failed} failed"))
    })
    .await;
}

#[tokio::test]
async fn process_that_gets_no_connection_says_what_the_server_answers() {
    let db = TestDb::new().await;
    let role = format!("role_{}", uuid::Uuid::now_v7().simple());
    let address = Address {
        user: role.clone(),
        ..Address::of(&db)
    };
    db.execute(&format!(
        "create role {role} login password '{}'",
        address.password
    ))
    .await;
    grant(db.pool(), &role.parse().unwrap()).await.unwrap();
    let api = Api::spawn_at(&address.url()).await;
    ready_says(api.ops, 200, "ok").await;
    // A server that is full answers the same, and a test must not fill it.
    db.execute(&format!(
        "alter role {role} connection limit 0;
         select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
    ))
    .await;
    ready_says(api.ops, 503, "the database has no connection left").await;
    let variables = [
        ("DATABASE_URL", &*address.url()),
        ("LLM_TESTING_MODE", "true"),
    ];
    let ended = Process::spawn("postroom-worker", &[], &variables).ended();
    let ended = tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap();
    assert!(
        ended.stderr.contains("too many connections for role"),
        "{}",
        ended.stderr
    );
    drop(api);
    db.execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}
