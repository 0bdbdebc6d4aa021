//! Finding what dead workers left behind.
//!
//! A crash is counted apart from errors: a job that kills its worker again and again is poison, and is discarded before
//! it has killed the fleet.

use crate::{
    enqueue::dedupe::{self, Place, SUPERSEDED},
    run::cancel::CANCELLED,
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A job whose lease had expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    pub job: JobId,
    pub tenant: TenantId,
    pub queue: String,
    /// The attempt that was lost.
    pub attempt: i32,
    pub request_id: Option<String>,
    pub traceparent: Option<String>,
    /// It killed too many workers and was discarded; otherwise it is available again.
    pub poisoned: bool,
    /// A newer job waits with its dedupe key, so it ended as cancelled.
    pub superseded: bool,
    /// Somebody wanted it stopped: it has ended as cancelled.
    pub unwanted: bool,
    /// The older job that waited with its dedupe key, and ended as cancelled.
    pub in_place_of: Option<JobId>,
}

/// The code of a job that was discarded because its workers died.
pub const POISON: &str = "poison";

/// Makes up to `limit` jobs whose lease has expired, not before `since`, available again, discards them as poison, or cancels those that
/// nobody wants any more or whose dedupe key a newer job waits with. In a transaction: the places of those with a key are held by it.
///
/// # Errors
/// If the database cannot be asked.
pub async fn rescue(
    conn: &mut PgConnection,
    since: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<Rescued>, sqlx::Error> {
    let places = dedupe::places(conn, since, i64::from(limit)).await?;
    let superseded = places
        .iter()
        .filter(|(_, place)| **place == Place::TakenByNewer);
    let superseded: Vec<_> = superseded.map(|(job, _)| job.0).collect();
    // The data-changing parts touch disjoint rows; `expired` locked them all first, so a late settle waits and then
    // finds another state. One statement, so that no reader sees a job in neither table.
    let mut rescued = sqlx::query_as!(
        Rescued,
        r#"with expired as (
               select *, cancel_requested_at is not null as unwanted,
                      crashes + 1 >= max_crashes and cancel_requested_at is null as poisoned,
                      id = any($3::uuid[]) as superseded
               from jobs
               where lease_until >= coalesce($8::timestamptz, '-infinity') and lease_until < now()
                 and (dedupe_key is null or id = any($4::uuid[]))
               order by lease_until, id
               limit $1
               for update skip locked
           ), returned as (
               update jobs
               set state = 'available', crashes = jobs.crashes + 1, worker_id = null, lease_until = null,
                   last_error_code = 'worker_lost', last_error_message = 'The worker stopped; the job goes on by itself.',
                   progress = null, progress_note = null
               from expired
               where jobs.tenant_id = expired.tenant_id and jobs.id = expired.id and not (poisoned or superseded or unwanted)
           ), removed as (
               delete from jobs using expired
               where jobs.tenant_id = expired.tenant_id and jobs.id = expired.id and (poisoned or superseded or unwanted)
           ), ended as (
               insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes,
                   max_attempts, args, worker_id, run_at, started_at, created_at, request_id, traceparent,
                   dedupe_key, parent_id, children, error_code, error_message)
               select id, tenant_id, kind, queue, case when poisoned then 'discarded' else 'cancelled' end, priority, attempt,
                   errors, crashes + 1, max_attempts, args, worker_id, run_at, started_at, created_at, request_id, traceparent,
                   dedupe_key, parent_id, children, case when unwanted then $7 when poisoned then $2 else $5 end,
                   case when unwanted then 'The job was cancelled while it ran.'
                        when poisoned then 'The job stopped its worker several times and was given up.' else $6 end
               from expired
               where poisoned or superseded or unwanted
           ), recorded as (
               insert into job_attempts (job_id, attempt, tenant_id, worker_id, started_at, outcome, error_code)
               select id, attempt, tenant_id, worker_id, started_at, 'crashed', 'worker_lost' from expired
           )
           select id as "job: JobId", tenant_id as "tenant: TenantId", queue, attempt, request_id, traceparent,
                  poisoned as "poisoned!", superseded and not unwanted as "superseded!",
                  unwanted as "unwanted!", null::uuid as "in_place_of: JobId"
           from expired
           order by lease_until, id"#,
        i64::from(limit),
        POISON,
        &superseded,
        &places.keys().map(|job| job.0).collect::<Vec<_>>(),
        SUPERSEDED,
        dedupe::MESSAGE,
        CANCELLED,
        since,
    )
    .fetch_all(conn)
    .await?;
    for job in &mut rescued {
        if let Some(Place::TakenFrom(older)) = places.get(&job.job) {
            job.in_place_of = Some(*older);
        }
    }
    Ok(rescued)
}
