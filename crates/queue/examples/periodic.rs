//! A periodic job: one worker of all enqueues it per tick, elected in Postgres, and at most one of them waits.
//!
//! `DATABASE_URL=postgres://localhost/example cargo run -p queue --example periodic`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use async_trait::async_trait;
use base::{
    TenantId,
    db::{self, PoolConfig},
    env::Env,
};
use queue::{
    Failure, JobKind, NewJob, RetryPolicy,
    runtime::{Handler, JobContext, PeriodicJob, Registry, Settlement, Setup, Worker},
    schema,
};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

struct SendReport;

impl JobKind for SendReport {
    const NAME: &'static str = "report.send";
    const QUEUE: &'static str = "reports";
    const TIMEOUT: Duration = Duration::from_secs(30);
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

struct Reports {
    sent: AtomicU32,
    enough: CancellationToken,
}

#[async_trait]
impl Handler for Reports {
    type Kind = SendReport;

    async fn run(&self, _: &JobContext, (): ()) -> Result<Settlement, Failure> {
        let sent = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        println!("sent report {sent}");
        if sent == 3 {
            self.enough.cancel();
        }
        Ok(Settlement::of(serde_json::Value::Null))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut env = Env::from_process();
    let config = PoolConfig::with_connections(&mut env, 4, "queue-example");
    let config = env.finish(config)?;
    schema::create(&db::connect(&config).await?).await?;
    let enough = CancellationToken::new();
    let registry = Registry::default().with(Reports {
        sent: AtomicU32::new(0),
        enough: enough.clone(),
    });
    let report = NewJob::of::<SendReport>(TenantId::new(), &())?;
    // Run more workers: the number of reports stays the same.
    let mut setup = Setup::connect(config, registry)
        .await?
        .with_duty(PeriodicJob::every(Duration::from_millis(300), report));
    // A period shorter than the default poll interval of 2 s needs more frequent polls.
    setup.config.poll = Duration::from_millis(100);
    let worker = Worker::start(setup).await?;
    worker.work_until(enough.cancelled_owned()).await?;
    println!("the worker has stopped");
    Ok(())
}
