//! A handler that fails twice, is retried with backoff, reports its progress, and then succeeds.
//!
//! `DATABASE_URL=postgres://localhost/example cargo run -p queue --example retry`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "shared/example.rs"]
mod example;

use async_trait::async_trait;
use base::TenantId;
use queue::{
    Failure, JobKind, NewJob, RetryPolicy,
    enqueue::enqueue,
    runtime::{Handler, JobContext, Registry, Settlement, Setup, Worker},
    view::{attempts::attempts, events},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

struct PrintDocument;

#[derive(Serialize, Deserialize)]
struct Document {
    pages: u32,
}

impl JobKind for PrintDocument {
    const NAME: &'static str = "document.print";
    const QUEUE: &'static str = "documents";
    const TIMEOUT: Duration = Duration::from_secs(30);
    type Args = Document;
    type Output = serde_json::Value;

    /// Up to 5 attempts: the next one is due after at most 100 ms, then 200 ms, 400 ms, …
    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 5,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(60),
            floor: Duration::from_millis(10),
        }
    }
}

struct Printer;

#[async_trait]
impl Handler for Printer {
    type Kind = PrintDocument;

    async fn run(&self, ctx: &JobContext, document: Document) -> Result<Settlement, Failure> {
        if ctx.job.errors < 2 {
            println!("attempt {}: out of paper", ctx.job.lease.attempt);
            // Transient: another attempt may succeed. `Failure::permanent` would discard the job.
            return Err(Failure::transient(
                "out_of_paper",
                "The printer is out of paper. The document is printed as soon as it is refilled.",
                "tray 1 is empty",
            ));
        }
        println!("attempt {}: printing", ctx.job.lease.attempt);
        let half = document.pages / 2;
        ctx.report(0.5, &format!("printed page {half} of {}", document.pages))
            .map_err(|error| Failure::transient("lost", "Printing stopped.", error.to_string()))?;
        // Printing takes time. Reports are written in the background, at most twice a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Settlement::of(json!({ "pages": document.pages })))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (config, pool) = example::database().await?;
    let job = NewJob::of::<PrintDocument>(TenantId::new(), &Document { pages: 4 })?;
    enqueue(&mut *pool.acquire().await?, &job).await?;

    let registry = Registry::default().with(Printer);
    let worker = Worker::start(Setup::connect(config, registry).await?).await?;
    let (waiting_pool, printed) = (pool.clone(), job.clone());
    worker
        .work_until(async move { drop(example::finished(&waiting_pool, &printed).await) })
        .await?;

    let view = example::finished(&pool, &job).await?;
    let output = view.output.unwrap_or_default();
    println!("the job has {}: {output}", view.state.as_str());
    let mut conn = pool.acquire().await?;
    for attempt in attempts(&mut conn, job.tenant, job.id, 10).await? {
        let reason = attempt
            .error_code
            .map_or_else(String::new, |code| format!(": {code}"));
        println!(
            "history: attempt {} {}{reason}",
            attempt.attempt, attempt.outcome
        );
    }
    for event in events::read(&mut conn, job.tenant, job.id, None, 100).await? {
        if let events::EventKind::Progress(progress) = event.kind {
            println!("progress: {} {}", progress.value(), progress.note());
        }
    }
    Ok(())
}
