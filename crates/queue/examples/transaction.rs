//! Enqueues a job inside the caller's transaction: an order and the job that ships it commit together, or not at all.
//!
//! `DATABASE_URL=postgres://localhost/example cargo run -p queue --example transaction`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

#[path = "shared/example.rs"]
mod example;

use async_trait::async_trait;
use base::TenantId;
use queue::{
    Enqueued, ExternalId, Failure, JobKind, NewJob, RetryPolicy,
    enqueue::enqueue,
    runtime::{Handler, JobContext, Registry, Settlement, Setup, Worker},
};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool, Row};
use std::time::Duration;

struct ShipOrder;

#[derive(Serialize, Deserialize)]
struct Order {
    number: u32,
}

impl JobKind for ShipOrder {
    const NAME: &'static str = "order.ship";
    const QUEUE: &'static str = "orders";
    const TIMEOUT: Duration = Duration::from_secs(30);
    type Args = Order;
    type Output = ();

    fn retry_policy() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 5,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            floor: Duration::from_millis(100),
        }
    }
}

struct Ship;

#[async_trait]
impl Handler for Ship {
    type Kind = ShipOrder;

    async fn run(&self, _: &JobContext, order: Order) -> Result<Settlement, Failure> {
        println!("shipped order {}", order.number);
        Ok(Settlement::of(serde_json::Value::Null))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (config, pool) = example::database().await?;
    sqlx::raw_sql("create table if not exists orders (number int primary key)")
        .execute(&pool)
        .await?;
    let tenant = TenantId::new();

    let mut transaction = pool.begin().await?;
    place_order(&mut transaction, tenant, 1).await?;
    transaction.rollback().await?;
    println!("after the rollback: {}", count(&pool, tenant).await?);

    let mut transaction = pool.begin().await?;
    let job = place_order(&mut transaction, tenant, 2).await?;
    transaction.commit().await?;
    println!("after the commit: {}", count(&pool, tenant).await?);

    // The external id makes the enqueue idempotent: the same order is shipped once.
    let mut conn = pool.acquire().await?;
    if let Enqueued::Existing(existing) = enqueue(&mut conn, &ship(tenant, 2)?).await? {
        println!("enqueued again: the same job: {}", existing == job.id);
    }
    drop(conn);

    let registry = Registry::default().with(Ship);
    let worker = Worker::start(Setup::connect(config, registry).await?).await?;
    let shipped = job.clone();
    worker
        .work_until(async move { drop(example::finished(&pool, &shipped).await) })
        .await?;
    println!("the worker has stopped");
    Ok(())
}

/// Writes the order and its job. A program with its own worker processes now calls `Notifier::job_available`.
async fn place_order(
    conn: &mut PgConnection,
    tenant: TenantId,
    number: u32,
) -> anyhow::Result<NewJob> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "insert into orders values ({number}) on conflict do nothing"
    )))
    .execute(&mut *conn)
    .await?;
    let job = ship(tenant, number)?;
    enqueue(conn, &job).await?;
    Ok(job)
}

fn ship(tenant: TenantId, number: u32) -> Result<NewJob, serde_json::Error> {
    let mut job = NewJob::of::<ShipOrder>(tenant, &Order { number })?;
    job.external = Some(ExternalId {
        id: format!("order-{number}"),
        fingerprint: [0; 32],
    });
    Ok(job)
}

async fn count(pool: &PgPool, tenant: TenantId) -> anyhow::Result<String> {
    let orders = sqlx::raw_sql("select count(*) from orders")
        .fetch_one(pool)
        .await?;
    let jobs = queue::view::count(&mut *pool.acquire().await?, tenant).await?;
    Ok(format!("orders: {}, jobs: {jobs}", orders.get::<i64, _>(0)))
}
