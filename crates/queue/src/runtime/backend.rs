//! The queue as an apalis [`Backend`]: the only file that names apalis.
//!
//! `poll_next` receives from a channel and `poll_close` hands back jobs that have not started; the engine's loops handle
//! claims, leases and outcomes. No method returns an error, which would end the apalis worker and drop its jobs.
//! `apalis-postgres` is not used: a job whose worker is killed and restarted under the same name stays Running indefinitely,
//! and a failed job is eligible again at once. The 1.x line of `apalis-sql` does not compile against apalis-core 1.0.0.

use crate::runtime::{
    engine::{ClaimedJob, Engine},
    executor, loops,
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
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::mpsc;
use tower::layer::util::Identity;
use uuid::Uuid;

/// How much longer than the grace period the monitor waits, for jobs that are being handed back or settled.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs one apalis worker per queue until the engine stops and all attempts have ended.
///
/// # Errors
/// If apalis fails to wait for the end of its workers.
pub async fn run(engine: Arc<Engine>) -> anyhow::Result<()> {
    let mut monitor = Monitor::new().shutdown_timeout(engine.config.grace + SETTLE_TIMEOUT);
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

fn run_task(claimed: ClaimedJob, engine: Data<Arc<Engine>>) -> Ready<Result<(), BoxDynError>> {
    // In a tracked task of its own, for which the process waits when apalis has stopped. To wake this one at its end would cost
    // more than apalis does.
    let attempt = executor::run_attempt((*engine).clone(), claimed);
    engine.tracker.spawn(attempt);
    ready(Ok(()))
}

/// A task kind without a codec: the engine yields claimed jobs, so apalis has nothing to decode.
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
    claimed: Option<mpsc::Receiver<ClaimedJob>>,
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
    type Task = Task<ClaimedJob>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        let (engine, queue) = (&self.engine, self.queue);
        self.claimed
            .get_or_insert_with(|| loops::claim_from(engine, queue));
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
    type Args = ClaimedJob;
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
