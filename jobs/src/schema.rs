//! The schema: every migration embedded, applied by [`migrate`], compared with the database by [`check_schema`].

use sqlx::{
    Connection, PgPool,
    migrate::{Migrate, Migrator},
    postgres::PgConnectOptions,
};
use std::collections::HashSet;

/// Every migration, embedded: a binary brings the schema it was built for.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// A migration did not run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("could not connect to the database")]
    Connect(#[source] sqlx::Error),
    #[error("could not migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

/// Brings the schema up to date. Safe to run from many processes at once: an advisory lock lets one of them work.
///
/// Returns how many migrations this call applied.
///
/// # Errors
/// If the database is newer than this binary, an applied migration was changed, or a statement failed.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, MigrateError> {
    // A connection of its own: migrations may take longer than any statement of the service may.
    let options = options
        .clone()
        .options([("statement_timeout", "0"), ("lock_timeout", "60s")]);
    let mut connection = sqlx::PgConnection::connect_with(&options)
        .await
        .map_err(MigrateError::Connect)?;
    // The migrator takes this lock too, and it is re-entrant: taken here, the count is of this call alone.
    connection.lock().await.map_err(MigrateError::Migrate)?;
    let migrated = migrate_locked(&mut connection)
        .await
        .map_err(MigrateError::Migrate);
    connection.unlock().await.map_err(MigrateError::Migrate)?;
    connection.close().await.map_err(MigrateError::Connect)?;
    migrated
}

async fn migrate_locked(
    connection: &mut sqlx::PgConnection,
) -> Result<usize, sqlx::migrate::MigrateError> {
    let before = applied(connection).await?.len();
    MIGRATOR.run_direct(None, connection, false).await?;
    Ok(applied(connection).await?.len() - before)
}

/// The schema is not the one this binary was built for.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("could not read which migrations were applied")]
    Read(#[source] sqlx::Error),
    #[error(
        "the database has migration {version}, which this binary does not know: the binary is older than the database; \
         deploy the version that migrated it, or a newer one"
    )]
    DatabaseIsNewer { version: i64 },
    #[error(
        "the database lacks {count} migration(s), the first is {version}; run `postroom-api migrate`"
    )]
    Pending { version: i64, count: usize },
}

/// Whether the database has exactly the migrations that this binary was built with.
///
/// # Errors
/// If it is newer, older, or cannot be asked.
pub async fn check_schema(pool: &PgPool) -> Result<(), SchemaError> {
    let mut connection = pool.acquire().await.map_err(SchemaError::Read)?;
    let applied = match applied(&mut connection).await {
        Ok(applied) => applied,
        Err(sqlx::migrate::MigrateError::Execute(source)) => return Err(SchemaError::Read(source)),
        Err(other) => return Err(SchemaError::Read(sqlx::Error::Migrate(Box::new(other)))),
    };
    let known: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
    if let Some(version) = applied
        .iter()
        .copied()
        .filter(|version| !known.contains(version))
        .max()
    {
        return Err(SchemaError::DatabaseIsNewer { version });
    }
    let pending: Vec<i64> = known
        .into_iter()
        .filter(|version| !applied.contains(version))
        .collect();
    match pending.first() {
        None => Ok(()),
        Some(&version) => Err(SchemaError::Pending {
            version,
            count: pending.len(),
        }),
    }
}

/// The versions in the migrations table, which does not exist before the first migration ran.
async fn applied(
    connection: &mut sqlx::PgConnection,
) -> Result<HashSet<i64>, sqlx::migrate::MigrateError> {
    const UNDEFINED_TABLE: &str = "42P01";
    match connection.list_applied_migrations("_sqlx_migrations").await {
        Ok(applied) => Ok(applied
            .into_iter()
            .map(|migration| migration.version)
            .collect()),
        Err(sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some(UNDEFINED_TABLE) =>
        {
            Ok(HashSet::new())
        }
        Err(error) => Err(error),
    }
}
