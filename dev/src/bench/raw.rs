//! The baseline: the same work in bare SQL on a minimal table. See [`drain`], [`insert`] and [`bulk`].
//!
//! Has no lease, fence, fairness, history or audit; finished rows are deleted.

use super::BenchError;
use super::bench_cluster::BenchDatabase;
use super::sql::{
    RAW_BULK, RAW_CLAIM, RAW_DELETE, RAW_INSERT, RAW_NOTIFY, RAW_TABLE, connect, execute, prepared,
};
use super::statistics::median;
use serde_json::{Value, json};
use sqlx::{PgConnection, Row};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Rows per batch, as in the design measurements.
const BATCH: i64 = 1000;

/// Creates the table.
pub(super) async fn prepare(database: &BenchDatabase) -> Result<(), BenchError> {
    Ok(execute(&mut connect(&database.url).await?, RAW_TABLE).await?)
}

/// Inserts this many rows.
pub(super) async fn fill(database: &BenchDatabase, jobs: u64) -> Result<(), BenchError> {
    let mut connection = connect(&database.url).await?;
    execute(
        &mut connection,
        format!(
            "insert into raw_jobs (payload)
             select jsonb_build_object('n', n) from generate_series(1, {jobs}) as n; analyze raw_jobs"
        ),
    )
    .await?;
    Ok(())
}

/// Claims and deletes batches until the table is empty; returns rows per second.
pub(super) async fn drain(
    database: &BenchDatabase,
    jobs: u64,
    connections: usize,
) -> Result<f64, BenchError> {
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push(connect(&database.url).await?);
    }
    let mut drains = JoinSet::new();
    let started = Instant::now();
    for mut connection in ready {
        drains.spawn(async move {
            let mut done = 0;
            loop {
                match claim_and_delete(&mut connection).await? {
                    0 => return Ok::<u64, sqlx::Error>(done),
                    some => done += some,
                }
            }
        });
    }
    let mut done = 0;
    while let Some(drained) = drains.join_next().await {
        done += drained.expect("draining does not panic")?;
    }
    let took = started.elapsed();
    if done != jobs {
        return Err(BenchError::Unsound(format!(
            "{done} of {jobs} rows were drained"
        )));
    }
    Ok(jobs as f64 / took.as_secs_f64())
}

/// Inserts single rows, each in its own transaction, on this many connections; returns rows per second.
pub(super) async fn insert(
    database: &BenchDatabase,
    connections: usize,
    window: Duration,
) -> Result<f64, BenchError> {
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push(connect(&database.url).await?);
    }
    let mut inserts = JoinSet::new();
    let started = Instant::now();
    for mut connection in ready {
        inserts.spawn(async move {
            let mut done: u64 = 0;
            while started.elapsed() < window {
                let row = json!({ "n": done });
                prepared(RAW_INSERT)
                    .bind(row)
                    .execute(&mut connection)
                    .await?;
                done += 1;
            }
            Ok::<_, sqlx::Error>(done)
        });
    }
    let mut done = 0;
    while let Some(inserted) = inserts.join_next().await {
        done += inserted.expect("inserting does not panic")?;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// Inserts a thousand rows per statement on one connection; returns rows per second.
pub(super) async fn bulk(database: &BenchDatabase, window: Duration) -> Result<f64, BenchError> {
    let mut connection = connect(&database.url).await?;
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < window {
        let rows: Vec<Value> = (0..BATCH).map(|n| json!({ "n": n })).collect();
        prepared(RAW_BULK)
            .bind(rows)
            .execute(&mut connection)
            .await?;
        done += BATCH;
    }
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// Inserts single rows on this many connections while another one claims and deletes; returns rows per second from the first
/// insert to the empty table.
pub(super) async fn mixed(
    database: &BenchDatabase,
    producers: usize,
    window: Duration,
) -> Result<f64, BenchError> {
    let mut connection = connect(&database.url).await?;
    let started = Instant::now();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let drain = tokio::spawn(async move {
        let mut done = 0;
        loop {
            let last = *stopped.borrow();
            match claim_and_delete(&mut connection).await? {
                0 if last => return Ok::<u64, sqlx::Error>(done),
                some => done += some,
            }
        }
    });
    insert(database, producers, window).await?;
    stop.send_replace(true);
    let done = drain.await.expect("draining does not panic")?;
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// Returns the median time of a claim in milliseconds, without the first, which prepares the statement.
pub(super) async fn claims(
    database: &BenchDatabase,
    claims: usize,
    limit: i64,
) -> Result<f64, BenchError> {
    let mut connection = connect(&database.url).await?;
    let mut times = Vec::with_capacity(claims);
    for _ in 0..claims {
        let started = Instant::now();
        let rows = prepared(RAW_CLAIM)
            .bind(limit)
            .fetch_all(&mut connection)
            .await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        if rows.is_empty() {
            return Err(BenchError::Unsound("no rows were left to claim".into()));
        }
    }
    Ok(median(&times[1..]))
}

/// Inserts one row and notifies listeners.
pub(super) async fn insert_and_notify(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = json!({ "n": 1 });
    prepared(RAW_INSERT)
        .bind(row)
        .execute(&mut *connection)
        .await?;
    prepared(RAW_NOTIFY).execute(connection).await?;
    Ok(())
}

/// Claims up to `limit` rows.
pub(super) async fn claim(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<i64>, sqlx::Error> {
    let rows = prepared(RAW_CLAIM)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, _): (i64, Value) = (row.try_get(0)?, row.try_get(1)?);
        ids.push(id);
    }
    Ok(ids)
}

/// Claims and deletes one batch; returns its number of rows.
async fn claim_and_delete(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let ids = claim(connection, BATCH).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let deleted = prepared(RAW_DELETE).bind(ids).execute(connection).await?;
    Ok(deleted.rows_affected())
}
