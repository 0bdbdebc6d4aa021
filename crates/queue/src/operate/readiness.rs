//! Whether the database lets this process do its work: [`check`], and [`check_pooler`] at the start.

use base::db::{Unavailability, lost_prepared_statement};
use sqlx::{PgConnection, PgPool};

/// The database answers, and would refuse the work.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("could not ask the database whether it takes writes")]
    Ask(#[source] sqlx::Error),
    #[error("the database is a standby or recovers")]
    InRecovery,
    #[error("the database is read-only")]
    ReadOnly,
    #[error("the database role may not write to {table}; run `postroom-api admin grant`")]
    MissingRight { table: String },
    #[error("{table} is locked, and nothing can be written to it")]
    Locked { table: String },
    #[error("commits wait for a synchronous standby that does not confirm them")]
    StandbyMissing,
}

impl NotReady {
    /// Says in a few words what is wrong, for a probe's answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Ask(error) => Unavailability::of(error)
                .map_or("the database cannot be used", Unavailability::as_str),
            Self::InRecovery | Self::ReadOnly => Unavailability::ReadOnly.as_str(),
            Self::MissingRight { .. } => Unavailability::MissingRight.as_str(),
            Self::Locked { .. } => "a table of the database is locked",
            Self::StandbyMissing => "the database waits for its standby",
        }
    }
}

/// Checks with one statement that the database takes writes, that the role may write to `tables`, and that nothing keeps it from
/// that: a lock on one of them that is held, or that somebody waits for, because all later statements wait behind it; and a
/// synchronous standby that is gone.
///
/// # Errors
/// Why not.
pub async fn check(conn: &mut PgConnection, tables: &[&str]) -> Result<(), NotReady> {
    let tables: Vec<String> = tables.iter().map(|table| (*table).to_owned()).collect();
    // The number of a transaction is asked for because a server that has run out of them answers everything else. By column: a
    // role may be kept from columns that the database fills. A lock of a prepared transaction belongs to no process.
    let found = sqlx::query!(
        r#"select pg_is_in_recovery() as "in_recovery!",
                  current_setting('transaction_read_only') = 'on' as "read_only!",
                  case when not pg_is_in_recovery() then pg_current_xact_id()::text end as number,
                  (select min(name) from unnest($1::text[]) as given (name)
                   where not has_any_column_privilege(to_regclass(name), 'insert')) as denied,
                  (select min(name) from unnest($1::text[]) as given (name)
                   join pg_locks on relation = to_regclass(name)
                   where locktype = 'relation' and database = (select oid from pg_database where datname = current_database())
                       and mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                  ) as locked,
                  exists (
                      select from pg_stat_activity
                      where datname = current_database() and usename = current_user and wait_event = 'SyncRep'
                          and query_start < now() - interval '2 seconds'
                  ) as "waits_for_standby!""#,
        &tables,
    )
    .fetch_one(conn)
    .await
    .map_err(NotReady::Ask)?;
    if found.in_recovery {
        return Err(NotReady::InRecovery);
    }
    if found.read_only {
        return Err(NotReady::ReadOnly);
    }
    if let Some(table) = found.denied {
        return Err(NotReady::MissingRight { table });
    }
    if let Some(table) = found.locked {
        return Err(NotReady::Locked { table });
    }
    if found.waits_for_standby {
        return Err(NotReady::StandbyMissing);
    }
    Ok(())
}

/// `DATABASE_URL` leads through a pooler that cannot serve this process.
#[derive(Debug, thiserror::Error)]
pub enum PoolerError {
    #[error(
        "DATABASE_URL leads through a transaction pooler that does not keep prepared statements; use PgBouncer 1.21 or \
         newer with max_prepared_statements above 0, or a direct URL"
    )]
    NoPreparedStatements,
    #[error("could not ask the database through the pooler")]
    Ask(#[source] sqlx::Error),
}

/// Checks that a transaction pooler keeps prepared statements: two connections prepare one under the same name, and the
/// pooler may give both the same server connection. Needs a pool of at least two.
///
/// # Errors
/// If it does not keep them, or the database fails.
pub async fn check_pooler(pool: &PgPool) -> Result<(), PoolerError> {
    let prepare = async {
        let (mut first, mut second) = (pool.acquire().await?, pool.acquire().await?);
        for connection in [&mut first, &mut second] {
            sqlx::query_scalar!(r#"select 1 as "one!""#)
                .fetch_one(&mut **connection)
                .await?;
        }
        Ok(())
    };
    prepare.await.map_err(|error| {
        if lost_prepared_statement(&error) {
            PoolerError::NoPreparedStatements
        } else {
            PoolerError::Ask(error)
        }
    })
}
