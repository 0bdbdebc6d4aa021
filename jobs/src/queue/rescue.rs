//! Finding what dead workers left behind.
//!
//! A crash is counted apart from errors: a job that kills its worker again and again is poison, and is discarded before
//! it has killed the fleet.

use crate::domain::{JobId, TenantId};
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
}

/// The code of a job that was discarded because its workers died.
pub const POISON: &str = "poison";

/// Makes up to `limit` jobs with an expired lease available again, or discards them as poison.
///
/// # Errors
/// If the database cannot be asked.
pub async fn rescue(conn: &mut PgConnection, limit: u32) -> Result<Vec<Rescued>, sqlx::Error> {
    // The two data-changing parts touch disjoint rows; `expired` locked them all first, so a late settle waits and then
    // finds another state. One statement, so that no reader sees a job in neither table.
    sqlx::query_as!(
        Rescued,
        r#"with expired as (
               select * from jobs
               where lease_until < now()
               order by lease_until, id
               limit $1
               for update skip locked
           ), returned as (
               update jobs
               set state = 'available', crashes = jobs.crashes + 1, worker_id = null, lease_until = null,
                   last_error_code = 'worker_lost', last_error_message = 'The worker stopped; the job goes on by itself.',
                   progress = null, progress_note = null
               from expired
               where jobs.tenant_id = expired.tenant_id and jobs.id = expired.id and expired.crashes + 1 < expired.max_crashes
           ), removed as (
               delete from jobs using expired
               where jobs.tenant_id = expired.tenant_id and jobs.id = expired.id and expired.crashes + 1 >= expired.max_crashes
           ), discarded as (
               insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes,
                   max_attempts, args, worker_id, run_at, started_at, created_at, request_id, traceparent,
                   dedupe_key, parent_id, children, error_code, error_message)
               select id, tenant_id, kind, queue, 'discarded', priority, attempt, errors, crashes + 1,
                   max_attempts, args, worker_id, run_at, started_at, created_at, request_id, traceparent,
                   dedupe_key, parent_id, children, $2, 'The job stopped its worker several times and was given up.'
               from expired
               where crashes + 1 >= max_crashes
           ), recorded as (
               insert into job_attempts (job_id, attempt, tenant_id, worker_id, started_at, outcome, error_code)
               select id, attempt, tenant_id, worker_id, started_at, 'crashed', 'worker_lost' from expired
           )
           select id as "job: JobId", tenant_id as "tenant: TenantId", queue, attempt, request_id, traceparent,
                  crashes + 1 >= max_crashes as "poisoned!"
           from expired
           order by lease_until, id"#,
        i64::from(limit),
        POISON,
    )
    .fetch_all(conn)
    .await
}
