//! Database pools, and the classes of database errors.
//!
//! sqlx 0.9 can return a connection to the pool inside a stale transaction when a future is dropped during `begin()`; writes
//! of the next user would then be lost although they were acknowledged. [`connect`] therefore sends ROLLBACK whenever a
//! connection is released.

/// For callers that hold a pool and pass on its errors, and write no SQL themselves.
pub use sqlx::{Error as SqlError, PgPool};

use crate::env::{Env, Variable};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, Executor,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

const URL: Variable = Variable::required(
    "DATABASE_URL",
    "postgres://postroom@localhost/postroom",
    "Postgres 15 or newer, `postgres://user:password@host/database`",
);
const LISTEN_URL: Variable = Variable::optional(
    "DATABASE_LISTEN_URL",
    "postgres://postroom@localhost/postroom",
    "`DATABASE_URL`",
    "A direct connection for LISTEN, where `DATABASE_URL` leads through a transaction pooler",
);
const MAX_CONNECTIONS: Variable = Variable::with_default(
    "DATABASE_MAX_CONNECTIONS",
    "8",
    "Connections in the pool; one more listens, and the API keeps three for what requests share",
);

/// The variables of a process that uses the database.
pub const VARIABLES: &[Variable] = &[URL, LISTEN_URL, MAX_CONNECTIONS];

/// The settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    pub url: SecretString,
    pub max_connections: u32,
    /// How long a caller waits for a free connection.
    pub acquire_timeout: Duration,
    pub statement_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: &'static str,
}

impl PoolConfig {
    /// The settings for this URL, with 8 connections and timeouts of 5 s.
    pub fn new(url: impl Into<SecretString>, application_name: &'static str) -> Self {
        Self {
            url: url.into(),
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            application_name,
        }
    }

    /// Reads `DATABASE_URL` and `DATABASE_MAX_CONNECTIONS`; the timeouts are those of [`PoolConfig::new`].
    pub fn from_env(env: &mut Env, application_name: &'static str) -> Self {
        let max_connections: u32 = env.parse(MAX_CONNECTIONS, "a number of connections");
        if max_connections == 0 {
            env.fault(MAX_CONNECTIONS, "is zero");
        }
        Self::with_connections(env, max_connections.max(1), application_name)
    }

    /// Reads `DATABASE_URL` as [`PoolConfig::from_env`] does, with a given number of connections, for commands that end by
    /// themselves.
    pub fn with_connections(
        env: &mut Env,
        max_connections: u32,
        application_name: &'static str,
    ) -> Self {
        let config = Self {
            max_connections,
            ..Self::new(env.secret(URL), application_name)
        };
        config.check(env, URL);
        config
    }

    /// Reads `DATABASE_LISTEN_URL`, the direct URL of the same database if `DATABASE_URL` goes through a transaction pooler.
    #[must_use]
    pub fn for_listening(&self, env: &mut Env) -> Self {
        match env.optional(LISTEN_URL) {
            None => self.clone(),
            Some(url) => {
                let config = Self {
                    url: url.into(),
                    ..self.clone()
                };
                config.check(env, LISTEN_URL);
                config
            }
        }
    }

    fn check(&self, env: &mut Env, variable: Variable) {
        if !self.url.expose_secret().is_empty() && connect_options(self).is_err() {
            env.fault(variable, "is not a Postgres connection URL");
        }
    }
}

/// No pool could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Has no source, because it could quote the URL and so a password.
    #[error("DATABASE_URL is not a Postgres connection URL")]
    Url,
    #[error("could not connect to the database")]
    Connect(#[source] sqlx::Error),
}

/// Opens a pool and checks that it can connect.
///
/// # Errors
/// If the URL does not parse, or no connection is made within the acquire timeout.
pub async fn connect(config: &PoolConfig) -> Result<PgPool, DbError> {
    open(config, config.max_connections, connect_options(config)?).await
}

/// Opens a pool as [`connect`] does, for transactions that serve many callers: a statement waits at most 50 ms for a lock,
/// so that one caller's lock does not delay the others.
///
/// # Errors
/// As [`connect`].
pub async fn connect_for_batches(
    config: &PoolConfig,
    max_connections: u32,
) -> Result<PgPool, DbError> {
    let options = connect_options(config)?.options([("lock_timeout", "50ms")]);
    open(config, max_connections, options).await
}

async fn open(
    config: &PoolConfig,
    max_connections: u32,
    options: PgConnectOptions,
) -> Result<PgPool, DbError> {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(Duration::from_secs(20))
        .after_release(|connection, _| {
            Box::pin(async move {
                // Outside a transaction the server only warns.
                connection.execute("rollback").await?;
                Ok(true)
            })
        })
        .connect_with(options)
        .await
        .map_err(DbError::Connect)
}

/// Opens a pool for single statements that commit by themselves. Never begin a transaction on it in a future that may be
/// dropped.
///
/// A statement on a [`connect`] pool costs four round trips: a test, the statement, ROLLBACK, and sqlx's test on release;
/// here it costs two. Without BEGIN a dropped future leaves no transaction behind, so no ROLLBACK is needed. Only a
/// connection that was idle for a second is tested first; one that broke since then fails a statement before it is replaced.
///
/// # Errors
/// If the URL does not parse, or no connection is made within the acquire timeout.
pub async fn connect_autocommit(
    config: &PoolConfig,
    max_connections: u32,
) -> Result<PgPool, DbError> {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(config.acquire_timeout)
        // The pool uses its connections in turn, so a longer timeout would keep connections that are not needed.
        .idle_timeout(Duration::from_secs(3))
        .min_connections(1)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for > Duration::from_secs(1) {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(connect_options(config)?)
        .await
        .map_err(DbError::Connect)
}

/// Returns the options of a connection outside of a pool.
///
/// # Errors
/// If the URL does not parse.
pub fn connect_options(config: &PoolConfig) -> Result<PgConnectOptions, DbError> {
    let options =
        PgConnectOptions::from_str(config.url.expose_secret()).map_err(|_| DbError::Url)?;
    Ok(options.application_name(config.application_name).options([
        (
            "statement_timeout",
            format!("{}ms", config.statement_timeout.as_millis()),
        ),
        ("lock_timeout", "2s".to_owned()),
        ("idle_in_transaction_session_timeout", "10s".to_owned()),
        // The after-release ROLLBACK would otherwise warn on every use.
        ("client_min_messages", "error".to_owned()),
    ]))
}

/// Whether a retry of the same statement may succeed: the connection or the server failed, or this transaction lost a
/// conflict with another.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Connection exceptions, insufficient resources, operator intervention (a restart), system errors …
            ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                // … serialization failure, deadlock, lock timeout, read-only (a replica about to be promoted).
                || ["40001", "40P01", "55P03", "25006"].contains(&code.as_ref())
        }),
        _ => false,
    }
}

/// Whether the statement reached its timeout.
pub fn is_statement_timeout(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("57014"))
}

/// The connections of a pool, for a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    pub idle: i64,
    pub used: i64,
}

/// Counts the open connections of the pool.
pub fn connections(pool: &PgPool) -> Connections {
    let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
    Connections {
        idle,
        used: (i64::from(pool.size()) - idle).max(0),
    }
}
