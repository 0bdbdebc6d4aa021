//! A worker process from its configuration to its orderly end.

use crate::{
    backend,
    config::WorkerConfig,
    engine::{Engine, Parts},
    handler::Registry,
    handlers, maintenance,
    metrics::WorkerMetrics,
    ops,
};
use anyhow::Context;
use jobs::{
    clock::Clock,
    commands::connect::check_keys,
    db,
    queue::{listen::Listener, notify::Notifier},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// For claims, renewals, looks and notifications: two of them at most are under way at the same time but for a moment.
const QUEUE_CONNECTIONS: u32 = 2;
/// For the last notifications and the loops' ends, once all attempts are settled.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A started worker: its loops run, its queues are not yet claimed from.
pub struct Worker {
    engine: Arc<Engine>,
    /// Outlives the attempts: the last settled job is announced too.
    signals: CancellationToken,
    ops: JoinHandle<std::io::Result<()>>,
}

/// Runs until SIGTERM or SIGINT, then lets running jobs end within the grace period and hands the rest back.
///
/// # Errors
/// If the worker cannot start: the database, its schema, the model or the ops address cannot be used.
pub async fn run(config: WorkerConfig) -> anyhow::Result<()> {
    let metrics = WorkerMetrics::new().context("could not register the metrics")?;
    let registry =
        handlers::registry(&config, &metrics).context("could not set up the handlers")?;
    let worker = Worker::start(config, registry, metrics).await?;
    stop_on_signals(worker.engine())?;
    worker.work().await
}

impl Worker {
    /// Connects, checks the schema and starts the loops.
    ///
    /// # Errors
    /// If the database, its schema or the ops address cannot be used.
    pub async fn start(
        config: WorkerConfig,
        registry: Registry,
        metrics: WorkerMetrics,
    ) -> anyhow::Result<Self> {
        let pool = db::connect(&config.pool).await?;
        db::check_schema(&pool).await?;
        check_keys(&pool, config.keys.as_ref()).await?;
        let queue_pool = db::connect_autocommit(&config.pool, QUEUE_CONNECTIONS).await?;
        metrics.declare(&registry.kinds(), &registry.queues());
        let mode = config.llm.mode();
        // Both series, so that an alert on one of them has something to look at.
        for known in ["live", "testing"] {
            let is_it = i64::from(known == mode);
            metrics.llm_mode.with_label_values(&[known]).set(is_it);
        }

        let tracker = TaskTracker::new();
        let signals = CancellationToken::new();
        let notifier = Notifier::spawn(queue_pool.clone(), &tracker, signals.clone());
        let listener = Listener::spawn(&config.listen, &tracker, signals.clone())?;
        let ops_listener = TcpListener::bind(config.ops_addr)
            .await
            .context("could not bind WORKER_OPS_ADDR")?;
        tracing::info!(addr = %ops_listener.local_addr()?, listener = "ops", "listening");

        let clock = Clock::System;
        let parts = Parts {
            config,
            pool,
            queue_pool,
            registry,
            metrics,
            notifier,
            listener,
            clock,
            tracker,
        };
        let engine = Engine::new(parts);
        engine.start();
        engine.tracker.spawn(maintenance::run(engine.clone()));
        let ops = engine
            .tracker
            .spawn(ops::serve(engine.clone(), ops_listener));
        tracing::info!(worker.id = %engine.worker, queues = ?engine.registry.queues(), llm.mode = mode, "working");
        Ok(Self {
            engine,
            signals,
            ops,
        })
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Claims and runs jobs until the engine is told to stop, then ends in order.
    ///
    /// # Errors
    /// If the runtime or the ops listener failed.
    pub async fn work(self) -> anyhow::Result<()> {
        let Self {
            engine,
            signals,
            ops,
        } = self;
        let ran = backend::run(engine.clone()).await;
        // Without its runtime the worker does nothing: the loops must not keep a process alive that looks well.
        engine.stopping.cancel();
        engine.held.drained().await;
        engine.drained.cancel();
        signals.cancel();
        engine.tracker.close();
        if tokio::time::timeout(LAST_WORDS, engine.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("some tasks did not end in time");
        }
        ops.await
            .context("the ops listener panicked")?
            .context("the ops listener failed")?;
        tracing::info!("stopped");
        ran
    }
}

/// The first signal stops in order, the second at once: its jobs come back when their leases expire.
fn stop_on_signals(engine: &Arc<Engine>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let engine = engine.clone();
    engine.tracker.clone().spawn(async move {
        tokio::select! {
            () = next(&mut terminate, &mut interrupt) => {}
            () = engine.stopping.cancelled() => return,
        }
        let grace = engine.config.grace;
        tracing::info!(
            grace_seconds = grace.as_secs_f64(),
            running = engine.held.count(),
            "stopping"
        );
        engine.stopping.cancel();
        tokio::select! {
            () = next(&mut terminate, &mut interrupt) => {
                tracing::warn!("second signal: stopping at once");
                std::process::exit(130);
            }
            () = tokio::time::sleep(grace) => engine.grace_over.cancel(),
            () = engine.drained.cancelled() => return,
        }
        tokio::select! {
            () = next(&mut terminate, &mut interrupt) => std::process::exit(130),
            () = engine.drained.cancelled() => {}
        }
    });
    Ok(())
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
