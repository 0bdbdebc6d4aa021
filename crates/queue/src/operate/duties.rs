//! Periodic duties: one worker of all runs a duty per tick, elected by updating the duty's row.

use crate::interval::interval;
use base::WorkerId;
use sqlx::PgPool;
use std::time::Duration;

/// Retention duties run every five minutes; two missed runs are no lag.
const LAG_TOLERANCE: Duration = Duration::from_secs(600);

/// A duty that last ran this long in the future is due: the database's clock was set back. Workers whose transactions began
/// one after the other differ by less.
pub(crate) const CLOCK_STEP: Duration = Duration::from_secs(10);

/// Claims the named duties that are due and postpones each by its interval.
///
/// Of several workers that call this at once, one gets a duty: the others wait for its row and find it postponed. If a
/// worker dies during a duty, the next tick runs it again, so a duty must tolerate being done in part.
pub async fn claim_due(
    pool: &PgPool,
    worker: WorkerId,
    duties: &[(&'static str, Duration)],
) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<String> = duties.iter().map(|(name, _)| (*name).to_owned()).collect();
    let intervals: Vec<_> = duties.iter().map(|(_, every)| interval(*every)).collect();
    sqlx::query_scalar!(
        "insert into maintenance_duties as duty (name, due_at, last_run_at, last_worker_id)
         select name, now() + every, now(), $3 from unnest($1::text[], $2::interval[]) as given (name, every)
         order by name
         on conflict (name)
         do update set due_at = excluded.due_at, last_run_at = excluded.last_run_at, last_worker_id = $3
         where duty.due_at <= now() or duty.last_run_at > now() + $4::interval
         returning name",
        &names,
        &intervals,
        worker.0,
        interval(CLOCK_STEP),
    )
    .fetch_all(pool)
    .await
}

/// Records that a retention duty has deleted all that was due.
pub async fn caught_up(pool: &PgPool, duty: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update maintenance_duties set caught_up_at = now() where name = $1",
        duty,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Makes a retention duty due again after `rest`, because there is more to delete than one run has time for.
///
/// # Errors
/// If the database fails; then the duty keeps its interval.
pub async fn hurry(pool: &PgPool, duty: &str, rest: Duration) -> Result<(), sqlx::Error> {
    // A duty that never caught up is behind since its first run.
    sqlx::query!(
        "update maintenance_duties
         set due_at = least(due_at, now() + $2), caught_up_at = coalesce(caught_up_at, now())
         where name = $1",
        duty,
        interval(rest),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// A retention duty, and for how long it has not caught up.
#[derive(Clone, Debug, PartialEq)]
pub struct RetentionLag {
    pub duty: String,
    pub seconds: f64,
}

/// Returns for how long each retention duty has not caught up, its regular interval aside: 0 while it keeps up.
pub async fn retention_lag(pool: &PgPool) -> Result<Vec<RetentionLag>, sqlx::Error> {
    sqlx::query_as!(
        RetentionLag,
        r#"select name as duty,
                  greatest(extract(epoch from now() - caught_up_at)::float8 - $1, 0) as "seconds!"
           from maintenance_duties where caught_up_at is not null order by name"#,
        LAG_TOLERANCE.as_secs_f64(),
    )
    .fetch_all(pool)
    .await
}

/// Postpones a duty by at least `rest`, after a run that took long.
///
/// # Errors
/// If the database fails; then the duty keeps its interval.
pub async fn postpone(pool: &PgPool, duty: &str, rest: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update maintenance_duties set due_at = greatest(due_at, now() + $2) where name = $1",
        duty,
        interval(rest),
    )
    .execute(pool)
    .await?;
    Ok(())
}
