//! What is written down for good: [`NewAuditEntry`], and the names of everything that can happen.
//!
//! [`Detail`] takes ids, numbers and words chosen by code, and nothing a person or a mail has written.

use super::{SessionId, UserId};
use base::{JobId, TenantId, WorkerId};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What happened. For people the names of the OWASP Logging Vocabulary, for work `noun.verb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Action(&'static str);

impl Action {
    pub const LOGIN_SUCCESS: Self = Self("authn_login_success");
    pub const LOGIN_FAIL: Self = Self("authn_login_fail");
    /// A log-in that was not even tried, after too many failures.
    pub const LOGIN_LOCK: Self = Self("authn_login_lock");
    /// A token came back after its owner had replaced it.
    pub const TOKEN_REUSE: Self = Self("authn_token_reuse");
    pub const SESSION_CREATED: Self = Self("session_created");
    pub const SESSION_RENEWED: Self = Self("session_renewed");
    pub const SESSION_LOGOUT: Self = Self("session_logout");
    pub const SESSION_REVOKED: Self = Self("session_revoked");
    pub const EXCESS_SESSIONS: Self = Self("excess_sessions_exceeded");
    pub const AUTHZ_FAIL: Self = Self("authz_fail");
    pub const AUTHZ_ADMIN: Self = Self("authz_admin");
    pub const USER_CREATED: Self = Self("user_created");
    pub const TENANT_CREATED: Self = Self("tenant_created");
    pub const INVITE_CREATED: Self = Self("invite_created");
    pub const INVITE_REVOKED: Self = Self("invite_revoked");
    pub const INVITE_ACCEPTED: Self = Self("invite_accepted");
    pub const JOB_SUBMITTED: Self = Self("job.submitted");
    pub const JOB_SUCCEEDED: Self = Self("job.succeeded");
    pub const JOB_RETRIED: Self = Self("job.retried");
    pub const JOB_SNOOZED: Self = Self("job.snoozed");
    /// The attempt enqueued children and waits for them.
    pub const JOB_WAITING: Self = Self("job.waiting");
    pub const JOB_INTERRUPTED: Self = Self("job.interrupted");
    /// A person put it back in line after it had ended without success.
    pub const JOB_REQUEUED: Self = Self("job.requeued");
    pub const JOB_DISCARDED: Self = Self("job.discarded");
    pub const JOB_CANCELLED: Self = Self("job.cancelled");
    pub const JOB_CANCEL_REQUESTED: Self = Self("job.cancel_requested");
    /// A worker died with the job in its hands.
    pub const JOB_RESCUED: Self = Self("job.rescued");
    pub const LLM_CALLED: Self = Self("llm.called");
    pub const TRIAGE_RECEIVED: Self = Self("triage.received");
    pub const TRIAGE_RULE_MATCHED: Self = Self("triage.rule_matched");
    pub const TRIAGE_COMPLETED: Self = Self("triage.completed");
    pub const ACTION_PROPOSED: Self = Self("action.proposed");
    /// An action of a job came to an end; the detail says which.
    pub const ACTION_ENDED: Self = Self("action.ended");
    pub const APPROVAL_CREATED: Self = Self("approval.created");
    pub const APPROVAL_EDITED: Self = Self("approval.edited");
    pub const APPROVAL_APPROVED: Self = Self("approval.approved");
    /// An agreement was taken back before a worker had begun.
    pub const APPROVAL_REVOKED: Self = Self("approval.revoked");
    /// A worker has begun to carry it out.
    pub const APPROVAL_BEGUN: Self = Self("approval.begun");
    /// It was carried out, or could not be.
    pub const APPROVAL_ENDED: Self = Self("approval.ended");
    /// What was done is to be taken back.
    pub const APPROVAL_UNDO_ASKED: Self = Self("approval.undo_asked");
    pub const APPROVAL_REJECTED: Self = Self("approval.rejected");
    /// A rejection was taken back.
    pub const APPROVAL_REOPENED: Self = Self("approval.reopened");
    /// Nobody decided in time.
    pub const APPROVAL_EXPIRED: Self = Self("approval.expired");
    /// There is a new version of a draft.
    pub const DRAFT_WRITTEN: Self = Self("draft.written");
    /// Nothing was written: the model asks, or nothing is wanted.
    pub const DRAFT_NOT_WRITTEN: Self = Self("draft.not_written");
    /// A person wants the next version.
    pub const DRAFT_REVISION_ASKED: Self = Self("draft.revision_asked");
    pub const DRAFT_DISCARDED: Self = Self("draft.discarded");
    /// Its user has answered with another program.
    pub const DRAFT_SUPERSEDED: Self = Self("draft.superseded");
    /// Written down before anything is tried.
    pub const EFFECT_INTENDED: Self = Self("effect.intended");
    pub const EFFECT_BEGUN: Self = Self("effect.begun");
    /// A try ended; the outcome says how.
    pub const EFFECT_ENDED: Self = Self("effect.ended");
    /// Whoever tried it died: it may have been done.
    pub const EFFECT_LOST: Self = Self("effect.lost");
    /// The other side was asked what became of it.
    pub const EFFECT_RECONCILED: Self = Self("effect.reconciled");
    /// A person has said what became of it.
    pub const EFFECT_RESOLVED: Self = Self("effect.resolved");
    /// What was done was taken back, or could not be.
    pub const EFFECT_TAKEN_BACK: Self = Self("effect.taken_back");
    pub const CONNECTION_CREATED: Self = Self("connection.created");
    pub const CONNECTION_REAUTHENTICATED: Self = Self("connection.reauthenticated");
    pub const CONNECTION_REVOKED: Self = Self("connection.revoked");
    /// The provider refused its secret.
    pub const CONNECTION_REFUSED: Self = Self("connection.refused");
    /// Its secret was taken again.
    pub const CONNECTION_RESTORED: Self = Self("connection.restored");
    pub const SETTINGS_CHANGED: Self = Self("settings.changed");
    pub const ITEM_CREATED: Self = Self("inbox_item.created");
    pub const ITEM_DEFERRED: Self = Self("inbox_item.deferred");
    pub const ITEM_COMPLETED: Self = Self("inbox_item.completed");
    pub const ITEM_DISMISSED: Self = Self("inbox_item.dismissed");
    pub const ITEM_REOPENED: Self = Self("inbox_item.reopened");
    pub const TASK_CREATED: Self = Self("task.created");
    pub const TASK_UPDATED: Self = Self("task.updated");
    pub const TASK_DELETED: Self = Self("task.deleted");
    pub const TASK_RESTORED: Self = Self("task.restored");
    pub const PROJECT_CREATED: Self = Self("project.created");
    pub const PROJECT_UPDATED: Self = Self("project.updated");
    /// With the tasks in it.
    pub const PROJECT_DELETED: Self = Self("project.deleted");
    pub const PROJECT_RESTORED: Self = Self("project.restored");
    pub const CONTACT_CREATED: Self = Self("contact.created");
    pub const CONTACT_UPDATED: Self = Self("contact.updated");
    pub const CONTACT_DELETED: Self = Self("contact.deleted");
    pub const CONTACT_RESTORED: Self = Self("contact.restored");
    pub const MEMORY_STORED: Self = Self("memory.stored");
    pub const MEMORY_PINNED: Self = Self("memory.pinned");
    pub const MEMORY_UNPINNED: Self = Self("memory.unpinned");
    pub const MEMORY_DELETED: Self = Self("memory.deleted");
    /// Its level was full and it was used least recently.
    pub const MEMORY_EVICTED: Self = Self("memory.evicted");
    pub const MEMORY_EXPIRED: Self = Self("memory.expired");
    pub const BLOCK_PROPOSED: Self = Self("block.proposed");
    pub const BLOCK_ACCEPTED: Self = Self("block.accepted");
    pub const BLOCK_REJECTED: Self = Self("block.rejected");
    pub const BLOCK_CHANGED: Self = Self("block.changed");
    pub const BLOCK_BOOKED: Self = Self("block.booked");
    /// The calendar changed under it.
    pub const BLOCK_DISPLACED: Self = Self("block.displaced");
    pub const BLOCK_CANCELLED: Self = Self("block.cancelled");
    /// Another plan was chosen.
    pub const BLOCK_SUPERSEDED: Self = Self("block.superseded");
    pub const BLOCK_EXPIRED: Self = Self("block.expired");
    pub const RULES_UPDATED: Self = Self("rules.updated");
    pub const QUEUE_PAUSED: Self = Self("queue.paused");
    pub const QUEUE_RESUMED: Self = Self("queue.resumed");
    pub const LIMIT_SET: Self = Self("limit.set");
    pub const LIMIT_REMOVED: Self = Self("limit.removed");
    /// Jobs of any tenant were put back in line by the operators.
    pub const DEAD_LETTERS_REQUEUED: Self = Self("dead_letters.requeued");

    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    User {
        user: UserId,
        session: Option<SessionId>,
    },
    /// Somebody who has not shown who they are, such as at a failed log-in.
    Stranger,
    Worker(WorkerId),
    System,
    /// A person with a shell on the server.
    Cli,
}

/// Whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    Ok,
    /// Refused: the actor may not.
    Denied,
    /// Tried, and it did not work.
    Failed,
}

/// An entry to be written; its id and time are given when it is.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    pub tenant: TenantId,
    pub actor: Actor,
    pub action: Action,
    /// What it was done to: a kind (`session`, `job`, …) and an id.
    pub resource: (&'static str, String),
    pub outcome: AuditOutcome,
    /// Stable and machine-readable, when the outcome is not `Ok`.
    pub error_code: Option<String>,
    /// The HTTP request that caused it, however many steps ago.
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
    /// The job in whose attempt it happened.
    pub attempt: Option<(JobId, i32)>,
    pub dry_run: bool,
    pub detail: Detail,
}

impl NewAuditEntry {
    /// Something that was done; other fields are set by the `with_` methods or directly.
    pub fn new(
        tenant: TenantId,
        actor: Actor,
        action: Action,
        resource_kind: &'static str,
        resource_id: impl ToString,
    ) -> Self {
        Self {
            tenant,
            actor,
            action,
            resource: (resource_kind, resource_id.to_string()),
            outcome: AuditOutcome::Ok,
            error_code: None,
            request_id: None,
            trace_id: None,
            attempt: None,
            dry_run: false,
            detail: Detail::default(),
        }
    }

    /// The actor may not do it, for the reason of this code.
    #[must_use]
    pub fn denied(mut self, code: impl Into<String>) -> Self {
        self.outcome = AuditOutcome::Denied;
        self.error_code = Some(code.into());
        self
    }

    /// It was tried and did not work, for the reason of this code.
    #[must_use]
    pub fn failed(mut self, code: impl Into<String>) -> Self {
        self.outcome = AuditOutcome::Failed;
        self.error_code = Some(code.into());
        self
    }

    #[must_use]
    pub fn with_request(mut self, request_id: Option<&str>) -> Self {
        self.request_id = request_id.map(str::to_owned);
        self
    }

    #[must_use]
    pub fn with_attempt(mut self, job: JobId, attempt: i32) -> Self {
        self.attempt = Some((job, attempt));
        self
    }

    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.detail = detail;
        self
    }
}

impl Actor {
    pub const fn kind(self) -> &'static str {
        match self {
            Self::User { .. } | Self::Stranger => "user",
            Self::Worker(_) => "worker",
            Self::System => "system",
            Self::Cli => "cli",
        }
    }

    pub const fn id(self) -> Option<Uuid> {
        match self {
            Self::User { user, .. } => Some(user.0),
            Self::Worker(worker) => Some(worker.0),
            Self::Stranger | Self::System | Self::Cli => None,
        }
    }

    pub const fn session(self) -> Option<Uuid> {
        match self {
            Self::User {
                session: Some(session),
                ..
            } => Some(session.0),
            Self::User { session: None, .. }
            | Self::Worker(_)
            | Self::Stranger
            | Self::System
            | Self::Cli => None,
        }
    }
}

impl AuditOutcome {
    pub const ALL: [Self; 3] = [Self::Ok, Self::Denied, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// The rest of an entry, built only from values that cannot carry a secret or a person's words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail(Map<String, Value>);

impl Detail {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn id(self, key: &'static str, id: impl Into<Uuid>) -> Self {
        self.put(key, id.into().to_string())
    }

    #[must_use]
    pub fn count(self, key: &'static str, count: impl Into<i64>) -> Self {
        self.put(key, count.into())
    }

    /// A score, a share or a price.
    #[must_use]
    pub fn number(self, key: &'static str, number: f64) -> Self {
        self.put(key, number)
    }

    #[must_use]
    pub fn flag(self, key: &'static str, flag: bool) -> Self {
        self.put(key, flag)
    }

    /// A word that stands in the source: an outcome, a role, a category.
    #[must_use]
    pub fn word(self, key: &'static str, word: &'static str) -> Self {
        self.put(key, word)
    }

    /// A technical name from configuration, such as a model's or a rule's: `[A-Za-z0-9._:/-]`, at most 48 characters.
    /// Anything else is written as `?`, so that no address, sentence or token (54 characters) gets in by this door.
    #[must_use]
    pub fn name(self, key: &'static str, name: &str) -> Self {
        let technical = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        let fits = name.len() <= 48 && name.chars().all(technical);
        self.put(key, if fits { name } else { "?" })
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    fn put(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::SessionToken;

    #[test]
    fn a_name_that_could_be_anything_else_is_not_written() {
        let token = SessionToken::generate();
        for secret in [
            token.expose(),
            "ada@example.com",
            "Dear Ada",
            &"a".repeat(49),
        ] {
            assert_eq!(
                Detail::new().name("model", secret).into_json(),
                serde_json::json!({ "model": "?" })
            );
        }
        assert_eq!(
            Detail::new()
                .name("model", "openai/gpt-4.1-mini:free")
                .into_json(),
            serde_json::json!({ "model": "openai/gpt-4.1-mini:free" })
        );
    }
}
