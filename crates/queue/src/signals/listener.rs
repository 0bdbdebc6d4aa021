//! [`Listener`]: receives the notifications of other processes over one LISTEN connection.
//!
//! A connection can look alive and receive nothing (behind a pooler, or with a half-open socket). So the listener notifies
//! itself and replaces the connection when that heartbeat does not come back. After each replacement it publishes
//! [`Signal::Resumed`], because signals may have been lost.

use super::notifier::CHANNEL;
use base::{
    JobId,
    db::{PoolConfig, Route},
    telemetry::chain,
};
use sqlx::{Executor, postgres::PgListener};
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

/// The topic of the listener's own signal, which shows that the connection works.
const HEARTBEAT_TOPIC: &str = "heartbeat";
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// Without a notification for this long, heartbeats included, the connection counts as down.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(22);
/// The timeout of a connection attempt and of sending a heartbeat.
const TIMEOUT: Duration = Duration::from_secs(5);
const RECONNECT_DELAY: Duration = Duration::from_millis(500);

/// A notification of this process or another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The queue has a claimable job.
    JobAvailable { queue: String },
    /// A job was enqueued for later.
    JobScheduled,
    /// The jobs reached a final state: one signal for all of a notification, because it wakes every receiver.
    JobsFinished { jobs: Arc<[JobId]> },
    /// The cancellation of a running job was requested.
    CancelRequested { job: JobId },
    /// A signal of the program, sent by [`super::notifier::Notifier::custom`].
    Custom { topic: String, payload: String },
    /// The connection was replaced: signals may have been lost, so poll again.
    Resumed,
}

impl Signal {
    /// Reads a payload; what cannot be read is left to the polls.
    fn parse(payload: &str) -> Option<Self> {
        let (verb, id) = payload.split_once(' ')?;
        let job = |id: &str| id.parse::<JobId>().ok();
        match verb {
            "available" => Some(Self::JobAvailable {
                queue: id.to_owned(),
            }),
            "scheduled" => Some(Self::JobScheduled),
            "finished" => Some(Self::JobsFinished {
                jobs: id.split(',').filter_map(job).collect(),
            }),
            "cancel" => job(id).map(|job| Self::CancelRequested { job }),
            HEARTBEAT_TOPIC => None,
            topic => Some(Self::Custom {
                topic: topic.to_owned(),
                payload: id.to_owned(),
            }),
        }
    }
}

/// A handle for receiving signals; cheap to clone.
#[derive(Clone)]
pub struct Listener {
    signals: broadcast::Sender<Signal>,
    alive: Arc<AtomicBool>,
}

impl Listener {
    /// Starts listening on a connection of its own; `config.url` must not go through a transaction pooler.
    ///
    /// # Errors
    /// If the URL does not parse. If the database is down, the listener keeps trying to connect.
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
            Route::open(config, stop.clone())?,
            listener.clone(),
            stop,
        ));
        Ok(listener)
    }

    /// Returns a receiver of the signals from now on. A receiver that lags must poll again, as after [`Signal::Resumed`].
    pub fn subscribe(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }

    /// Whether the connection is up.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    fn publish(&self, signal: Signal) {
        // Sending fails without a subscriber, which is no error.
        drop(self.signals.send(signal));
    }
}

async fn listen_loop(route: Route, listener: Listener, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            ended = listen(&route, &listener) => {
                listener.alive.store(false, Ordering::Relaxed);
                match ended {
                    Ok(()) => tracing::warn!("LISTEN connection is down: it receives no notifications; reconnecting"),
                    Err(error) => tracing::warn!(error = chain(&error), "LISTEN connection failed; reconnecting"),
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECONNECT_DELAY) => {}
        }
    }
}

/// Listens on one connection until it fails or receives nothing any more.
async fn listen(route: &Route, listener: &Listener) -> Result<(), sqlx::Error> {
    // PgListener needs a pool: one of a single connection.
    let pool = route.connect_one(TIMEOUT).await?;
    let mut connection = PgListener::connect_with(&pool).await?;
    connection.eager_reconnect(false);
    connection.listen(CHANNEL).await?;
    listener.alive.store(true, Ordering::Relaxed);
    listener.publish(Signal::Resumed);

    let heartbeat = format!("{HEARTBEAT_TOPIC} {}", Uuid::now_v7());
    let mut last_received = Instant::now();
    let mut tick = interval(HEARTBEAT_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            received = connection.try_recv() => {
                // None: the connection was lost.
                let Some(notification) = received? else { return Ok(()) };
                last_received = Instant::now();
                if let Some(signal) = Signal::parse(notification.payload()) {
                    listener.publish(signal);
                }
            }
            _ = tick.tick() => {
                if last_received.elapsed() > SILENCE_TIMEOUT {
                    return Ok(());
                }
                let sent = timeout(TIMEOUT, send(&mut connection, &heartbeat)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return Ok(());
                }
            }
        }
    }
}

/// Sends a notification on the listening connection itself, so that a dead one is detected.
async fn send(connection: &mut PgListener, payload: &str) -> Result<(), sqlx::Error> {
    let statement = sqlx::query!("select pg_notify($1, $2)", CHANNEL, payload);
    connection.execute(statement).await.map(|_| ())
}
