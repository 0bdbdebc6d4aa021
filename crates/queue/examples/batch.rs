//! A batch: a parent job enqueues its children, waits for them without holding a slot, and sums up their results.
//!
//! `DATABASE_URL=postgres://localhost/example cargo run -p queue --example batch`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "shared/example.rs"]
mod example;

use async_trait::async_trait;
use base::TenantId;
use queue::{
    Failure, JobKind, NewJob, RetryPolicy,
    enqueue::enqueue,
    run::children,
    runtime::{Handler, JobContext, Registry, Settlement, Setup, Worker},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

const RETRY_POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base: Duration::from_millis(100),
    cap: Duration::from_secs(60),
    floor: Duration::from_millis(10),
};

struct RenderBook;
struct RenderPage;

#[derive(Serialize, Deserialize)]
struct Book {
    pages: u32,
}

#[derive(Serialize, Deserialize)]
struct Page {
    number: u32,
}

impl JobKind for RenderBook {
    const NAME: &'static str = "book.render";
    const QUEUE: &'static str = "books";
    const TIMEOUT: Duration = Duration::from_secs(30);
    type Args = Book;
    type Output = serde_json::Value;

    fn retry_policy() -> RetryPolicy {
        RETRY_POLICY
    }
}

impl JobKind for RenderPage {
    const NAME: &'static str = "page.render";
    const QUEUE: &'static str = "pages";
    const TIMEOUT: Duration = Duration::from_secs(30);
    type Args = Page;
    type Output = serde_json::Value;

    fn retry_policy() -> RetryPolicy {
        RETRY_POLICY
    }
}

struct Books;

#[async_trait]
impl Handler for Books {
    type Kind = RenderBook;

    /// Runs twice: before the children, and after all of them have finished.
    async fn run(&self, ctx: &JobContext, book: Book) -> Result<Settlement, Failure> {
        let broken = |error: String| Failure::transient("broken", "Something went wrong.", error);
        let job = &ctx.job;
        if job.children == 0 {
            let pages = (1..=book.pages)
                .map(|number| NewJob::of::<RenderPage>(job.lease.tenant, &Page { number }))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| broken(error.to_string()))?;
            println!("book: waiting for {} pages", pages.len());
            return Ok(Settlement::wait_for(pages));
        }
        let mut conn = ctx
            .pool
            .acquire()
            .await
            .map_err(|error| broken(error.to_string()))?;
        let pages = children::outcomes(&mut conn, job.lease.tenant, job.lease.job)
            .await
            .map_err(|error| broken(error.to_string()))?;
        let rendered = pages.iter().filter(|page| page.error.is_none()).count();
        for error in pages.iter().filter_map(|page| page.error.as_ref()) {
            println!("book: a page failed: {}", error.message);
        }
        println!("book: {rendered} of {} pages", pages.len());
        Ok(Settlement::of(json!({ "rendered": rendered })))
    }
}

struct Pages;

#[async_trait]
impl Handler for Pages {
    type Kind = RenderPage;

    async fn run(&self, _: &JobContext, page: Page) -> Result<Settlement, Failure> {
        if page.number == 3 {
            return Err(Failure::permanent(
                "missing_font",
                "Page 3 uses a font that is not installed.",
                "no font named Comic",
            ));
        }
        println!("page {}: rendered", page.number);
        Ok(Settlement::of(json!({ "page": page.number })))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (config, pool) = example::database().await?;
    let book = NewJob::of::<RenderBook>(TenantId::new(), &Book { pages: 4 })?;
    enqueue(&mut *pool.acquire().await?, &book).await?;

    let registry = Registry::default().with(Books).with(Pages);
    let worker = Worker::start(Setup::connect(config, registry).await?).await?;
    let (waiting_pool, waited) = (pool.clone(), book.clone());
    worker
        .work_until(async move { drop(example::finished(&waiting_pool, &waited).await) })
        .await?;

    let view = example::finished(&pool, &book).await?;
    if let Some(pages) = view.children {
        println!(
            "the batch has {}: {} of {} pages, {} failed",
            view.state.as_str(),
            pages.ended,
            pages.total,
            pages.failed
        );
    }
    Ok(())
}
