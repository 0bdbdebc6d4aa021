//! The pool's hook: an acknowledged write is never inside somebody else's stale transaction.

use crate::support::{TestDb, eventually, wait::SOON};
use base::db::{
    PoolConfig, Route, connect, connect_autocommit, connect_for_batches, connect_options,
};
use jobs::schema::{MigrateError, SchemaError, check_schema, migrate};
use sqlx::Executor;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

fn config(db: &TestDb) -> PoolConfig {
    PoolConfig {
        max_connections: 1,
        acquire_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(5),
        ..PoolConfig::new(db.url(), "postroom-test")
    }
}

#[tokio::test]
async fn connection_that_comes_back_inside_a_transaction_is_rolled_back_before_its_next_use() {
    let db = TestDb::new().await;
    let pool = connect(&config(&db)).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    // What a future leaves behind that is dropped between BEGIN's being sent and its reply.
    connection.execute("begin").await.unwrap();
    drop(connection);
    let written = "insert into queue_samples (queue, state, jobs) values ('kept', 'available', 1)";
    pool.execute(written).await.unwrap();
    assert_eq!(
        db.one::<i64>("select count(*) from queue_samples").await,
        1,
        "seen from outside: committed"
    );
}

#[tokio::test]
async fn eight_migrations_at_once_apply_each_file_once() {
    let db = TestDb::unmigrated().await;
    let options = connect_options(&config(&db)).unwrap();
    let applied = futures::future::join_all((0..8).map(|_| migrate(&options))).await;
    let applied: usize = applied.into_iter().map(|count| count.unwrap()).sum();
    assert_eq!(applied, jobs::MIGRATOR.iter().count());
    let pool = connect(&config(&db)).await.unwrap();
    check_schema(&pool).await.unwrap();
}

#[tokio::test]
async fn schema_that_is_older_or_too_new_for_the_binary_is_named() {
    let db = TestDb::unmigrated().await;
    let pool = connect(&config(&db)).await.unwrap();
    assert!(matches!(
        check_schema(&pool).await,
        Err(SchemaError::Pending { version: 1, .. })
    ));
    migrate(&connect_options(&config(&db)).unwrap())
        .await
        .unwrap();
    db.execute(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of the future', true, '', 0)",
    )
    .await;
    check_schema(&pool).await.expect("it was only extended");
    db.execute("update schema_compatibility set oldest_known_migration = 9999")
        .await;
    let error = check_schema(&pool).await.unwrap_err();
    assert!(
        matches!(error, SchemaError::DatabaseIsNewer { version: 9999 }),
        "{error}"
    );
    assert!(
        migrate(&connect_options(&config(&db)).unwrap())
            .await
            .is_err(),
        "an old binary does not migrate a newer database"
    );
}

#[tokio::test]
async fn database_of_a_migration_that_was_changed_since_is_named_with_the_remedy() {
    let db = TestDb::unmigrated().await;
    let options = connect_options(&config(&db)).unwrap();
    migrate(&options).await.unwrap();
    // As a database that had more files before they were squashed.
    db.execute(
        "update _sqlx_migrations set checksum = '\\x00' where version in (2, 3);
         insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'squashed', true, '', 0)",
    )
    .await;
    let pool = connect(&config(&db)).await.unwrap();
    let unusable = check_schema(&pool).await.unwrap_err();
    assert!(matches!(unusable, SchemaError::Changed { version: 2 }));
    let refused = migrate(&options).await.unwrap_err();
    assert!(matches!(
        refused,
        MigrateError::Schema(SchemaError::Changed { version: 2 })
    ));
    assert!(refused.to_string().contains("a new database"), "{refused}");
}

#[tokio::test]
async fn migration_that_waits_for_a_table_lets_the_service_pass() {
    let db = TestDb::unmigrated().await;
    let options = connect_options(&config(&db)).unwrap();
    migrate(&options).await.unwrap();
    // As before the migration that makes these tables, one of which refers to approvals.
    db.execute(
        "drop table blocks, memory_items;
         delete from _sqlx_migrations where version = 8",
    )
    .await;
    let mut writer = db.pool().begin().await.unwrap();
    writer
        .execute("lock table approvals in row exclusive mode")
        .await
        .unwrap();
    let migrating = tokio::spawn(async move { migrate(&options).await });
    eventually(SOON, async || {
        let waiting =
            "select count(*) from pg_locks where relation = 'approvals'::regclass and not granted";
        match db.one::<i64>(waiting).await {
            0 => Err("the migration does not wait yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    let written = db.execute("delete from approvals");
    timeout(SOON, written).await.expect("others still write");
    writer.rollback().await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), 1);
}

/// Sets a default of the test's database for new connections.
async fn set_default(db: &TestDb, setting: &str) {
    db.execute(&format!(
        "begin read write;
         do $$ begin execute format($set$alter database %I set {setting}$set$, current_database()); end $$;
         commit"
    ))
    .await;
}

#[tokio::test]
async fn statements_read_what_was_committed_whatever_the_default_of_the_database_is() {
    let db = TestDb::new().await;
    set_default(&db, "default_transaction_isolation = 'repeatable read'").await;
    let config = config(&db);
    let pools = [
        connect(&config).await.unwrap(),
        connect_autocommit(&config, 1).await.unwrap(),
        connect_for_batches(&config, 1).await.unwrap(),
    ];
    for pool in pools {
        let isolation: String =
            sqlx::query_scalar("select current_setting('transaction_isolation')")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(isolation, "read committed");
    }
}

#[tokio::test]
async fn sessions_stay_and_commits_wait_for_the_disk_whatever_the_default_of_the_database_is() {
    let db = TestDb::new().await;
    set_default(&db, "idle_session_timeout = '200ms'").await;
    set_default(&db, "synchronous_commit = off").await;
    let config = config(&db);
    let route = Route::open(&config, CancellationToken::new()).unwrap();
    let setting = async |pool: &sqlx::PgPool, name: &str| -> String {
        let read = sqlx::query_scalar("select current_setting($1)").bind(name);
        read.fetch_one(pool).await.unwrap()
    };
    let listening = route.connect_one(SOON).await.unwrap();
    assert_eq!(setting(&listening, "idle_session_timeout").await, "0");
    let pools = [
        connect(&config).await.unwrap(),
        connect_autocommit(&config, 1).await.unwrap(),
        connect_for_batches(&config, 1).await.unwrap(),
    ];
    for pool in &pools {
        assert_eq!(setting(pool, "idle_session_timeout").await, "0");
        assert_eq!(setting(pool, "synchronous_commit").await, "on");
    }
    // What waits for more than this disk stays as the operator set it.
    set_default(&db, "synchronous_commit = remote_apply").await;
    let pool = connect(&config).await.unwrap();
    assert_eq!(setting(&pool, "synchronous_commit").await, "remote_apply");
}

#[tokio::test]
async fn connection_to_a_server_that_takes_no_writes_is_replaced_soon() {
    let db = TestDb::new().await;
    set_default(&db, "default_transaction_read_only = on").await;
    let config = config(&db);
    let pools = [
        connect(&config).await.unwrap(),
        connect_autocommit(&config, 1).await.unwrap(),
    ];
    let written = "insert into queue_samples (queue, state, jobs) values (gen_random_uuid()::text, 'available', 1)";
    for pool in &pools {
        pool.execute(written).await.unwrap_err();
    }
    // As if the name led to another server now: only new connections are affected.
    set_default(&db, "default_transaction_read_only = off").await;
    for pool in &pools {
        eventually(SOON, async || {
            let tried = pool.execute(written).await;
            tried.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

#[tokio::test]
async fn database_in_another_encoding_is_refused_by_its_name() {
    let db = TestDb::unmigrated().await;
    let other = format!("latin_{}", uuid::Uuid::now_v7().simple());
    db.execute(&format!(
        "create database {other} encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'"
    ))
    .await;
    let options = connect_options(&config(&db)).unwrap().database(&other);
    let refused = migrate(&options).await.unwrap_err();
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    let not_used = check_schema(&pool).await.unwrap_err();
    pool.close().await;
    db.execute(&format!("drop database {other}")).await;
    assert!(matches!(
        &refused,
        MigrateError::Schema(SchemaError::Encoding { encoding }) if encoding == "LATIN1"
    ));
    assert!(matches!(not_used, SchemaError::Encoding { .. }));
    assert!(refused.to_string().contains("LATIN1"), "{refused}");
}

#[tokio::test]
async fn new_database_whose_locale_folds_ascii_otherwise_is_refused() {
    let db = TestDb::unmigrated().await;
    // Not every Postgres has a Turkish locale.
    db.execute(
        "create function lower(text) returns text language sql as $$ select 'ı' $$;
         do $$ begin
             execute format('alter database %I set search_path = public, pg_catalog', current_database());
         end $$",
    )
    .await;
    let options = connect_options(&config(&db)).unwrap();
    let refused = migrate(&options).await.unwrap_err();
    assert!(
        matches!(refused, MigrateError::Schema(SchemaError::Locale)),
        "{refused}"
    );
}

#[tokio::test]
async fn transaction_timeout_of_the_database_ends_no_migration_and_is_lifted() {
    let db = TestDb::unmigrated().await;
    let version: i64 = db
        .one("select current_setting('server_version_num')::bigint")
        .await;
    if version < 170_000 {
        // It has no such setting.
        return;
    }
    db.execute(
        "do $$ begin
             execute format('alter database %I set transaction_timeout = ''200ms''', current_database());
         end $$",
    )
    .await;
    let options = connect_options(&config(&db)).unwrap();
    assert!(migrate(&options).await.unwrap() > 0);
    let pool = connect(&config(&db)).await.unwrap();
    let limit = sqlx::query_scalar("select current_setting('transaction_timeout')");
    let limit: String = limit.fetch_one(&pool).await.unwrap();
    assert_eq!(limit, "0");
}
