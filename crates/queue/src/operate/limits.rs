//! Limits on the running jobs of a queue, a kind or a tenant, over all workers.
//!
//! Set by operators, applied by [`crate::claim::under_limits`]. A worker notices the first limit at its next poll.

use base::str_enum;
use sqlx::{PgConnection, PgExecutor};

/// The values that a limit may have.
pub const RANGE: std::ops::RangeInclusive<i32> = 1..=100_000;

str_enum! {
    /// What a limit applies to.
    #[schemars(rename = "LimitScope")]
    Scope {
        Queue = "queue",
        Kind = "kind",
        Tenant = "tenant",
    }
}

/// A limit on running jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub scope: Scope,
    /// A queue, a kind, a tenant's id, or `*` for each tenant without a limit of its own.
    pub name: String,
    /// Within [`RANGE`].
    pub max_running: i32,
}

/// Lists all limits.
///
/// # Errors
/// If the database fails, or holds a scope that this version does not know.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Limit>, sqlx::Error> {
    sqlx::query_as!(
        Limit,
        r#"select scope as "scope: Scope", name, max_running from queue_limits order by scope, name"#,
    )
    .fetch_all(conn)
    .await
}

/// Returns whether there is any limit.
pub async fn any<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from queue_limits) as "any!""#)
        .fetch_one(executor)
        .await
}

/// Sets or changes a limit. Jobs that already run continue.
pub async fn set<'c>(executor: impl PgExecutor<'c>, limit: &Limit) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into queue_limits (scope, name, max_running) values ($1, $2, $3)
         on conflict (scope, name) do update set max_running = excluded.max_running",
        limit.scope.as_str(),
        limit.name,
        limit.max_running,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Removes a limit and returns whether it existed. Notify workers after the commit.
pub async fn remove<'c>(
    executor: impl PgExecutor<'c>,
    scope: Scope,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from queue_limits where scope = $1 and name = $2",
        scope.as_str(),
        name,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}
