//! Two kinds of jobs in queues of their own, run by one worker: a reminder does not wait behind slow exports.
//!
//! `DATABASE_URL=postgres://localhost/example cargo run -p queue --example two_kinds`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "shared/example.rs"]
mod example;

use async_trait::async_trait;
use base::TenantId;
use queue::{
    Failure, JobKind, NewJob, RetryPolicy,
    enqueue::bulk::enqueue_many,
    runtime::{Handler, JobContext, Registry, Settlement, Setup, Worker},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

const RETRY_POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base: Duration::from_secs(1),
    cap: Duration::from_secs(60),
    floor: Duration::from_millis(100),
};

struct RunExport;
struct SendReminder;

impl JobKind for RunExport {
    const NAME: &'static str = "export.run";
    const QUEUE: &'static str = "exports";
    const TIMEOUT: Duration = Duration::from_secs(3600);
    type Args = u32;
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        RETRY_POLICY
    }
}

impl JobKind for SendReminder {
    const NAME: &'static str = "reminder.send";
    const QUEUE: &'static str = "reminders";
    const TIMEOUT: Duration = Duration::from_secs(30);
    type Args = String;
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        RETRY_POLICY
    }
}

/// Runs until the reminder was sent.
struct Exports {
    reminded: Arc<Notify>,
}

struct Reminders {
    reminded: Arc<Notify>,
}

#[async_trait]
impl Handler for Exports {
    type Kind = RunExport;

    async fn run(&self, _: &JobContext, number: u32) -> Result<Settlement, Failure> {
        self.reminded.notified().await;
        self.reminded.notify_one();
        println!("export {number}: done");
        Ok(Settlement::of(serde_json::Value::Null))
    }
}

#[async_trait]
impl Handler for Reminders {
    type Kind = SendReminder;

    async fn run(&self, _: &JobContext, text: String) -> Result<Settlement, Failure> {
        println!("reminder: {text}");
        self.reminded.notify_one();
        Ok(Settlement::of(serde_json::Value::Null))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (config, pool) = example::database().await?;
    let tenant = TenantId::new();
    let mut jobs = Vec::new();
    for number in 1..=3 {
        jobs.push(NewJob::of::<RunExport>(tenant, &number)?);
    }
    jobs.push(NewJob::of::<SendReminder>(tenant, &"stand up".to_owned())?);
    enqueue_many(&mut *pool.acquire().await?, &jobs).await?;

    let reminded = Arc::new(Notify::new());
    let registry = Registry::default()
        .with(Exports {
            reminded: reminded.clone(),
        })
        .with(Reminders { reminded });
    let mut setup = Setup::connect(config, registry).await?;
    // Two slots per queue: two of three exports run at first, and the reminder has a slot of its own.
    setup.config.slots = 2;
    let worker = Worker::start(setup).await?;
    worker
        .work_until(async move {
            for job in &jobs {
                drop(example::finished(&pool, job).await);
            }
        })
        .await?;
    println!("the worker has stopped");
    Ok(())
}
