//! [`Worker`]: a worker from its parts to its orderly end.
//!
//! Installs no signal handlers and serves no HTTP: the program does, with [`Worker::engine`].

use super::{
    backend,
    config::RuntimeConfig,
    duty::Duty,
    engine::{Engine, Parts},
    handler::Registry,
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

/// For claims, renewals, polls and notifications: two of them at most are under way at the same time but for a moment.
const QUEUE_CONNECTIONS: u32 = 2;
/// For the last notifications and the loops' ends, once all attempts are settled.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// A started worker: its loops run, its queues are not yet claimed from.
pub struct Worker {
    engine: Arc<Engine>,
    /// Outlives the attempts: the last settled job is announced too.
    signals: CancellationToken,
}

/// What a worker is made of.
pub struct Setup {
    pub config: RuntimeConfig,
    /// For the handlers' work.
    pub pool: PgPool,
    /// The same database, for single statements on the queue itself.
    pub database: PoolConfig,
    /// A direct connection for LISTEN; the same as `database` where no transaction pooler is in between.
    pub listen: PoolConfig,
    pub registry: Registry,
    pub metrics: RuntimeMetrics,
    pub recorder: Recorder,
    pub duties: Vec<Box<dyn Duty>>,
}

impl Worker {
    /// Opens the queue's own connections and starts the loops.
    ///
    /// # Errors
    /// If the database cannot be used.
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
        metrics.declare(&registry.kinds(), &registry.queues());
        let tracker = TaskTracker::new();
        let signals = CancellationToken::new();
        let notifier = Notifier::spawn(queue_pool.clone(), &tracker, signals.clone());
        let listener = Listener::spawn(&listen, &tracker, signals.clone())?;
        let engine = Engine::new(Parts {
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
        engine.start();
        Ok(Self { engine, signals })
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Claims and runs jobs until the engine is told to stop, then ends in order.
    ///
    /// # Errors
    /// If the runtime failed.
    pub async fn work(self) -> anyhow::Result<()> {
        let Self { engine, signals } = self;
        let ran = backend::run(engine.clone()).await;
        // Without its runtime the worker does nothing: the loops must not keep a process alive that looks well.
        engine.stopping.cancel();
        engine.held.drained().await;
        engine.drained.cancel();
        signals.cancel();
        engine.tracker.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, engine.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not end in time");
        }
        ran
    }
}
