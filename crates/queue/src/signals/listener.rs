//! Hearing what other processes notify: one LISTEN connection, a heartbeat over it, and a new one when it goes deaf.
//!
//! A connection can look alive and hear nothing (a pooler, a half-open socket). So the listener notifies itself and
//! replaces the connection when its own voice does not come back. After each replacement it says [`Signal::Resumed`]:
//! signals may have been lost, look again.

use super::notifier::CHANNEL;
use base::{
    JobId,
    db::{PoolConfig, connect_options},
};
use sqlx::{
    Executor,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// The listener's own signal, by which it hears whether its connection still works.
const HEARTBEAT_TOPIC: &str = "heartbeat";
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Without any notification for this long, the heartbeat's own included, the connection counts as deaf.
const DEAF_AFTER: Duration = Duration::from_secs(22);
/// For a connection, and for its own voice.
const PATIENCE: Duration = Duration::from_secs(5);
const RECONNECT: Duration = Duration::from_millis(500);

/// Something that another process (or this one) committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    JobAvailable {
        queue: String,
    },
    /// A job was enqueued for later.
    JobScheduled,
    JobFinished {
        job: JobId,
    },
    /// A running job is not wanted any more.
    CancelRequested {
        job: JobId,
    },
    /// A signal of the program's own, sent by [`super::notifier::Notifier::custom`].
    Custom {
        topic: String,
        payload: String,
    },
    /// The connection was replaced: signals may have been lost, so look again.
    Resumed,
}

impl Signal {
    fn parse(payload: &str) -> Option<Self> {
        let (verb, id) = payload.split_once(' ')?;
        match verb {
            "available" => Some(Self::JobAvailable {
                queue: id.to_owned(),
            }),
            "scheduled" => Some(Self::JobScheduled),
            "finished" => Some(Self::JobFinished {
                job: id.parse().ok()?,
            }),
            "cancel" => Some(Self::CancelRequested {
                job: id.parse().ok()?,
            }),
            HEARTBEAT_TOPIC => None,
            topic => Some(Self::Custom {
                topic: topic.to_owned(),
                payload: id.to_owned(),
            }),
        }
    }
}

/// A handle for hearing signals; cheap to clone.
#[derive(Clone)]
pub struct Listener {
    signals: broadcast::Sender<Signal>,
    alive: Arc<AtomicBool>,
}

impl Listener {
    /// Starts listening on a connection of its own; `config.url` must not go through a transaction pooler.
    ///
    /// # Errors
    /// If the URL does not parse. A database that is down is waited for.
    pub fn spawn(
        config: &PoolConfig,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, base::db::DbError> {
        let listener = Self {
            signals: broadcast::channel(4096).0,
            alive: Arc::new(AtomicBool::new(false)),
        };
        tracker.spawn(listen_loop(
            connect_options(config)?,
            listener.clone(),
            stop,
        ));
        Ok(listener)
    }

    /// Signals from now on. A receiver that lags must look again, as after [`Signal::Resumed`].
    pub fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// Whether the connection is up and was heard of lately.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    fn publish(&self, signal: Signal) {
        // No subscriber is no fault: the API without a waiting client has none.
        drop(self.signals.send(signal));
    }
}

async fn listen_loop(options: PgConnectOptions, listener: Listener, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = listen(&options, &listener) => {
                listener.alive.store(false, Ordering::Relaxed);
                match ended {
                    Ok(()) => tracing::warn!("LISTEN connection went deaf; opening another"),
                    Err(error) => tracing::warn!(%error, "LISTEN connection failed; opening another"),
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}

/// Listens on one connection until it fails or goes deaf.
async fn listen(options: &PgConnectOptions, listener: &Listener) -> Result<(), sqlx::Error> {
    // PgListener wants a pool; one connection, and none kept for later.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_with(options.clone())
        .await?;
    let mut connection = PgListener::connect_with(&pool).await?;
    connection.eager_reconnect(false);
    connection.listen(CHANNEL).await?;
    listener.alive.store(true, Ordering::Relaxed);
    listener.publish(Signal::Resumed);

    let voice = format!("{HEARTBEAT_TOPIC} {}", Uuid::now_v7());
    let mut last_heard = Instant::now();
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = connection.try_recv() => {
                // None: the connection was lost and what came meanwhile with it.
                let Some(notification) = received? else { return Ok(()) };
                last_heard = Instant::now();
                if let Some(signal) = Signal::parse(notification.payload()) {
                    listener.publish(signal);
                }
            }
            _ = beat.tick() => {
                if last_heard.elapsed() > DEAF_AFTER {
                    return Ok(());
                }
                let spoken = timeout(PATIENCE, send(&mut connection, &voice)).await;
                if !matches!(spoken, Ok(Ok(()))) {
                    return Ok(());
                }
            }
        }
    }
}

/// Speaks on the listening connection itself, so that a deaf or dead one is found out.
async fn send(connection: &mut PgListener, payload: &str) -> Result<(), sqlx::Error> {
    let statement = sqlx::query!("select pg_notify($1, $2)", CHANNEL, payload);
    connection.execute(statement).await.map(|_| ())
}
