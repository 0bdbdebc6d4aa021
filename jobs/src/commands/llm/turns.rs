//! Assigns turns to the jobs that wait for the rate of a model: [`assign_turns`].

use crate::{
    domain::llm::rate,
    store::llm_rates::{self, turns},
};
use chrono::TimeDelta;
use queue::operate::release::{DueJob, release_at};
use sqlx::PgPool;

/// Turns are assigned this far ahead, which is longer than the time between two runs.
const HORIZON: TimeDelta = TimeDelta::seconds(5);
/// Turns per model and run.
const LIMIT: i64 = 1000;

/// Assigns the next turns of every model that jobs wait for, releases these jobs for them, and returns their queues.
///
/// # Errors
/// If the database refuses; then a model keeps the turns that it had.
pub async fn assign_turns(pool: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    let models = turns::awaited(&mut *pool.acquire().await?).await?;
    let mut queues = Vec::new();
    for model in &models {
        let name = model.name();
        let mut tx = pool.begin().await?;
        let locked = llm_rates::lock(&mut tx, name).await?;
        let assigned = turns::assigned(&mut tx, name).await?;
        let waiting = turns::next(&mut tx, name, LIMIT).await?;
        let tokens: Vec<_> = waiting.iter().map(|job| job.tokens).collect();
        let times = rate::assign_turns(
            locked.buckets,
            locked.rate,
            &assigned,
            &tokens,
            locked.now,
            HORIZON,
        );
        let due: Vec<_> = waiting
            .iter()
            .zip(times)
            .map(|(waiting, at)| DueJob {
                tenant: waiting.tenant,
                job: waiting.job,
                at,
            })
            .collect();
        if due.is_empty() {
            continue;
        }
        turns::assign(&mut tx, name, &due).await?;
        queues.extend(release_at(&mut tx, &due).await?);
        tx.commit().await?;
    }
    Ok(queues)
}
