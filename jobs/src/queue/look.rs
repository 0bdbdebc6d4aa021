//! One look at everything that may need doing, in one statement: the heartbeat of an idle worker, and the poll that
//! covers every notification that was lost.

use super::claim::interval;
use sqlx::PgExecutor;
use std::time::Duration;

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Of the queues asked for, those with jobs that could be claimed now.
    pub claimable: Vec<String>,
    /// Queues in which this look made due jobs available.
    pub promoted: Vec<String>,
    /// As many were promoted as one look does at most: look again.
    pub more: bool,
    /// When the next job becomes due, if that is before the horizon.
    pub next_due: Option<Duration>,
    /// Some lease has expired.
    pub expired: bool,
    /// Some maintenance duty is due.
    pub duty_due: bool,
    /// Limits on running jobs are in force.
    pub limited: bool,
}

/// Due jobs per look.
const PROMOTED: i64 = 1000;

/// Makes jobs available whose time has come, scheduled or waiting for their next attempt, and those whose children have
/// all ended, and says what else there is.
///
/// Writes nothing when nothing is due.
///
/// # Errors
/// If the database cannot be asked.
pub async fn look<'c>(
    executor: impl PgExecutor<'c>,
    queues: &[String],
    duties: &[String],
    horizon: Duration,
) -> Result<Look, sqlx::Error> {
    let row = sqlx::query!(
        r#"with due as (
               select ctid from jobs
               where state in ('scheduled', 'retryable') and run_at <= now() and not awaits_children
               order by run_at
               limit $1
               for update skip locked
           ), promoted as (
               update jobs set state = 'available' from due where jobs.ctid = due.ctid
               returning queue
           ), woken as (
               update jobs set state = 'available', awaits_children = false, run_at = now()
               where awaits_children and state = 'scheduled'
                 and not exists (
                     select from jobs child where child.parent_id = jobs.id and child.tenant_id = jobs.tenant_id)
               returning queue
           )
           select array(
                      select queue from unnest($2::text[]) as asked (queue)
                      where exists (select from jobs where jobs.queue = asked.queue and state = 'available')
                        and not exists (select from queue_pauses where queue_pauses.queue = asked.queue)
                  ) as "claimable!",
                  array(select queue from promoted union select queue from woken) as "promoted!",
                  (select count(*) = $1 from promoted) as "more!",
                  (select extract(epoch from min(run_at) - now())::float8 from jobs
                   where state in ('scheduled', 'retryable') and run_at > now() and run_at < now() + $4) as next_due,
                  exists (select from jobs where lease_until < now()) as "expired!",
                  exists (
                      select from unnest($3::text[]) as asked (name)
                      where not exists (
                          select from maintenance_duties duty where duty.name = asked.name and duty.due_at > now()
                      )
                  ) as "duty_due!",
                  exists (select from queue_limits) as "limited!""#,
        PROMOTED,
        queues,
        duties,
        interval(horizon),
    )
    .fetch_one(executor)
    .await?;
    Ok(Look {
        claimable: row.claimable,
        promoted: row.promoted,
        more: row.more,
        next_due: row
            .next_due
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()),
        expired: row.expired,
        duty_due: row.duty_due,
        limited: row.limited,
    })
}
