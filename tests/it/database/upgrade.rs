//! A rolling upgrade: a newer release has migrated and enqueues, and processes of the former one still work.

use super::{email, readyz};
use crate::support::{
    TestDb, eventually,
    process::Process,
    system::{Api, Worker},
    wait::SOON,
};
use sqlx::Executor;

const MIGRATED: &str =
    "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
     values (9999, 'of the next release', true, '\\x00', 1)";

#[tokio::test]
async fn processes_work_start_and_are_ready_on_a_schema_that_a_newer_release_extended() {
    let db = TestDb::new().await;
    let (api, worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    db.execute("create table of_the_next_release (id int)")
        .await;
    db.execute(MIGRATED).await;
    let (other_api, other_worker) = tokio::join!(Api::spawn(&db), Worker::spawn(&db));
    for ops in [api.ops, worker.ops, other_api.ops, other_worker.ops] {
        assert_eq!(readyz(ops).await.0, 200);
    }
    let client = api.sign_in(&db).await;
    let id = client.submitted(&email(1), "k").await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");

    db.execute("update schema_compatibility set oldest_known_migration = 9999")
        .await;
    for ops in [api.ops, worker.ops] {
        let (status, text) = readyz(ops).await;
        assert_eq!(status, 503);
        assert!(text.contains("older than the database"), "{text}");
    }
}

#[tokio::test]
async fn migration_says_that_it_waits_for_that_of_another_process() {
    let db = TestDb::new().await;
    let mut other = db.pool().begin().await.unwrap();
    // The lock of `jobs::schema`.
    let lock = format!(
        "select pg_advisory_xact_lock({})",
        i64::from_be_bytes(*b"postroom")
    );
    other.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    let url = db.url();
    let migrate = Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]);
    eventually(SOON, async || {
        let log = migrate.log();
        let says = log.contains("waiting for another process that migrates");
        says.then_some(()).ok_or(log)
    })
    .await;
    other.rollback().await.unwrap();
    let ended = migrate.ended().await;
    assert!(ended.status.success(), "{}", ended.stderr);
}

#[tokio::test]
async fn job_with_a_field_of_a_newer_release_waits_for_a_newer_worker() {
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let id = client.submitted(&email(1), "k").await;
    db.execute(r#"update jobs set args = args || '{"language_hint": "de"}'"#)
        .await;
    let _worker = Worker::spawn(&db).await;
    eventually(SOON, async || {
        let deferred: i64 = db
            .one("select count(*) from job_attempts where outcome = 'snoozed' and error_code = 'undecodable_args'")
            .await;
        if deferred > 1 {
            Ok(())
        } else {
            Err(format!("deferred {deferred} times"))
        }
    })
    .await;
    assert_eq!(db.one::<i32>("select errors from jobs").await, 0);
    // A worker that knows the field stands for the newer release.
    db.execute("update jobs set args = args - 'language_hint'")
        .await;
    assert_eq!(client.finished(&id).await["state"], "succeeded");
}
