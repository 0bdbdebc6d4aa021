//! Rescues the jobs of dead workers, whose leases have expired.
//!
//! Crashes are counted apart from errors: a job that keeps killing its workers is poison, and is discarded before it has
//! killed all of them.

use crate::{
    enqueue::dedupe::{
        self, SUPERSEDED,
        returning::{DedupeSlot, take_slots},
    },
    finished::insert_finished,
    run::cancel::CANCELLED,
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A job whose lease expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rescued {
    pub job: JobId,
    pub tenant: TenantId,
    pub kind: String,
    pub queue: String,
    /// The attempt that was lost.
    pub attempt: i32,
    pub request_id: Option<String>,
    pub traceparent: Option<String>,
    /// The job killed too many workers and was discarded.
    pub poisoned: bool,
    /// A newer job waits with the dedupe key, so this one was cancelled.
    pub superseded: bool,
    /// Cancellation was requested, so the job was cancelled.
    pub cancel_requested: bool,
    /// The older job that waited with the dedupe key and was cancelled.
    pub superseded_job: Option<JobId>,
}

/// The error code of a job that was discarded because its workers died.
pub const POISON: &str = "poison";

/// From the next attempt on each loss counts: a job may be what takes the machine down.
const LAST_UNCOUNTED_ATTEMPT: i32 = 20;

/// Rescues up to `limit` jobs whose lease expired at `since` or later.
///
/// Makes each job available again, from the second crash on after a random time: jobs that were lost together do not start
/// together once more beside the one that kills its workers. Not if it is poison (discarded), its cancellation was requested or a newer job waits with
/// its dedupe key (cancelled). No crash is counted where the server has started since the attempt began: the machine went
/// down, and the worker may have gone with it. Call it inside a transaction, which holds the dedupe slots.
pub async fn rescue(
    conn: &mut PgConnection,
    since: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<Rescued>, sqlx::Error> {
    let slots = take_slots(conn, since, i64::from(limit)).await?;
    let superseded = slots
        .iter()
        .filter(|(_, slot)| **slot == DedupeSlot::HeldByNewer);
    let superseded: Vec<_> = superseded.map(|(job, _)| job.0).collect();
    // The data-changing CTEs touch disjoint rows. `expired` locks all of them first, so a late settle waits and then finds
    // another state. One statement, so that no reader sees a job in neither table.
    let mut rescued = insert_finished!(
        query_as as Rescued;
        "with expired as (
               select *, cancel_requested_at is not null as cancel_requested,
                      crashes + crash >= max_crashes and cancel_requested_at is null as poisoned,
                      id = any($3::uuid[]) as superseded
               from jobs
               cross join lateral (
                   select ((attempt <= $9 and started_at < pg_postmaster_start_time()) is not true)::int as crash
               ) counted
               where lease_until >= coalesce($8::timestamptz, '-infinity') and lease_until < now()
                 and (dedupe_key is null or id = any($4::uuid[]))
               order by lease_until, id
               limit $1
               for update of jobs skip locked
           ), returned as (
               update jobs
               set state = case when jobs.crashes = 0 then 'available' else 'retryable' end,
                   run_at = case when jobs.crashes = 0 then jobs.run_at
                                 else now() + random() * least(10 * 2 ^ least(jobs.crashes, 10), 60) * interval '1 s' end,
                   crashes = jobs.crashes + crash, worker_id = null, lease_until = null,
                   last_error_code = 'worker_lost', last_error_message = 'The worker stopped. The job is tried again automatically.',
                   progress = null, progress_note = null
               from expired
               where jobs.tenant_id = expired.tenant_id and jobs.id = expired.id and not (poisoned or superseded or cancel_requested)
           ), removed as (
               delete from jobs using expired
               where jobs.tenant_id = expired.tenant_id and jobs.id = expired.id and (poisoned or superseded or cancel_requested)
           ), ended as (",
        "case when poisoned then 'discarded' else 'cancelled' end, errors, crashes + crash, null,
               case when cancel_requested then $7 when poisoned then $2 else $5 end,
               case when cancel_requested then 'The job was cancelled while it ran.'
                    when poisoned then 'The job stopped its worker several times and was discarded.' else $6 end",
        r#"from expired
               where poisoned or superseded or cancel_requested
           ), recorded as (
               insert into job_attempts (job_id, attempt, tenant_id, worker_id, started_at, outcome, error_code)
               select id, attempt, tenant_id, worker_id, started_at, 'crashed', 'worker_lost' from expired
           )
           select id as "job: JobId", tenant_id as "tenant: TenantId", kind, queue, attempt, request_id, traceparent,
                  poisoned as "poisoned!", superseded and not cancel_requested as "superseded!",
                  cancel_requested as "cancel_requested!", null::uuid as "superseded_job: JobId"
           from expired
           order by lease_until, id"#,
        i64::from(limit),
        POISON,
        &superseded,
        &slots.keys().map(|job| job.0).collect::<Vec<_>>(),
        SUPERSEDED,
        dedupe::MESSAGE,
        CANCELLED,
        since,
        LAST_UNCOUNTED_ATTEMPT,
    )
    .fetch_all(conn)
    .await?;
    for job in &mut rescued {
        if let Some(DedupeSlot::TakenFrom(older)) = slots.get(&job.job) {
            job.superseded_job = Some(*older);
        }
    }
    Ok(rescued)
}
