//! Periodic work that one worker of the fleet does per tick, elected by updating the duty's row.

use crate::claim::interval;
use base::WorkerId;
use sqlx::PgPool;
use std::time::Duration;

/// Takes those of the named duties that are due and puts each off by its own interval.
///
/// Of workers that ask at the same moment one gets a duty: the others wait for its row and find it put off. A worker that
/// dies in the middle of a duty leaves it to the next tick, so a duty must bear being done in part.
///
/// # Errors
/// If the database cannot be asked.
pub async fn take_due(
    pool: &PgPool,
    worker: WorkerId,
    duties: &[(&'static str, Duration)],
) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<String> = duties.iter().map(|(name, _)| (*name).to_owned()).collect();
    let intervals: Vec<_> = duties.iter().map(|(_, every)| interval(*every)).collect();
    sqlx::query_scalar!(
        "insert into maintenance_duties as duty (name, due_at, last_run_at, last_worker_id)
         select name, now() + every, now(), $3 from unnest($1::text[], $2::interval[]) as asked (name, every)
         order by name
         on conflict (name)
         do update set due_at = excluded.due_at, last_run_at = excluded.last_run_at, last_worker_id = $3
         where duty.due_at <= now()
         returning name",
        &names,
        &intervals,
        worker.0,
    )
    .fetch_all(pool)
    .await
}

/// Puts a duty off that took long, for so long at least.
///
/// # Errors
/// If the database cannot be asked; then it is due as if it had been quick.
pub async fn put_off(pool: &PgPool, duty: &str, rest: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update maintenance_duties set due_at = greatest(due_at, now() + $2) where name = $1",
        duty,
        interval(rest),
    )
    .execute(pool)
    .await?;
    Ok(())
}
