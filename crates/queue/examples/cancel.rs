//! Cancels a waiting job and a running one. The handler notices and stops within its grace period.
//!
//! `DATABASE_URL=postgres://localhost/example cargo run -p queue --example cancel`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "shared/example.rs"]
mod example;

use async_trait::async_trait;
use base::{TenantId, clock::Clock};
use chrono::TimeDelta;
use queue::{
    Failure, JobKind, NewJob, RetryPolicy,
    enqueue::enqueue,
    run::cancel::cancel,
    runtime::{Handler, JobContext, Registry, Settlement, Setup, Worker},
    signals::notifier::Notifier,
};
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

struct CopyFiles;

impl JobKind for CopyFiles {
    const NAME: &'static str = "files.copy";
    const QUEUE: &'static str = "files";
    const TIMEOUT: Duration = Duration::from_secs(3600);
    type Args = ();
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 3,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            floor: Duration::from_millis(100),
        }
    }
}

struct Copier {
    started: Arc<Notify>,
}

#[async_trait]
impl Handler for Copier {
    type Kind = CopyFiles;

    async fn run(&self, ctx: &JobContext, (): ()) -> Result<Settlement, Failure> {
        println!("handler: copying");
        self.started.notify_one();
        // A real handler checks the token between its steps, or selects over it as here.
        ctx.cancelled.cancelled().await;
        println!("handler: cancelled, cleaning up");
        Err(Failure::cancelled())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (config, pool) = example::database().await?;
    let tenant = TenantId::new();
    let running = NewJob::of::<CopyFiles>(tenant, &())?;
    let mut waiting = NewJob::of::<CopyFiles>(tenant, &())?;
    waiting.run_at = Some(Clock::System.now() + TimeDelta::hours(1));
    let mut conn = pool.acquire().await?;
    enqueue(&mut conn, &running).await?;
    enqueue(&mut conn, &waiting).await?;
    drop(conn);

    let started = Arc::new(Notify::new());
    let registry = Registry::default().with(Copier {
        started: started.clone(),
    });
    let worker = Worker::start(Setup::connect(config, registry).await?).await?;
    let notifier = worker.engine().notifier.clone();
    let (cancelling_pool, jobs) = (pool.clone(), [waiting.clone(), running.clone()]);
    worker
        .work_until(async move {
            started.notified().await;
            if let Err(error) = cancel_both(&cancelling_pool, &notifier, &jobs).await {
                println!("could not cancel: {error}");
            }
        })
        .await?;

    for (name, job) in [("waiting", &waiting), ("running", &running)] {
        let view = example::finished(&pool, job).await?;
        let message = view.error.map(|error| error.message).unwrap_or_default();
        println!("{name} job: {}: {message}", view.state.as_str());
    }
    Ok(())
}

async fn cancel_both(pool: &PgPool, notifier: &Notifier, jobs: &[NewJob]) -> anyhow::Result<()> {
    for job in jobs {
        let mut transaction = pool.begin().await?;
        let cancelled = cancel(&mut transaction, job.tenant, job.id).await?;
        transaction.commit().await?;
        // Without the notification the worker notices within a second.
        notifier.cancel_requested(job.id);
        println!("cancel: {cancelled:?}");
    }
    for job in jobs {
        example::finished(pool, job).await?;
    }
    Ok(())
}
