//! The row that every claiming statement returns, and the part that all of those statements share.

use crate::{Job, Lease, TupleId};
use base::{JobId, TenantId, WorkerId};
use chrono::{DateTime, Utc};

/// A claimed row of `jobs`.
pub(super) struct Row {
    pub(super) place: TupleId,
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
            place: self.place,
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

/// Reads the claimed rows that `$claim`, a call of one of the functions of claims in `migrations/`, returns.
macro_rules! claimed_rows {
    ($claim:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            crate::claim::row::Row,
            r#"select place as "place!: crate::TupleId", id as "id!: base::JobId", tenant_id as "tenant_id!: base::TenantId", kind as "kind!", queue as "queue!",
                      priority as "priority!", args as "args!", attempt as "attempt!", errors as "errors!",
                      crashes as "crashes!", max_attempts as "max_attempts!", run_at as "run_at!",
                      created_at as "created_at!", started_at as "started_at!", request_id, traceparent,
                      parent_id as "parent_id: base::JobId", children as "children!"
               from "# + $claim,
            $($argument),+
        )
    };
}

pub(super) use claimed_rows;
