//! One look at everything that may need doing, in one statement: the heartbeat of an idle worker, and the poll that
//! covers every notification that was lost.

use super::{
    dead_tuples::{Survey, table_blocks},
    interval,
};
use base::db::is_cut_off;
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use std::time::{Duration, Instant};

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
    /// The first lease that has expired, of those looked at.
    pub expired: Option<DateTime<Utc>>,
    /// Some maintenance duty is due.
    pub duty_due: bool,
    /// Limits on running jobs are in force.
    pub limited: bool,
    /// When it was looked, by the database's clock.
    pub at: DateTime<Utc>,
}

/// From when on leases are looked at whether they have expired.
///
/// Those of jobs that are gone litter the index until vacuum may remove them. A lease only ever ends after the moment it was
/// given or renewed: what had not expired at one look expires after it, but for the time that a commit takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Ever,
    /// So long ago.
    Lately(Duration),
    At(DateTime<Utc>),
}

impl Since {
    fn moment(self) -> Option<DateTime<Utc>> {
        match self {
            Self::At(moment) => Some(moment),
            Self::Ever | Self::Lately(_) => None,
        }
    }

    fn ago(self) -> Duration {
        match self {
            Self::Lately(ago) => ago,
            Self::Ever | Self::At(_) => Duration::from_hours(24 * 36525),
        }
    }
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
    leases: Since,
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
                  (select min(lease_until) from jobs
                   where lease_until >= coalesce($5, now() - $6::interval) and lease_until < now()) as expired,
                  exists (
                      select from unnest($3::text[]) as asked (name)
                      where not exists (
                          select from maintenance_duties duty where duty.name = asked.name and duty.due_at > now()
                      )
                  ) as "duty_due!",
                  exists (select from queue_limits) as "limited!",
                  now() as "at!""#,
        PROMOTED,
        queues,
        duties,
        interval(horizon),
        leases.moment(),
        interval(leases.ago()),
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
        at: row.at,
    })
}

/// Looks for leases that have expired in the stretch of the table that is due, if one is: the first of them.
///
/// # Errors
/// If the database cannot be asked.
pub async fn survey_leases(
    pool: &PgPool,
    survey: &mut Survey,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    if !survey.put_off().is_zero() {
        return Ok(None);
    }
    let Some(stretch) = survey.next(table_blocks(pool).await?) else {
        return Ok(None);
    };
    let started = Instant::now();
    // Nothing is added in fact: it keeps the planner from the index over leases.
    let found = sqlx::query_scalar!(
        "select min(lease_until) from jobs
         where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
           and lease_until + interval '0' < now()",
        stretch.start(),
        stretch.end(),
    )
    .fetch_one(pool)
    .await;
    match found {
        Ok(found) => {
            survey.looked(&stretch, started.elapsed(), found.is_some());
            Ok(found)
        }
        Err(error) => {
            survey.failed(&stretch, started.elapsed());
            if is_cut_off(&error) {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}
