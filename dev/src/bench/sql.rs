//! The SQL of the baselines and of counters. The SQL of the queue is in its own crate and checked against the schema.

use sqlx::postgres::{PgArguments, PgConnectOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};
use std::str::FromStr;
use uuid::Uuid;

/// A minimal queue table: few columns, one partial index on waiting rows.
pub(super) const RAW_TABLE: &str = "
    create table raw_jobs (
        id bigint generated always as identity primary key,
        state text not null default 'available',
        priority smallint not null default 3,
        run_at timestamptz not null default now(),
        payload jsonb not null
    );
    create index raw_jobs_waiting on raw_jobs (priority, run_at, id) where state = 'available'";

pub(super) const RAW_INSERT: &str = "insert into raw_jobs (payload) values ($1)";

pub(super) const RAW_NOTIFY: &str = "select pg_notify('raw_jobs', '')";

pub(super) const RAW_BULK: &str =
    "insert into raw_jobs (payload) select * from unnest($1::jsonb[])";

pub(super) const RAW_CLAIM: &str = "
    update raw_jobs set state = 'running'
    where id in (
        select id from raw_jobs where state = 'available' and run_at <= now()
        order by priority, run_at, id limit $1 for update skip locked
    )
    returning id, payload";

pub(super) const RAW_DELETE: &str = "delete from raw_jobs where id = any($1)";

/// Returns a statement that is prepared once per connection, like those of the queue.
#[expect(
    clippy::disallowed_methods,
    reason = "tables of the benchmarks are in no migration, so that there is no schema to check against"
)]
pub(super) fn prepared(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql)
}

/// Executes statements that are used once.
pub(super) async fn execute(
    connection: &mut PgConnection,
    sql: impl Into<String>,
) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(sql.into())).await?;
    Ok(())
}

/// Reads a number.
pub(super) async fn number(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Returns the one text that a statement reads; empty if there is none.
pub(super) async fn text(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<String, sqlx::Error> {
    let found: Option<String> = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(found.unwrap_or_default())
}

/// Reads pairs of an id and a number.
#[expect(
    clippy::disallowed_methods,
    reason = "a report over our own tables, which no service needs"
)]
pub(super) async fn pairs(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<Vec<(Uuid, f64)>, sqlx::Error> {
    sqlx::query_as(sql).fetch_all(connection).await
}

/// Opens a connection outside any pool.
pub(super) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("postroom-bench");
    PgConnection::connect_with(&options).await
}
