//! The most jobs that may run at the same time in the whole fleet, of a queue, a kind or a tenant.
//!
//! Set by operators, heeded by [`crate::claim::under_limits`]. A worker hears of the first limit with its next look at the queue.

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

/// What a limit may be set to.
pub const RANGE: std::ops::RangeInclusive<i32> = 1..=100_000;

/// What a limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LimitScope")]
pub enum Scope {
    Queue,
    Kind,
    Tenant,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Queue, Self::Kind, Self::Tenant];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Kind => "kind",
            Self::Tenant => "tenant",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == s)
    }
}

/// A limit on running jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub scope: Scope,
    /// A queue, a kind, a tenant's id, or `*` for every tenant without a limit of its own.
    pub name: String,
    /// Within [`RANGE`].
    pub max_running: i32,
}

/// All limits in force.
///
/// # Errors
/// If the database cannot be asked, or holds a scope that this version does not know.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Limit>, sqlx::Error> {
    let rows =
        sqlx::query!("select scope, name, max_running from queue_limits order by scope, name")
            .fetch_all(conn)
            .await?;
    rows.into_iter()
        .map(|row| {
            let scope = Scope::parse(&row.scope).ok_or_else(|| {
                sqlx::Error::Decode(format!("unknown scope of a limit: {}", row.scope).into())
            })?;
            Ok(Limit {
                scope,
                name: row.name,
                max_running: row.max_running,
            })
        })
        .collect()
}

/// Puts a limit in force, or changes it. What runs already goes on.
///
/// # Errors
/// If the database cannot be asked.
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

/// Lifts a limit. False when there was none. Notify workers afterwards.
///
/// # Errors
/// If the database cannot be asked.
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
