//! [`AuditRecorder`]: writes the audit entry of each ended attempt, in the transaction or statement that ends it.

use crate::domain::ResourceKind;
use crate::{
    domain::audit::{Actor, AuditAction, NewAuditEntry},
    store::audit,
};
use async_trait::async_trait;
use base::{JobId, telemetry::trace_id};
use queue::{
    Job,
    runtime::recorder::{AttemptEnd, AttemptRecorder, EndedAttempt, Recorder},
};
use serde_json::Value;
use sqlx::PgConnection;
use std::{collections::HashSet, sync::Arc};

/// Writes ended attempts to the audit log.
pub struct AuditRecorder;

impl AuditRecorder {
    /// Returns the recorder for the queue's runtime.
    pub fn shared() -> Recorder {
        Some(Arc::new(Self))
    }
}

#[async_trait]
impl AttemptRecorder for AuditRecorder {
    async fn record(
        &self,
        conn: &mut PgConnection,
        ended: &[EndedAttempt],
    ) -> Result<(), sqlx::Error> {
        let entries: Vec<_> = ended.iter().map(entry).collect();
        audit::insert(conn, &entries).await
    }

    async fn settle_succeeded(
        &self,
        conn: &mut PgConnection,
        succeeded: &[(&Job, &Value)],
    ) -> Result<HashSet<JobId>, sqlx::Error> {
        audit::settle_succeeded(conn, succeeded).await
    }
}

fn entry(ended: &EndedAttempt) -> NewAuditEntry {
    let action = match ended.end {
        AttemptEnd::Succeeded => AuditAction::JobSucceeded,
        AttemptEnd::Retried => AuditAction::JobRetried,
        AttemptEnd::Snoozed => AuditAction::JobSnoozed,
        AttemptEnd::Waiting => AuditAction::JobWaiting,
        AttemptEnd::Interrupted => AuditAction::JobInterrupted,
        AttemptEnd::Discarded => AuditAction::JobDiscarded,
        AttemptEnd::Cancelled => AuditAction::JobCancelled,
        AttemptEnd::Rescued => AuditAction::JobRescued,
    };
    let actor = ended.worker.map_or(Actor::System, Actor::Worker);
    let mut entry = NewAuditEntry::new(ended.tenant, actor, action, ResourceKind::Job, ended.job)
        .with_request(ended.request_id.as_deref());
    if let Some(attempt) = ended.attempt {
        entry = entry.with_attempt(ended.job, attempt);
    }
    entry.trace_id = ended
        .traceparent
        .as_deref()
        .and_then(trace_id)
        .map(str::to_owned);
    match ended.code {
        Some(code) => entry.failed(code),
        None => entry,
    }
}
