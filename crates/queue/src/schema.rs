//! The queue's tables and functions, for programs without migrations of their own.

use sqlx::PgPool;

/// The SQL of the queue's tables, indexes and functions, to be run once per database.
///
/// A program with migrations takes this file as one of them instead of calling [`create`].
pub const SQL: &str = include_str!("../../../migrations/0001_queue.sql");

/// An advisory lock of our own: "queueddl" in a byte each.
const LOCK: i64 = i64::from_be_bytes(*b"queueddl");

/// Creates the queue's tables and functions unless they exist. Safe to call from several processes at once.
///
/// # Errors
/// If the database fails, or some other table of these names is in the way.
pub async fn create(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK)
        .execute(&mut *transaction)
        .await?;
    let exists = sqlx::query_scalar!(r#"select to_regclass('jobs') is not null as "exists!""#)
        .fetch_one(&mut *transaction)
        .await?;
    if !exists {
        sqlx::raw_sql(SQL).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
