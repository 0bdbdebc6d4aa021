//! Database pools, and the classes of database errors.
//!
//! sqlx 0.9 can return a connection to the pool inside a stale transaction when a future is dropped during `begin()`; writes
//! of the next user would then be lost although they were acknowledged. [`connect`] therefore rolls back whenever a
//! connection is released. sqlx also waits without a limit on a connection that went silent: a relay of this process
//! closes those.

mod errors;
mod hosts;
mod relay;
mod route;

pub use errors::{
    Unavailability, advice, is_lock_timeout, is_statement_timeout, is_transient,
    lost_prepared_statement,
};
pub use hosts::UrlError;
pub use route::{Route, connect_options, connect_options_of_primary, try_connect};

/// For callers that hold a pool and pass on its errors, and write no SQL themselves.
pub use sqlx::{Error as SqlError, PgPool};

use crate::env::{Env, Variable};
use hosts::Target;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, Executor, postgres::PgPoolOptions};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const URL: Variable = Variable::required(
    "DATABASE_URL",
    "postgres://postroom@localhost/postroom",
    "Postgres 15 or newer, `postgres://user:password@host/database`; with several hosts, `…@a:5432,b:5432/database?target_session_attrs=read-write`",
);
const LISTEN_URL: Variable = Variable::optional(
    "DATABASE_LISTEN_URL",
    "postgres://postroom@localhost/postroom",
    "`DATABASE_URL`",
    "A direct connection for LISTEN and for migrations; set it where `DATABASE_URL` leads through a transaction pooler",
);
const MAX_CONNECTIONS: Variable = Variable::with_default(
    "DATABASE_MAX_CONNECTIONS",
    "8",
    "Connections in the pool, at least 2. Besides it, each process has one that listens, the API three for what requests share, and the worker three for the queue",
);

/// The variables of a process that uses the database.
pub const VARIABLES: &[Variable] = &[URL, LISTEN_URL, MAX_CONNECTIONS];

/// The descriptors of one connection: the relay has a socket to the server, and each end of one to sqlx.
pub const DESCRIPTORS_PER_CONNECTION: usize = 3;

/// The longest wait for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for a lock in a transaction that serves many callers.
const BATCH_LOCK_TIMEOUT: Duration = Duration::from_millis(50);
const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// A limit on idle sessions would end those that listen, and those of a pool between two uses.
const IDLE: &str = "set idle_session_timeout = 0";
/// A snapshot of the whole transaction would not see what it waited for.
const ISOLATED: &str = "set default_transaction_isolation = 'read committed'";
/// What was accepted outlives a crash of Postgres. The other values wait for the disk, and are the operator's choice. A
/// transaction that may be lost says so itself.
const DURABLE: &str = "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";
/// Postgres has a limit on transactions since 17: one of the role would end the storing of a large email.
const LONG: &str = "select set_config('transaction_timeout', '0', false) where current_setting('transaction_timeout', true) is not null";
/// BEGIN warns inside a transaction, which is rare, where ROLLBACK alone warns outside of one, on every release. In a failed
/// transaction it is an error, and the connection is closed.
const ROLL_BACK: &str = "begin; rollback";

/// The settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    pub url: SecretString,
    /// The variable that holds the URL.
    pub variable: &'static str,
    pub max_connections: u32,
    /// How long a caller waits for a free connection.
    pub acquire_timeout: Duration,
    pub statement_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: &'static str,
    /// The URL leads through a transaction pooler: a session's settings last for one transaction or less.
    pub is_pooled: bool,
}

impl PoolConfig {
    /// The settings for this URL, with 8 connections and timeouts of 5 s.
    pub fn new(url: impl Into<SecretString>, application_name: &'static str) -> Self {
        Self {
            url: url.into(),
            variable: URL.name,
            max_connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            application_name,
            is_pooled: false,
        }
    }

    /// Reads `DATABASE_URL` and `DATABASE_MAX_CONNECTIONS`; the timeouts are those of [`PoolConfig::new`].
    pub fn from_env(env: &mut Env, application_name: &'static str) -> Self {
        let max_connections: u32 = env.parse(MAX_CONNECTIONS, "a number of connections");
        if max_connections < 2 {
            env.fault(MAX_CONNECTIONS, "is less than 2");
        }
        Self::with_connections(env, max_connections.max(2), application_name)
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
            is_pooled: env.optional(LISTEN_URL).is_some(),
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
                    variable: LISTEN_URL.name,
                    is_pooled: false,
                    ..self.clone()
                };
                config.check(env, LISTEN_URL);
                config
            }
        }
    }

    fn target(&self) -> Result<Target, DbError> {
        let variable = self.variable;
        let target = Target::parse(self.url.expose_secret());
        target.map_err(|problem| DbError::Url { variable, problem })
    }

    fn check(&self, env: &mut Env, variable: Variable) {
        let url = self.url.expose_secret();
        if url.is_empty() {
            return;
        }
        if let Err(problem) = Target::parse(url) {
            env.fault(variable, problem.to_string());
        }
    }
}

/// No pool could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("{variable} {problem}")]
    Url {
        variable: &'static str,
        problem: UrlError,
    },
    #[error("could not connect to the database")]
    Connect(#[source] sqlx::Error),
    /// `host` is the last one that was tried.
    #[error("could not connect to the database at {host}")]
    Host {
        host: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("no host in {variable} takes writes")]
    ReadOnly { variable: &'static str },
    #[error("could not open the socket of the database relay")]
    Relay(#[source] std::io::Error),
}

/// Opens a pool and checks that it can connect.
///
/// # Errors
/// If the URL does not parse, or no connection is made within the acquire timeout.
pub async fn connect(config: &PoolConfig) -> Result<PgPool, DbError> {
    let limits = limits(config, LOCK_TIMEOUT);
    let options = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .idle_timeout(Duration::from_secs(20))
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.execute(ROLL_BACK).await?;
                Ok(true)
            })
        });
    let refresh = if config.is_pooled {
        Refresh::Limits(limits)
    } else {
        Refresh::Nothing
    };
    open(config, options, limits, refresh).await
}

/// Opens a pool for single statements that commit by themselves. Never begin a transaction on it in a future that may be
/// dropped.
///
/// A statement on a [`connect`] pool costs four round trips: a test, the statement, the rollback, and sqlx's test on release;
/// here it costs two. Without BEGIN a dropped future leaves no transaction behind, so no rollback is needed. Only a
/// connection that was idle for a second is tested first; one that broke since then fails a statement before it is replaced.
///
/// # Errors
/// If the URL does not parse, or no connection is made within the acquire timeout.
pub async fn connect_autocommit(
    config: &PoolConfig,
    max_connections: u32,
) -> Result<PgPool, DbError> {
    open_without_rollback(config, max_connections, limits(config, LOCK_TIMEOUT)).await
}

/// Opens a pool for the transactions of tasks that serve many callers and are never dropped: as [`connect_autocommit`] does,
/// without a test and a rollback around each use. A statement waits at most 50 ms for a lock, so that one caller's lock does
/// not delay the others.
///
/// # Errors
/// As [`connect`].
pub async fn connect_for_batches(
    config: &PoolConfig,
    max_connections: u32,
) -> Result<PgPool, DbError> {
    open_without_rollback(config, max_connections, limits(config, BATCH_LOCK_TIMEOUT)).await
}

async fn open_without_rollback(
    config: &PoolConfig,
    max_connections: u32,
    limits: &'static str,
) -> Result<PgPool, DbError> {
    let options = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(config.acquire_timeout)
        // Never `min_connections`: to restore the minimum, sqlx's maintenance takes a permit and keeps it between its
        // attempts. In a pool of one no caller got a connection for half a minute after Postgres was back.
        .idle_timeout(idle_timeout(max_connections))
        .test_before_acquire(false);
    let refresh = if config.is_pooled {
        Refresh::Limits(limits)
    } else {
        Refresh::Ping
    };
    open(config, options, limits, refresh).await
}

/// What a connection of a pool executes before its next use.
#[derive(Clone, Copy, Debug)]
enum Refresh {
    Nothing,
    /// A test, if it was idle for a second.
    Ping,
    /// The limits, which a transaction pooler does not keep.
    Limits(&'static str),
}

/// A single connection is kept, so that a request after a pause does not wait for a new one. Several are used in turn, and a
/// longer timeout would keep those that are not needed.
fn idle_timeout(max_connections: u32) -> Duration {
    Duration::from_secs(if max_connections == 1 { 600 } else { 3 })
}

/// Opens a pool whose connections lead through the relay, with these limits.
async fn open(
    config: &PoolConfig,
    options: PgPoolOptions,
    limits: &'static str,
    refresh: Refresh,
) -> Result<PgPool, DbError> {
    let stop = CancellationToken::new();
    let route = Route::open(config, stop.clone())?;
    let used_again = route.clone();
    let options = options.before_acquire(move |connection, metadata| {
        let is_stale = used_again.is_stale(metadata.age);
        Box::pin(async move {
            if is_stale {
                return Ok(false);
            }
            match refresh {
                Refresh::Limits(limits) => {
                    connection.execute(limits).await?;
                }
                Refresh::Ping if metadata.idle_for > Duration::from_secs(1) => {
                    connection.ping().await?;
                }
                Refresh::Ping | Refresh::Nothing => {}
            }
            Ok(true)
        })
    });
    let connected = route.connect(options, Some(limits)).await;
    let pool = match connected {
        Ok(pool) => pool,
        Err(error) => {
            // The relay is still asked why.
            let failure = route.failure(error).await;
            stop.cancel();
            return Err(failure);
        }
    };
    let closed = pool.close_event();
    tokio::spawn(async move {
        closed.await;
        stop.cancel();
    });
    Ok(pool)
}

/// The statement that sets the limits of a session and what every statement is written for, whatever the defaults of the
/// role and the database are. A start-up parameter would do it without a round trip, but a pooler refuses those that it does
/// not know.
fn limits(config: &PoolConfig, lock_timeout: Duration) -> &'static str {
    let sql = format!(
        "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = {}; \
         {IDLE}; {ISOLATED}; {DURABLE}; {LONG}",
        config.statement_timeout.as_millis(),
        lock_timeout.as_millis(),
        IDLE_IN_TRANSACTION_TIMEOUT.as_millis(),
    );
    // A process opens a handful of pools.
    String::leak(sql)
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
