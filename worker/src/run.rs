//! Runs a worker process from its configuration to its shutdown: [`run`].

use crate::{
    config::WorkerConfig,
    handlers::{self, Handlers, model_failure::effects::STOPPING_CLASSES},
    maintenance::{self, Retention},
    metrics::WorkerMetrics,
    ops,
    providers::Providers,
    watch::Watcher,
};
use anyhow::Context;
use base::{db, descriptors, signals::UserSignals};
use jobs::{
    commands::{jobs::AuditRecorder, secrets::check_keys},
    schema::{check_schema, report_transactions},
    store::llm_lanes,
};
use queue::{
    operate::readiness::check_pooler,
    runtime::{Setup, engine::Engine},
};
use std::sync::Arc;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

/// A started worker: its loops run, but it does not claim jobs yet.
pub struct Worker {
    runtime: queue::runtime::Worker,
    ops: JoinHandle<std::io::Result<()>>,
}

/// Runs until SIGTERM or SIGINT, then lets running jobs finish within the grace period and releases the rest.
///
/// # Errors
/// If the worker cannot start: the database, its schema, the model or the ops address is unusable.
pub async fn run(config: WorkerConfig) -> anyhow::Result<()> {
    let signals = UserSignals::open().context("could not listen for SIGHUP")?;
    let descriptors = descriptors::raise().context("could not raise the limit of descriptors")?;
    tracing::info!(descriptors, "limits of this process");
    let metrics = WorkerMetrics::new().context("could not register the metrics")?;
    let handlers =
        handlers::registry(&config, &metrics).context("could not set up the handlers")?;
    let worker = Worker::start(config, handlers, metrics).await?;
    stop_on_signals(worker.engine())?;
    ignore_others(worker.engine(), signals);
    worker.work().await
}

impl Worker {
    /// Connects, checks the schema and starts the loops.
    ///
    /// # Errors
    /// If the database, its schema or the ops address is unusable.
    pub async fn start(
        config: WorkerConfig,
        handlers: impl Into<Handlers>,
        metrics: WorkerMetrics,
    ) -> anyhow::Result<Self> {
        let Handlers {
            registry,
            access,
            memory,
            providers,
        } = handlers.into();
        let pool = db::connect(&config.pool).await?;
        if config.pool.is_pooled {
            check_pooler(&pool).await?;
        }
        check_schema(&pool).await?;
        report_transactions(&pool).await;
        check_keys(&pool, config.keys.as_ref()).await?;
        llm_lanes::probe_now(&pool, &STOPPING_CLASSES)
            .await
            .context("could not read the lanes of the models")?;
        let ops_listener = TcpListener::bind(config.ops_addr)
            .await
            .with_context(|| format!("WORKER_OPS_ADDR: could not listen on {}", config.ops_addr))?;
        tracing::info!(addr = %ops_listener.local_addr()?, listener = "ops", "listening");
        let mode = config.llm.mode();
        metrics.assistant.show_llm_mode(mode);
        let providers = providers
            .unwrap_or_else(|| Providers::new(config.keys, config.guard, config.smtp_helo_name));
        let mut duties = maintenance::duties(
            Retention {
                finished_jobs: config.retention,
                llm_calls: config.call_retention_days,
                fetched_emails: config.watch.retention_days,
            },
            providers.clone(),
            &metrics.assistant.approvals_expired_total,
            &metrics.spend,
        );
        duties.extend(
            access
                .clone()
                .map(|access| maintenance::batches(access, config.batch_every)),
        );
        let runtime = queue::runtime::Worker::start(Setup {
            config: config.runtime,
            pool,
            database: config.pool,
            listen: config.listen,
            registry,
            metrics: metrics.runtime.clone(),
            recorder: AuditRecorder::shared(),
            duties,
        })
        .await?;
        let engine = runtime.engine();
        let watch_metrics = metrics.assistant.clone();
        let ops = engine
            .tracker
            .spawn(ops::serve(engine.clone(), metrics, access, ops_listener));
        let watcher = Watcher {
            engine: engine.clone(),
            providers,
            metrics: watch_metrics,
            memory,
            config: config.watch,
        };
        engine.tracker.spawn(Arc::new(watcher).run());
        tracing::info!(worker.id = %engine.worker, queues = ?engine.registry.queues(), llm.mode = mode, "working");
        Ok(Self { runtime, ops })
    }

    pub fn engine(&self) -> &Arc<Engine> {
        self.runtime.engine()
    }

    /// Claims and runs jobs until the engine is stopped, then shuts down in order.
    ///
    /// # Errors
    /// If the runtime or the ops listener failed.
    pub async fn work(self) -> anyhow::Result<()> {
        let ran = self.runtime.work().await;
        self.ops
            .await
            .context("the ops listener panicked")?
            .context("the ops listener failed")?;
        tracing::info!("stopped");
        ran
    }
}

/// Shuts down in order on the first signal and exits on the second; then the jobs are rescued when their leases expire.
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
            running = engine.leases.count(),
            "stopping"
        );
        engine.stopping.cancel();
        tokio::select! {
            () = next(&mut terminate, &mut interrupt) => {
                tracing::warn!("second signal received: exiting now");
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

/// Lets no other signal end the worker in the middle of its jobs.
fn ignore_others(engine: &Arc<Engine>, mut signals: UserSignals) {
    let drained = engine.drained.clone();
    engine.tracker.spawn(async move {
        loop {
            tokio::select! {
                signal = signals.next() => signal.ignore(),
                () = drained.cancelled() => return,
            }
        }
    });
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
