//! The row that every claiming statement returns, and the part that all of those statements share.

use crate::{Job, Lease};
use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};

/// A claimed row of `jobs`.
pub(super) struct Row {
    pub(super) id: JobId,
    pub(super) tenant_id: TenantId,
    pub(super) kind: String,
    pub(super) queue: String,
    pub(super) priority: i16,
    pub(super) args: serde_json::Value,
    pub(super) attempt: i32,
    pub(super) errors: i32,
    pub(super) crashes: i32,
    pub(super) max_attempts: i32,
    pub(super) run_at: DateTime<Utc>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) parent_id: Option<JobId>,
    pub(super) children: i32,
}

impl Row {
    pub(super) fn into_job(self, worker: WorkerId) -> Job {
        Job {
            lease: Lease {
                tenant: self.tenant_id,
                job: self.id,
                attempt: self.attempt,
                worker,
            },
            tenant: self.tenant_id,
            kind: self.kind,
            queue: self.queue,
            priority: self.priority,
            args: self.args,
            parent: self.parent_id,
            children: self.children,
            errors: self.errors,
            crashes: self.crashes,
            max_attempts: self.max_attempts,
            run_at: self.run_at,
            created_at: self.created_at,
            started_at: self.started_at,
            request_id: self.request_id,
            traceparent: self.traceparent,
        }
    }
}

/// Claims the rows that the CTE `picked` of `$with` locks and names by ctid. Parameters 4 and 5 are the worker and the
/// lease.
///
/// Rows are found again by ctid: they are locked and cannot have moved; and by an array of ctids, because against a join a
/// planner that does not know the limit reads the whole table (3 s with 1,000,000 waiting). The start is `clock_timestamp()`
/// and not `now()`, which is the arrival of the statement's first message: over a slow connection that can precede the
/// commit that made the job available, and two of its attempts would seem to overlap (seen by `cargo dev chaos`, seed 11).
macro_rules! claim_picked {
    ($with:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            crate::claim::row::Row,
            $with + r#"
             update jobs
             set state = 'running', attempt = attempt + 1, worker_id = $4, lease_until = now() + $5,
                 started_at = clock_timestamp()
             where ctid = any(array(select ctid from picked)) and state = 'available'
             returning id as "id: base::JobId", tenant_id as "tenant_id: base::TenantId", kind, queue, priority, args,
                       attempt, errors, crashes, max_attempts, run_at, created_at, started_at as "started_at!",
                       request_id, traceparent, parent_id as "parent_id: base::JobId", children"#,
            $($argument),+
        )
    };
}

pub(super) use claim_picked;
