//! Audit entries about what a job does: [`JobAudit`]. Those about what a person does start with
//! [`Session::audit`](crate::domain::Session::audit).

pub mod canonical;
mod reading;
pub mod seal;
pub mod verify;

pub use reading::record_reading;

use crate::domain::{Actor, AuditAction, NewAuditEntry, ResourceKind};
use base::telemetry::trace_id;
use queue::Job;

/// Starts audit entries about the running attempt of a job.
pub trait JobAudit {
    /// Starts an entry with the attempt's worker as actor, and with its tenant, request and trace.
    fn audit(
        &self,
        action: AuditAction,
        resource: ResourceKind,
        id: impl ToString,
    ) -> NewAuditEntry;
}

impl JobAudit for Job {
    fn audit(
        &self,
        action: AuditAction,
        resource: ResourceKind,
        id: impl ToString,
    ) -> NewAuditEntry {
        let actor = Actor::Worker(self.lease.worker);
        NewAuditEntry::new(self.lease.tenant, actor, action, resource, id)
            .with_request(self.request_id.as_deref())
            .with_trace(self.traceparent.as_deref().and_then(trace_id))
            .with_attempt(self.lease.job, self.lease.attempt)
    }
}
