//! Assigns turns to the jobs that wait for the rate of a model: [`assign_turns`].

use crate::{domain::llm::rate, store::llm_rates};
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
    let models = llm_rates::awaited(&mut *pool.acquire().await?).await?;
    let mut queues = Vec::new();
    for (provider, model) in &models {
        let lane = (provider.as_str(), model.as_str());
        let mut tx = pool.begin().await?;
        let locked = llm_rates::lock(&mut tx, lane).await?;
        let assigned = llm_rates::assigned(&mut tx, lane).await?;
        let waiting = llm_rates::next(&mut tx, lane, LIMIT).await?;
        let tokens: Vec<_> = waiting.iter().map(|job| job.tokens).collect();
        let times = rate::assign_turns(
            locked.buckets,
            locked.rate,
            &assigned,
            &tokens,
            locked.now,
            HORIZON,
        );
        let turns: Vec<_> = waiting
            .iter()
            .zip(times)
            .map(|(waiting, at)| DueJob {
                tenant: waiting.tenant,
                job: waiting.job,
                at,
            })
            .collect();
        if turns.is_empty() {
            continue;
        }
        llm_rates::assign(&mut tx, lane, &turns).await?;
        queues.extend(release_at(&mut tx, &turns).await?);
        tx.commit().await?;
    }
    Ok(queues)
}
