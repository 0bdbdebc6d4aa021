//! The poll: one statement that makes due jobs available and finds everything else that may need doing.
//!
//! Beside it, an idle worker sends only its heartbeat and the statements of its duties. Covers every notification that was lost.

use super::dead_tuples::{TableScan, table_blocks};
use crate::interval::interval;
use crate::operate::duties::CLOCK_STEP;
use base::db::is_statement_timeout;
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use std::time::{Duration, Instant};

/// What a poll found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    /// The given queues that have claimable jobs now.
    pub claimable: Vec<String>,
    /// Queues in which this poll made due jobs available.
    pub promoted: Vec<String>,
    /// The poll promoted as many jobs as it may; poll again at once.
    pub is_full: bool,
    /// The time until the next job becomes due, if that is before the horizon.
    pub next_due: Option<Duration>,
    /// The end of the first expired lease within the window.
    pub expired: Option<DateTime<Utc>>,
    /// A maintenance duty is due.
    pub duty_due: bool,
    /// Limits on running jobs are in force.
    pub limited: bool,
    /// The database's time of the poll.
    pub polled_at: DateTime<Utc>,
}

/// Which leases a poll checks for expiry, by the time of their end.
///
/// Dead tuples of ended leases stay in the index until vacuum removes them. A lease always ends after the moment it was
/// given or renewed, so what had not expired at one poll expires later than that poll, apart from the time of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseWindow {
    All,
    /// Leases that ended within this time.
    Last(Duration),
    /// Leases that ended at this time or later.
    From(DateTime<Utc>),
}

impl LeaseWindow {
    fn from(self) -> Option<DateTime<Utc>> {
        match self {
            Self::From(moment) => Some(moment),
            Self::All | Self::Last(_) => None,
        }
    }

    fn last(self) -> Duration {
        match self {
            Self::Last(time) => time,
            Self::All | Self::From(_) => Duration::from_hours(24 * 36525),
        }
    }
}

/// The most due jobs that one poll promotes.
const MAX_PROMOTED: i64 = 1000;

/// Makes available the jobs that are due and the parents whose children have all finished, and reports what else there is
/// to do. Writes nothing when nothing is due.
pub async fn poll<'c>(
    executor: impl PgExecutor<'c>,
    queues: &[String],
    duties: &[String],
    horizon: Duration,
    leases: LeaseWindow,
) -> Result<Poll, sqlx::Error> {
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
                      select queue from unnest($2::text[]) as given (queue)
                      where exists (select from jobs where jobs.queue = given.queue and state = 'available')
                        and not exists (select from queue_pauses where queue_pauses.queue = given.queue)
                  ) as "claimable!",
                  array(select queue from promoted union select queue from woken) as "promoted!",
                  (select count(*) = $1 from promoted) as "is_full!",
                  (select extract(epoch from min(run_at) - now())::float8 from jobs
                   where state in ('scheduled', 'retryable') and run_at > now() and run_at < now() + $4) as next_due,
                  (select min(lease_until) from jobs
                   where lease_until >= coalesce($5, now() - $6::interval) and lease_until < now()) as expired,
                  exists (
                      select from unnest($3::text[]) as given (name)
                      where not exists (
                          select from maintenance_duties duty
                          where duty.name = given.name and duty.due_at > now() and duty.last_run_at <= now() + $7::interval
                      )
                  ) as "duty_due!",
                  exists (select from queue_limits) as "limited!",
                  now() as "polled_at!""#,
        MAX_PROMOTED,
        queues,
        duties,
        interval(horizon),
        leases.from(),
        interval(leases.last()),
        interval(CLOCK_STEP),
    )
    .fetch_one(executor)
    .await?;
    Ok(Poll {
        claimable: row.claimable,
        promoted: row.promoted,
        is_full: row.is_full,
        next_due: row
            .next_due
            .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()),
        expired: row.expired,
        duty_due: row.duty_due,
        limited: row.limited,
        polled_at: row.polled_at,
    })
}

/// Returns the end of the first expired lease in the block range that is due, if one is.
pub async fn scan_leases(
    pool: &PgPool,
    scan: &mut TableScan,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    if !scan.due_in().is_zero() {
        return Ok(None);
    }
    let Some(range) = scan.next(table_blocks(pool).await?) else {
        return Ok(None);
    };
    let started = Instant::now();
    // Adding no time keeps the planner from the index over leases.
    let found = sqlx::query_scalar!(
        "select min(lease_until) from jobs
         where ctid >= format('(%s,0)', $1::bigint)::tid and ctid < format('(%s,0)', $2::bigint)::tid
           and lease_until + interval '0' < now()",
        range.start(),
        range.end(),
    )
    .fetch_one(pool)
    .await;
    match found {
        Ok(found) => {
            scan.completed(&range, started.elapsed(), found.is_some());
            Ok(found)
        }
        Err(error) => {
            scan.failed(&range, started.elapsed());
            if is_statement_timeout(&error) {
                Ok(None)
            } else {
                Err(error)
            }
        }
    }
}
