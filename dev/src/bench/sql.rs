//! The statements of the yardsticks: what the same Postgres does without a queue around it, and its own counters.
//!
//! Not the queue's SQL, which is in `jobs` and checked against the schema; these tables belong to nobody.

use sqlx::postgres::{PgArguments, PgConnectOptions};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};
use std::str::FromStr;

/// The usual small queue table: few columns, one partial index on what waits.
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

/// A statement that is prepared once per connection, as the queue's own are.
#[expect(
    clippy::disallowed_methods,
    reason = "tables of the bench are in no migration, so there is nothing to check against"
)]
pub(super) fn prepared(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql)
}

/// Sends statements that are used once, for example a bench's tables.
pub(super) async fn execute(
    connection: &mut PgConnection,
    sql: impl Into<String>,
) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(sql.into())).await?;
    Ok(())
}

/// A number that Postgres knows.
pub(super) async fn number(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// A connection outside any pool, as the yardsticks use it.
pub(super) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?.application_name("postroom-bench");
    PgConnection::connect_with(&options).await
}
