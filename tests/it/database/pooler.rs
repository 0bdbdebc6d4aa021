//! Behind PgBouncer in transaction mode: with a version that keeps prepared statements everything works, and an older one
//! is refused with a word.

use super::email;
use crate::support::{
    TestDb,
    pgbouncer::PgBouncer,
    process::Process,
    system::{Api, Worker},
};
use base::db::{self, PgPool, PoolConfig, is_statement_timeout};
use sqlx::Executor;
use std::time::Duration;

#[tokio::test]
async fn transaction_pooler_serves_both_processes_or_is_refused_with_a_word() {
    let db = TestDb::new().await;
    let pooler = PgBouncer::start(&db, 10).await;
    let (url, direct) = (pooler.url(&db), db.url());
    let variables = [
        ("DATABASE_URL", &*url),
        ("DATABASE_LISTEN_URL", &*direct),
        ("API_ADDR", "127.0.0.1:0"),
        ("API_OPS_ADDR", "127.0.0.1:0"),
        ("LLM_TESTING_MODE", "true"),
    ];
    let mut process = Process::spawn("postroom-api", &["serve"], &variables);
    if !pooler.keeps_prepared_statements {
        let ended = process.ended().await;
        assert!(!ended.status.success());
        assert!(
            ended.stderr.contains("PgBouncer 1.21 or newer"),
            "{}",
            ended.stderr
        );
        return;
    }
    let (addr, ops) = (process.addr("api").await, process.addr("ops").await);
    let api = Api { process, addr, ops };
    let worker = Worker::spawn_with(&db, &variables).await;
    let client = api.sign_in(&db).await;
    for n in 1..=20 {
        let id = client.submitted(&email(n), &format!("k{n}")).await;
        assert_eq!(client.finished(&id).await["state"], "succeeded");
    }
    for log in [api.process.log(), worker.process.log()] {
        assert!(!log.contains("no transaction in progress"), "{log}");
    }
}

#[tokio::test]
async fn migrations_through_a_transaction_pooler_apply_each_file_once_and_leave_no_lock() {
    let db = TestDb::unmigrated().await;
    let pooler = PgBouncer::start(&db, 10).await;
    if !pooler.keeps_prepared_statements {
        return;
    }
    let url = pooler.url(&db);
    let migrations: Vec<_> = (0..4)
        .map(|_| Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]))
        .collect();
    let mut applied = 0;
    for migration in migrations {
        let ended = migration.ended().await;
        assert!(ended.status.success(), "{}", ended.stderr);
        applied += usize::from(ended.stdout.starts_with("applied"));
    }
    assert_eq!(applied, 1, "one works, the others find nothing to do");
    let locks = "select count(*) from pg_locks where locktype = 'advisory'
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(db.one::<i64>(locks).await, 0);
}

/// A pool through the pooler, with this limit for statements.
async fn pooled(url: &str, statement_timeout: Duration) -> PgPool {
    let config = PoolConfig {
        statement_timeout,
        is_pooled: true,
        ..PoolConfig::new(url, "test")
    };
    db::connect(&config).await.unwrap()
}

#[tokio::test]
async fn limits_of_statements_hold_on_a_connection_that_another_process_used() {
    let db = TestDb::new().await;
    // One connection to the server, which all share.
    let pooler = PgBouncer::start(&db, 1).await;
    let url = pooler.url(&db);
    let (service, shell) = tokio::join!(
        pooled(&url, Duration::from_millis(200)),
        pooled(&url, Duration::from_secs(600))
    );
    for _ in 0..2 {
        // Without a prepared statement, so that every version can do it.
        shell.execute("select pg_sleep(0.4)").await.unwrap();
        let stopped = service.execute("select pg_sleep(60)").await;
        let error = stopped.unwrap_err();
        assert!(is_statement_timeout(&error), "{error}");
    }
}
