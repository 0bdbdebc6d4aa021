//! Our queue behind apalis's [`Backend`]: the only file that names apalis.
//!
//! `poll_next` is a channel receive and `poll_close` hands back what was never started; claims, leases and outcomes are
//! the engine's. No method ever returns an error: to apalis that means the end of the worker, with all it holds.
//! Not `apalis-postgres`: a job whose worker is killed and restarted under its name stays Running for ever, and a failed
//! job is eligible again at once. Not `apalis-sql`: its 1.x line does not compile against apalis-core 1.0.0.

use crate::runtime::{
    engine::{Claimed, Engine},
    executor,
};
use apalis::prelude::{Data, Monitor, WorkerBuilder};
use apalis_core::{
    backend::{Backend, BackendConfig, finalize::FinalizeBackend},
    error::BoxDynError,
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;
use tower::layer::util::Identity;
use uuid::Uuid;

/// The monitor waits this much longer than the grace period: for handing back and for settling what just ended.
const SETTLING: Duration = Duration::from_secs(10);

/// Runs one apalis worker per queue until the engine is told to stop and all attempts have ended.
///
/// # Errors
/// If apalis could not wait for the workers' end.
pub async fn run(engine: Arc<Engine>) -> anyhow::Result<()> {
    let mut monitor = Monitor::new().shutdown_timeout(engine.config.grace + SETTLING);
    for queue in engine.registry.queues() {
        let engine = engine.clone();
        monitor = monitor.register(move |_| {
            WorkerBuilder::new(format!("{queue}-{}", engine.worker))
                .backend(PgQueue::new(engine.clone(), queue))
                .data(engine.clone())
                .build(run_task)
        });
    }
    let stopping = engine.stopping.clone();
    monitor
        .run_with_signal(async move {
            stopping.cancelled().await;
            Ok(())
        })
        .await?;
    Ok(())
}

async fn run_task(claimed: Claimed, engine: Data<Arc<Engine>>) -> Result<(), BoxDynError> {
    // A task of its own, tracked: the process waits for it even when apalis stops polling.
    let attempt = executor::run_attempt((*engine).clone(), claimed);
    engine.tracker.spawn(attempt).await?;
    Ok(())
}

/// Our own kind of task: the engine yields claimed jobs, so there is nothing to decode.
pub struct ClaimedKind;

impl<B, A> FinalizeBackend<B, A> for ClaimedKind {
    type Backend = B;

    fn finalize(backend: B) -> B {
        backend
    }
}

struct PgQueue {
    engine: Arc<Engine>,
    queue: &'static str,
    claimed: Option<mpsc::Receiver<Claimed>>,
}

impl PgQueue {
    fn new(engine: Arc<Engine>, queue: &'static str) -> Self {
        Self {
            engine,
            queue,
            claimed: None,
        }
    }
}

impl Backend for PgQueue {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        let (engine, queue) = (&self.engine, self.queue);
        self.claimed.get_or_insert_with(|| engine.claim_from(queue));
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        let Some(claimed) = self.claimed.as_mut() else {
            return Poll::Ready(None);
        };
        claimed.poll_recv(cx).map(|next| {
            next.map(|claimed| {
                let id = claimed.job.lease.job.0;
                Ok(TaskBuilder::new(claimed)
                    .task_id(TaskId::from_uuid(id))
                    .build())
            })
        })
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        if let Some(claimed) = self.claimed.as_mut() {
            claimed.close();
            while let Ok(claimed) = claimed.try_recv() {
                let engine = self.engine.clone();
                self.engine
                    .tracker
                    .spawn(async move { executor::hand_back(&engine, claimed).await });
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for PgQueue {
    type Args = Claimed;
    type Id = Uuid;
    type Kind = ClaimedKind;
    type Config = &'static str;
    type Layer = Identity;

    fn config(&self) -> &&'static str {
        &self.queue
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
