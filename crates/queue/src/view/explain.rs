//! Explains why a job is not running: reads the facts in one statement and leaves the wording to the caller.

use crate::{interval::interval, operate::workers::SILENT_AFTER};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Jobs ahead and children are counted up to this number.
pub const MAX_AHEAD: i64 = 1000;

/// The facts about a waiting or running job.
#[derive(Clone, Debug)]
pub struct Facts {
    pub state: String,
    pub queue: String,
    pub kind: String,
    pub run_at: DateTime<Utc>,
    /// Whether `run_at` is in the future, by the database's clock.
    pub is_early: bool,
    pub awaits_children: bool,
    /// Unfinished children, counted up to [`MAX_AHEAD`].
    pub children_left: i64,
    /// The error code of the snooze, if the last attempt ended with one.
    pub snoozed_by: Option<String>,
    /// What that snooze told the user.
    pub snooze_message: Option<String>,
    pub last_error_code: Option<String>,
    /// Whether the queue is paused. The reason is for operators only.
    pub is_paused: bool,
    /// Whether a worker that serves the queue sends heartbeats and does not stop.
    pub has_worker: bool,
    /// The scope of the first limit that is reached: `queue`, `kind` or `tenant`.
    pub limit_scope: Option<String>,
    pub limit_max: Option<i32>,
    /// Jobs of the tenant in the same queue that will be claimed first, counted up to [`MAX_AHEAD`].
    pub ahead: i64,
}

/// Returns the facts about the tenant's job; `None` if it has finished or does not exist.
pub async fn facts(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Option<Facts>, sqlx::Error> {
    // Running jobs are counted by the lease index, as the claim under limits does, and only when a limit applies.
    sqlx::query_as!(
        Facts,
        r#"select job.state, job.queue, job.kind, job.run_at, job.run_at > now() as "is_early!", job.awaits_children,
                  (select count(*) from (
                       select from jobs child where child.parent_id = job.id and child.tenant_id = job.tenant_id limit $3
                   ) children) as "children_left!",
                  snooze.error_code as "snoozed_by?", snooze.error_message as "snooze_message?",
                  job.last_error_code,
                  exists (select from queue_pauses where queue_pauses.queue = job.queue) as "is_paused!",
                  exists (select from workers where job.queue = any (queues) and not stopping and seen_at > now() - $4::interval)
                      as "has_worker!",
                  full_up.scope as "limit_scope?", full_up.max_running as "limit_max?",
                  (select count(*) from (
                       select from jobs other
                       where other.queue = job.queue and other.tenant_id = job.tenant_id and other.state = 'available'
                         and job.state = 'available'
                         and (other.priority, other.run_at, other.id) < (job.priority, job.run_at, job.id)
                       limit $3
                   ) ahead) as "ahead!"
           from jobs job
           left join job_attempts snooze
               on snooze.job_id = job.id and snooze.attempt = job.attempt and snooze.outcome = 'snoozed'
           left join lateral (
               select scope, max_running from queue_limits
               where ((scope = 'queue' and name = job.queue) or (scope = 'kind' and name = job.kind)
                      or (scope = 'tenant' and name = job.tenant_id::text)
                      or (scope = 'tenant' and name = '*' and not exists (
                          select from queue_limits own where own.scope = 'tenant' and own.name = job.tenant_id::text)))
                 and max_running <= (
                     select count(*) from jobs busy
                     where busy.lease_until is not null
                       and case scope when 'queue' then busy.queue = job.queue when 'kind' then busy.kind = job.kind
                           else busy.tenant_id = job.tenant_id end)
               order by scope, name
               limit 1
           ) full_up on true
           where job.tenant_id = $1 and job.id = $2"#,
        tenant.0,
        job.0,
        MAX_AHEAD,
        interval(SILENT_AFTER),
    )
    .fetch_optional(conn)
    .await
}
