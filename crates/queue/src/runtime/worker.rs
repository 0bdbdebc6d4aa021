//! [`Worker`]: starts a worker, runs it, and stops it in order.
//!
//! Installs no signal handlers and serves no HTTP: the program does both, with [`Worker::engine`].

use super::{
    backend,
    config::RuntimeConfig,
    duty::{Duty, PruneFinished, SampleQueues},
    engine::{Engine, EngineParts},
    handler::Registry,
    loops,
    metrics::RuntimeMetrics,
    recorder::Recorder,
};
use crate::signals::{listener::Listener, notifier::Notifier};
use base::{
    clock::Clock,
    db::{self, DbError, PoolConfig},
};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections for claims, renewals, polls, notifications and batches of settles. Two batches may wait for the disk at the
/// same time, and a lease must be renewed meanwhile.
const QUEUE_CONNECTIONS: u32 = 3;
/// How long the worker waits for its last notifications and its loops, once all attempts are settled.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long [`Setup::connect`] keeps finished jobs.
const RETENTION: Duration = Duration::from_hours(7 * 24);

/// A started worker: its loops run, and [`Worker::work`] claims jobs.
pub struct Worker {
    engine: Arc<Engine>,
    /// Stops the notifier after the attempts, so that the last job is notified too.
    signals: CancellationToken,
}

/// The parts of a worker. [`Setup::connect`] has defaults for most of them.
pub struct Setup {
    pub config: RuntimeConfig,
    /// Connections for the handlers.
    pub pool: PgPool,
    /// The same database, for the queue's own connections.
    pub database: PoolConfig,
    /// A direct connection for LISTEN; the same as `database` unless a transaction pooler is in between.
    pub listen: PoolConfig,
    pub registry: Registry,
    pub metrics: RuntimeMetrics,
    pub recorder: Recorder,
    pub duties: Vec<Arc<dyn Duty>>,
}

impl Setup {
    /// Connects to the database and returns a setup with default settings: 16 jobs per queue at the same time, no recorder,
    /// and finished jobs kept for a week.
    ///
    /// # Errors
    /// If no connection can be made.
    pub async fn connect(database: PoolConfig, registry: Registry) -> Result<Self, DbError> {
        Ok(Self {
            config: RuntimeConfig::default(),
            pool: db::connect(&database).await?,
            listen: database.clone(),
            database,
            registry,
            metrics: RuntimeMetrics::register(&base::prometheus::Registry::new())
                .expect("a new registry has no metrics yet"),
            recorder: None,
            duties: vec![
                Arc::new(SampleQueues),
                Arc::new(PruneFinished::after(RETENTION)),
            ],
        })
    }

    /// Adds periodic work.
    #[must_use]
    pub fn with_duty(mut self, duty: impl Duty) -> Self {
        self.duties.push(Arc::new(duty));
        self
    }
}

impl Worker {
    /// Opens the queue's own connections and starts the loops.
    ///
    /// # Errors
    /// If no connection can be made.
    pub async fn start(setup: Setup) -> Result<Self, DbError> {
        let Setup {
            config,
            pool,
            database,
            listen,
            registry,
            metrics,
            recorder,
            duties,
        } = setup;
        let queue_pool = db::connect_autocommit(&database, QUEUE_CONNECTIONS).await?;
        let names: Vec<_> = duties.iter().map(|duty| duty.name()).collect();
        metrics.declare(&registry.kinds(), &registry.queues(), &names);
        let tracker = TaskTracker::new();
        let signals = CancellationToken::new();
        let notifier = Notifier::spawn(queue_pool.clone(), &tracker, signals.clone());
        let listener = Listener::spawn(&listen, &tracker, signals.clone())?;
        let engine = Engine::new(EngineParts {
            config,
            pool,
            queue_pool,
            registry,
            metrics,
            recorder,
            duties,
            notifier,
            listener,
            clock: Clock::System,
            tracker,
        });
        loops::start(&engine);
        Ok(Self { engine, signals })
    }

    /// The state of the running worker.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Runs jobs as [`Worker::work`] does until `shutdown` completes, for example on a signal.
    ///
    /// Running jobs then have the grace period to end; the others return to the queue without losing an attempt.
    ///
    /// # Errors
    /// If the runtime fails.
    pub async fn work_until(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let engine = self.engine.clone();
        self.engine.tracker.spawn(async move {
            tokio::select! {
                () = shutdown => engine.stopping.cancel(),
                () = engine.stopping.cancelled() => {}
            }
            tokio::select! {
                () = tokio::time::sleep(engine.config.grace) => engine.grace_over.cancel(),
                () = engine.drained.cancelled() => {}
            }
        });
        self.work().await
    }

    /// Claims and runs jobs until the engine's token `stopping` is cancelled, then waits for running jobs.
    ///
    /// # Errors
    /// If the runtime fails.
    pub async fn work(self) -> anyhow::Result<()> {
        let Self { engine, signals } = self;
        let ran = backend::run(engine.clone()).await;
        // After a failure of the runtime too: the loops alone would keep a process alive that claims nothing.
        engine.stopping.cancel();
        engine.leases.drained().await;
        engine.drained.cancel();
        signals.cancel();
        engine.tracker.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, engine.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("some of the worker's tasks did not end in time");
        }
        ran
    }
}
