//! The schema: every migration embedded, applied by [`migrate`], compared with the database by [`check_schema`].
//! [`report_transactions`] compares the database with its cluster.

mod transactions;

pub use transactions::report_transactions;

use base::{
    db::{self, Unavailability},
    telemetry::chain,
};
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Row,
    migrate::{Migrate, Migrator},
    postgres::PgConnectOptions,
};
use std::{
    borrow::Cow,
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Every migration, embedded: a binary brings the schema it was built for.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// The schema of all tables. Functions name it, so that a caller's `search_path` cannot change what they do.
const HOME: &str = "public";

/// The migrator's own table.
const TABLE: &str = "_sqlx_migrations";

/// The checksums of the migrations that a database has, by version.
type Applied = HashMap<i64, Cow<'static, [u8]>>;

/// An advisory lock of our own: "postroom" in a byte each.
const LOCK: i64 = i64::from_be_bytes(*b"postroom");

/// Migrations may take longer than any statement of the service may, and those of another process as long. What it applied is
/// read after its turn, whatever the database's default isolation is.
const BEFORE_TURN: &str = "set transaction isolation level read committed; \
                           set local statement_timeout = 0; set local lock_timeout = '15min'; \
                           select set_config('transaction_timeout', '0', true) \
                           where current_setting('transaction_timeout', true) is not null";
/// While a migration waits for a table that somebody reads, every statement of the service waits behind it.
const IN_TURN: &str = "set local lock_timeout = '3s'";
/// The time for the service's statements between two tries.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a table may stay in use.
const LOCK_WAIT: Duration = Duration::from_secs(15 * 60);

/// A migration did not run.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("could not connect to the database")]
    Connect(#[source] sqlx::Error),
    #[error("could not migrate the database")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Brings the schema up to date. Safe to run from many processes at once: an advisory lock lets one of them work.
///
/// Returns how many migrations this call applied.
///
/// # Errors
/// If the database is newer than this binary, an applied migration was changed, or a statement failed.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, MigrateError> {
    // A connection of its own: migrations may take longer than any statement of the service may.
    let mut connection = PgConnection::connect_with(options)
        .await
        .map_err(MigrateError::Connect)?;
    check_encoding(&mut connection).await?;
    check_target(&mut connection).await?;
    let started = Instant::now();
    let migrated = loop {
        match migrate_in_transaction(&mut connection).await {
            Err(error) if is_lock_timeout(&error) && started.elapsed() < LOCK_WAIT => {
                tracing::warn!(
                    error = chain(&error),
                    "a table that a migration changes is in use; trying again"
                );
                sleep(PAUSE).await;
            }
            ended => break ended.map_err(refused),
        }
    }?;
    transactions::report(&mut connection).await;
    connection.close().await.map_err(MigrateError::Connect)?;
    Ok(migrated)
}

/// A changed migration is a fault of the schema; the migrator found everything else.
fn refused(error: sqlx::migrate::MigrateError) -> MigrateError {
    if let sqlx::migrate::MigrateError::VersionMismatch(version) = error {
        SchemaError::Changed { version }.into()
    } else {
        MigrateError::Migrate(error)
    }
}

/// Applies all migrations in one transaction, which also holds the lock. A lock of the session, as the migrator's own, would
/// stay behind in the server connection of a transaction pooler.
async fn migrate_in_transaction(
    connection: &mut PgConnection,
) -> Result<usize, sqlx::migrate::MigrateError> {
    let mut transaction = connection.begin().await?;
    transaction.execute(BEFORE_TURN).await?;
    wait_for_turn(&mut transaction).await?;
    transaction.execute(IN_TURN).await?;
    // A look at a table that does not exist would end the transaction.
    transaction.ensure_migrations_table(TABLE).await?;
    let before = applied(&mut transaction).await?;
    // The migrator would first miss what follows it, as if this binary were older than the database.
    if let Some(version) = changed(&before) {
        return Err(sqlx::migrate::MigrateError::VersionMismatch(version));
    }
    let mut migrator = Migrator::with_migrations(MIGRATOR.iter().cloned().collect());
    migrator.set_locking(false);
    migrator.run_direct(None, &mut *transaction, false).await?;
    let after = applied(&mut transaction).await?.len();
    transaction.commit().await?;
    Ok(after - before.len())
}

/// Takes the lock that one process migrates under, and says so if another one has it: it may take minutes.
async fn wait_for_turn(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let tried = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "is_ours!""#,
        LOCK
    );
    if tried.fetch_one(&mut *connection).await? {
        return Ok(());
    }
    tracing::info!("waiting for another process that migrates this database");
    sqlx::query!("select pg_advisory_xact_lock($1)", LOCK)
        .execute(connection)
        .await?;
    Ok(())
}

fn is_lock_timeout(error: &sqlx::migrate::MigrateError) -> bool {
    let (sqlx::migrate::MigrateError::Execute(error)
    | sqlx::migrate::MigrateError::ExecuteMigration(error, _)) = error
    else {
        return false;
    };
    db::is_lock_timeout(error)
}

/// The schema is not the one this binary was built for.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("could not read which migrations were applied")]
    Read(#[source] sqlx::Error),
    #[error(
        "the database needs binaries that know migration {version}, and this binary does not: the binary is older than the \
         database; deploy the version that migrated it, or a newer one"
    )]
    DatabaseIsNewer { version: i64 },
    #[error(
        "the database lacks {count} migration(s), the first is {version}; run `postroom-api migrate`"
    )]
    Pending { version: i64, count: usize },
    #[error(
        "migration {version} was changed since it was applied to this database: run the version that migrated it, or migrate a \
         new database"
    )]
    Changed { version: i64 },
    #[error(
        "the tables belong in the schema {HOME}, and this role would create them in {schema}; put {HOME} first in its \
         search_path"
    )]
    Elsewhere { schema: String },
    #[error(
        "in the database's locale, lower('I') is not 'i': an address in capitals would be another one; create the database \
         with `locale 'C.UTF-8' template template0`"
    )]
    Locale,
    #[error(
        "the database is encoded in {encoding} and cannot store all emails; create one with `encoding 'UTF8' template template0`"
    )]
    Encoding { encoding: String },
}

impl SchemaError {
    /// Says in a few words what is wrong, for a probe's answer.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read(error) => Unavailability::of(error)
                .map_or("the database cannot be used", Unavailability::as_str),
            Self::DatabaseIsNewer { .. } => "the binary is older than the database",
            Self::Pending { .. } => "the database lacks migrations",
            Self::Changed { .. } => "a migration was changed since it was applied",
            Self::Elsewhere { .. } => "the role's search_path leads to another schema",
            Self::Locale => "the database's locale folds ASCII otherwise",
            Self::Encoding { .. } => "the database is not encoded in UTF-8",
        }
    }
}

/// Whether the database is encoded in UTF-8, has the migrations that this binary was built with, unchanged, and is compatible with it if
/// it has more.
///
/// A release that only adds to the schema leaves the processes of the former one at work; one that takes something away
/// says in `schema_compatibility` which binaries can do without.
///
/// # Errors
/// If it is newer and not compatible, older, was migrated with other migrations, or cannot be asked.
pub async fn check_schema(pool: &PgPool) -> Result<(), SchemaError> {
    let mut connection = pool.acquire().await.map_err(SchemaError::Read)?;
    check_encoding(&mut connection).await?;
    let applied = match applied(&mut connection).await {
        Ok(applied) => applied,
        Err(sqlx::migrate::MigrateError::Execute(source)) => return Err(SchemaError::Read(source)),
        Err(other) => return Err(SchemaError::Read(sqlx::Error::Migrate(Box::new(other)))),
    };
    if let Some(version) = changed(&applied) {
        return Err(SchemaError::Changed { version });
    }
    check_complete(|version| applied.contains_key(&version))?;
    check_compatible(
        oldest_known_migration(&mut connection)
            .await
            .map_err(SchemaError::Read)?,
    )
}

/// As [`check_schema`], in one round trip, for a process that has started: the tables of the versions are there.
pub(crate) async fn check_versions(connection: &mut PgConnection) -> Result<(), SchemaError> {
    const VERSIONS: &str = "select array(select version from _sqlx_migrations), \
                            (select coalesce(max(oldest_known_migration), 0) from schema_compatibility)";
    let read = async {
        let row = connection.fetch_one(VERSIONS).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    let (applied, oldest): (Vec<i64>, i64) = read.await.map_err(SchemaError::Read)?;
    check_complete(|version| applied.contains(&version))?;
    check_compatible(oldest)
}

/// Whether all migrations of this binary were applied.
fn check_complete(is_applied: impl Fn(i64) -> bool) -> Result<(), SchemaError> {
    let known = MIGRATOR.iter().map(|migration| migration.version);
    let pending: Vec<i64> = known.filter(|&version| !is_applied(version)).collect();
    if let Some(&version) = pending.first() {
        return Err(SchemaError::Pending {
            version,
            count: pending.len(),
        });
    }
    Ok(())
}

/// Whether this binary knows the migration that the database asks its binaries to know.
fn check_compatible(version: i64) -> Result<(), SchemaError> {
    if MIGRATOR
        .iter()
        .any(|migration| migration.version >= version)
    {
        Ok(())
    } else {
        Err(SchemaError::DatabaseIsNewer { version })
    }
}

/// Other encodings lack characters, or take bytes for them: an email would be refused, or come back garbled.
async fn check_encoding(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let encoding =
        sqlx::query_scalar!(r#"select current_setting('server_encoding') as "encoding!""#)
            .fetch_one(connection)
            .await
            .map_err(SchemaError::Read)?;
    if encoding == "UTF8" {
        Ok(())
    } else {
        Err(SchemaError::Encoding { encoding })
    }
}

/// Refuses to create the tables in another schema than [`HOME`], or under a locale that folds ASCII otherwise.
async fn check_target(connection: &mut PgConnection) -> Result<(), SchemaError> {
    const TARGET: &str =
        "select current_schema(), lower('I') = 'i', to_regclass('public.tenants') is null";
    let read = async {
        let row = connection.fetch_one(TARGET).await?;
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    let (schema, folds_ascii, is_new): (Option<String>, bool, bool) =
        read.await.map_err(SchemaError::Read)?;
    let schema = schema.unwrap_or_else(|| "none".to_owned());
    if schema != HOME {
        return Err(SchemaError::Elsewhere { schema });
    }
    if is_new && !folds_ascii {
        return Err(SchemaError::Locale);
    }
    Ok(())
}

/// The migration that a binary must know to use this schema.
async fn oldest_known_migration(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select coalesce(max(oldest_known_migration), 0) as "oldest!" from schema_compatibility"#
    );
    found.fetch_one(connection).await
}

/// The first migration that is another one in the database than in this binary.
fn changed(applied: &Applied) -> Option<i64> {
    let known = MIGRATOR
        .iter()
        .map(|migration| (migration.version, &migration.checksum));
    known
        .filter(|(version, checksum)| {
            let applied = applied.get(version);
            applied.is_some_and(|applied| applied != *checksum)
        })
        .map(|(version, _)| version)
        .min()
}

/// The checksums in the migrations table, by version. It does not exist before the first migration ran.
async fn applied(connection: &mut PgConnection) -> Result<Applied, sqlx::migrate::MigrateError> {
    const UNDEFINED_TABLE: &str = "42P01";
    match connection.list_applied_migrations(TABLE).await {
        Ok(applied) => Ok(applied
            .into_iter()
            .map(|migration| (migration.version, migration.checksum))
            .collect()),
        Err(sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error)))
            if error.code().as_deref() == Some(UNDEFINED_TABLE) =>
        {
            Ok(Applied::new())
        }
        Err(error) => Err(error),
    }
}
