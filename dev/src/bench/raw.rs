//! The yardstick: the same work in bare SQL on a table with nothing to it. See [`drain`], [`insert`] and [`bulk`].
//!
//! Promises nothing: no lease, no fence, no fairness, no history, no audit; a finished row is deleted.

use super::BenchError;
use super::sql::{
    RAW_BULK, RAW_CLAIM, RAW_DELETE, RAW_INSERT, RAW_NOTIFY, RAW_TABLE, connect, execute, prepared,
};
use super::stand::Bed;
use super::statistics::median;
use serde_json::{Value, json};
use sqlx::{PgConnection, Row};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// As the ceilings of the design page were measured.
const BATCH: i64 = 1000;

/// Makes the table.
pub(super) async fn prepare(bed: &Bed) -> Result<(), BenchError> {
    Ok(execute(&mut connect(&bed.url).await?, RAW_TABLE).await?)
}

/// Puts this many rows in.
pub(super) async fn fill(bed: &Bed, jobs: u64) -> Result<(), BenchError> {
    let mut connection = connect(&bed.url).await?;
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

/// Claims and deletes by the thousand until nothing is left; rows per second.
pub(super) async fn drain(bed: &Bed, jobs: u64, connections: usize) -> Result<f64, BenchError> {
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push(connect(&bed.url).await?);
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

/// Single rows, each committed by itself, on this many connections at once; rows per second.
pub(super) async fn insert(
    bed: &Bed,
    connections: usize,
    window: Duration,
) -> Result<f64, BenchError> {
    let mut ready = Vec::new();
    for _ in 0..connections {
        ready.push(connect(&bed.url).await?);
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

/// A thousand rows per statement on one connection; rows per second.
pub(super) async fn bulk(bed: &Bed, window: Duration) -> Result<f64, BenchError> {
    let mut connection = connect(&bed.url).await?;
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

/// Single inserts on this many connections while one more claims and deletes; rows per second from the first insert to
/// the empty table.
pub(super) async fn mixed(
    bed: &Bed,
    producers: usize,
    window: Duration,
) -> Result<f64, BenchError> {
    let mut connection = connect(&bed.url).await?;
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
    insert(bed, producers, window).await?;
    stop.send_replace(true);
    let done = drain.await.expect("draining does not panic")?;
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// The median time of a claim of so many rows, in milliseconds; the first prepares the statement and is not counted.
pub(super) async fn claims(bed: &Bed, claims: usize, limit: i64) -> Result<f64, BenchError> {
    let mut connection = connect(&bed.url).await?;
    let mut times = Vec::with_capacity(claims);
    for _ in 0..claims {
        let started = Instant::now();
        let rows = prepared(RAW_CLAIM)
            .bind(limit)
            .fetch_all(&mut connection)
            .await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        if rows.is_empty() {
            return Err(BenchError::Unsound("nothing was left to claim".into()));
        }
    }
    Ok(median(&times[1..]))
}

/// Inserts one row and then tells whoever listens.
pub(super) async fn tell(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = json!({ "n": 1 });
    prepared(RAW_INSERT)
        .bind(row)
        .execute(&mut *connection)
        .await?;
    prepared(RAW_NOTIFY).execute(connection).await?;
    Ok(())
}

/// Claims up to so many rows.
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

/// One batch from its claim to its deletion; how many rows there were.
async fn claim_and_delete(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let ids = claim(connection, BATCH).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let deleted = prepared(RAW_DELETE).bind(ids).execute(connection).await?;
    Ok(deleted.rows_affected())
}
