//! Subscriptions: a webhook that is called when jobs end ([`JobEndEvent`]), each time under an id that stays the same.

use super::{AuditEntryId, ConnectionId};
use base::{JobId, str_enum};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use uuid::Uuid;

str_enum! {
    /// How a job ended. The audit log has the same words.
    JobEndEvent {
        Succeeded = "job.succeeded",
        /// All its attempts failed, or it failed in a way that no attempt can mend.
        Discarded = "job.discarded",
        Cancelled = "job.cancelled",
    }
}

str_enum! {
    /// Whether events are delivered.
    SubscriptionStatus {
        Active = "active",
        /// The webhook failed for too long. Nothing is lost: it continues where it stopped.
        Suspended = "suspended",
        /// The webhook answered that it is gone.
        Ended = "ended",
    }
}

/// The end of a job, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEnd {
    pub entry: AuditEntryId,
    pub event: JobEndEvent,
    pub job: JobId,
    pub kind: String,
    /// Of the failure that ended it.
    pub error_code: Option<String>,
    pub at: DateTime<Utc>,
}

impl JobEnd {
    /// Names the call, the same for each attempt and each replay, so that the receiver can drop repeated ones.
    pub fn webhook_id(&self, connection: ConnectionId) -> String {
        let id = Uuid::new_v5(&connection.0, self.entry.0.as_bytes());
        format!("evt_{}", id.simple())
    }

    /// Writes the call's body. The job's output stays with us: the receiver reads it with its own rights.
    pub fn body(&self, id: &str) -> String {
        let body = json!({
            "type": self.event,
            "id": id,
            "timestamp": self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "data": {
                "job_id": self.job,
                "kind": self.kind,
                "error_code": self.error_code,
                "href": format!("/v1/jobs/{}", self.job),
            },
        });
        body.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AuditAction;

    fn end(entry: AuditEntryId) -> JobEnd {
        JobEnd {
            entry,
            event: JobEndEvent::Succeeded,
            job: JobId::new(),
            kind: "triage.email".into(),
            error_code: None,
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn event_has_the_word_of_the_audit_log() {
        for event in JobEndEvent::ALL {
            assert!(AuditAction::parse(event.as_str()).is_some(), "{event}");
        }
    }

    #[test]
    fn webhook_id_is_the_same_for_one_webhook_and_one_event_alone() {
        let (one, other) = (ConnectionId::new(), ConnectionId::new());
        let entry = AuditEntryId::new();
        assert_eq!(end(entry).webhook_id(one), end(entry).webhook_id(one));
        assert_ne!(end(entry).webhook_id(one), end(entry).webhook_id(other));
        let next = end(AuditEntryId::new());
        assert_ne!(end(entry).webhook_id(one), next.webhook_id(one));
    }
}
