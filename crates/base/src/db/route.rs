//! [`Route`]: a way to the servers of a URL, for pools and single connections.

use super::{
    DbError, PoolConfig,
    relay::{Refusal, Relay},
};
use sqlx::{
    Connection, Executor, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// An answer that is later than twice the timeout of its statement and this does not come any more.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// How long a connection to a server that takes no writes is used: a name may lead to another one since then.
const READ_ONLY_AGE: Duration = Duration::from_secs(5);
/// The longest time, as a rule, of a new connection, and from its check to its first use.
const CHECK_TIME: Duration = Duration::from_secs(1);

/// A way to the database: connections are replaced when they go silent or lead to a standby, and a host that takes no writes
/// is passed over.
#[derive(Clone, Debug)]
pub struct Route {
    options: PgConnectOptions,
    relay: Option<Relay>,
    read_write: bool,
    /// When the last connection was opened to a server that takes no writes.
    read_only_at: Arc<Mutex<Option<Instant>>>,
}

impl Route {
    /// Prepares connections until `stop` is set. Connects to nothing yet.
    ///
    /// # Errors
    /// If the URL does not parse.
    pub fn open(config: &PoolConfig, stop: CancellationToken) -> Result<Self, DbError> {
        let target = config.target()?;
        let options = named(target.options, config);
        let answer_timeout = config.statement_timeout * 2 + ANSWER_GRACE;
        let relay = if target.hosts.is_empty() || cfg!(not(target_os = "linux")) {
            None
        } else {
            let port = options.get_port();
            Some(Relay::start(target.hosts, port, answer_timeout, stop).map_err(DbError::Relay)?)
        };
        let options = match &relay {
            Some(relay) => options.socket(relay.directory()),
            None => options,
        };
        Ok(Self {
            options,
            relay,
            read_write: target.read_write,
            read_only_at: Arc::default(),
        })
    }

    /// Opens a pool of one connection, for LISTEN.
    ///
    /// # Errors
    /// If no connection is made within `timeout`.
    pub async fn connect_one(&self, timeout: Duration) -> Result<PgPool, sqlx::Error> {
        let options = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(timeout);
        self.connect(options, Some(super::IDLE)).await
    }

    /// Opens a pool with these options. `limits` is a statement that every new connection executes first.
    pub(super) async fn connect(
        &self,
        options: PgPoolOptions,
        limits: Option<&'static str>,
    ) -> Result<PgPool, sqlx::Error> {
        let route = self.clone();
        options
            .after_connect(move |connection, _| {
                let route = route.clone();
                Box::pin(async move {
                    if let Some(limits) = limits {
                        connection.execute(limits).await?;
                    }
                    route.check_host(connection).await
                })
            })
            .connect_with(self.options.clone())
            .await
    }

    /// Says why no connection was made: sqlx sees a socket of the relay and a timeout, where the relay knows the host and
    /// what it answered.
    pub(super) async fn failure(&self, error: sqlx::Error) -> DbError {
        if let Some(Refusal { host, error }) = self.relay.as_ref().and_then(Relay::take_refusal) {
            return DbError::Host {
                host: host.to_string(),
                source: error.into(),
            };
        }
        if matches!(error, sqlx::Error::PoolTimedOut)
            && let Err(answer @ sqlx::Error::Database(_)) = try_connect(&self.options).await
        {
            return DbError::Connect(answer);
        }
        DbError::Connect(error)
    }

    async fn check_host(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if takes_writes(connection).await? {
            return Ok(());
        }
        if let Some(relay) = &self.relay {
            relay.reject_host();
        }
        if !self.read_write {
            *self.read_only_at() = Some(Instant::now());
            return Ok(());
        }
        Err(sqlx::Error::Protocol(
            "the host is read-only; trying the next one".to_owned(),
        ))
    }

    /// Whether a connection of this age is to be replaced, because it may lead to a server that takes no writes: a standby
    /// that is not the one to use any more would be used until the connection's end.
    pub(super) fn is_stale(&self, age: Duration) -> bool {
        // Its age begins after the check.
        let opened_before = |moment: Instant| moment.elapsed() <= age + CHECK_TIME;
        age > READ_ONLY_AGE && self.read_only_at().is_some_and(opened_before)
    }

    fn read_only_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.read_only_at
            .lock()
            .expect("no holder of this lock can panic")
    }
}

/// Asks the server for one connection, for the answer that a pool keeps to itself: it tries again while the server is full or
/// starts, and says then that it waited.
///
/// # Errors
/// What the server answers if it gives none, or that it does not answer within a second.
pub async fn try_connect(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let connecting = tokio::time::timeout(CHECK_TIME, PgConnection::connect_with(options));
    let connection = connecting.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    connection.close().await
}

async fn takes_writes(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = connection.fetch_one("show transaction_read_only").await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}

/// Returns the options of a direct connection outside of a pool, without limits: to the first host of the URL.
///
/// # Errors
/// If the URL does not parse.
pub fn connect_options(config: &PoolConfig) -> Result<PgConnectOptions, DbError> {
    Ok(named(config.target()?.options, config))
}

/// Returns the options of a direct connection to the first host that accepts one, and takes writes if the URL asks for that.
///
/// # Errors
/// If the URL does not parse, or no host is suitable.
pub async fn connect_options_of_primary(config: &PoolConfig) -> Result<PgConnectOptions, DbError> {
    let target = config.target()?;
    let mut refused = None;
    for host in &target.hosts {
        let options = named(target.options.clone(), config)
            .host(&host.name)
            .port(host.port);
        let checked = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            let suits = !target.read_write || takes_writes(&mut connection).await?;
            connection.close().await?;
            Ok(suits)
        };
        match tokio::time::timeout(config.acquire_timeout, checked).await {
            Ok(Ok(true)) => return Ok(options),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => refused = Some((host, error)),
            Err(_) => {
                refused = Some((
                    host,
                    std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
                ));
            }
        }
    }
    match refused {
        None if target.hosts.is_empty() => Ok(named(target.options, config)),
        None => Err(DbError::ReadOnly {
            variable: config.variable,
        }),
        Some((host, source)) => Err(DbError::Host {
            host: host.to_string(),
            source,
        }),
    }
}

fn named(options: PgConnectOptions, config: &PoolConfig) -> PgConnectOptions {
    // A start-up parameter that poolers refuse; since Postgres 12 the server's default keeps every digit.
    options
        .application_name(config.application_name)
        .extra_float_digits(None)
}
