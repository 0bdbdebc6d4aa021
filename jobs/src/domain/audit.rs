//! The audit log's entries: [`NewAuditEntry`] says who did what to which resource, and how it ended.
//!
//! [`Detail`] takes ids, numbers and texts chosen by code, and nothing that a person or a message contains.

mod action;
mod detail;
mod resource;
pub mod seal;

pub use action::AuditAction;
pub use detail::Detail;
pub use resource::ResourceKind;

use super::{
    ApiKeyId, SessionId, UserId,
    session::{Caller, Origin, Session},
};
use base::str_enum;
use base::{JobId, TenantId, WorkerId};
use uuid::Uuid;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    User {
        user: UserId,
        session: Option<SessionId>,
    },
    /// A program with an API key.
    ApiKey(ApiKeyId),
    /// A person who has not signed in, such as at a failed log-in.
    Anonymous,
    Worker(WorkerId),
    System,
    /// A person with a shell on the server.
    Cli,
}

str_enum! {
    /// How it ended.
    AuditOutcome {
        Ok = "ok",
        /// The actor may not do it.
        Denied = "denied",
        /// It was tried and failed.
        Failed = "failed",
    }
}

/// An entry to be written; its id and time are set when it is.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    pub tenant: TenantId,
    pub actor: Actor,
    pub action: AuditAction,
    /// What it was done to: a kind and an id.
    pub resource: (ResourceKind, String),
    pub outcome: AuditOutcome,
    /// Stable and machine-readable, when the outcome is not `Ok`.
    pub error_code: Option<String>,
    /// The HTTP request that caused it, however many steps ago.
    pub request_id: Option<String>,
    /// The id that the client gave that request.
    pub client_request_id: Option<String>,
    pub trace_id: Option<String>,
    /// The job and the attempt in which it happened.
    pub attempt: Option<(JobId, i32)>,
    pub dry_run: bool,
    pub detail: Detail,
}

impl NewAuditEntry {
    /// Builds an entry with the outcome `ok`; the `with_` methods set other fields.
    pub fn new(
        tenant: TenantId,
        actor: Actor,
        action: AuditAction,
        resource_kind: ResourceKind,
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
            client_request_id: None,
            trace_id: None,
            attempt: None,
            dry_run: false,
            detail: Detail::default(),
        }
    }

    /// Marks the entry as denied, with this code.
    #[must_use]
    pub fn denied(mut self, code: impl Into<String>) -> Self {
        self.outcome = AuditOutcome::Denied;
        self.error_code = Some(code.into());
        self
    }

    /// Marks the entry as failed, with this code.
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

    /// Adds the id that the client gave the request.
    #[must_use]
    pub fn with_client_request(mut self, client_request_id: Option<&str>) -> Self {
        self.client_request_id = client_request_id.map(str::to_owned);
        self
    }

    /// Names the request by its origin: our id, and the client's.
    #[must_use]
    pub fn with_origin(mut self, origin: &Origin) -> Self {
        self.request_id.clone_from(&origin.request_id);
        self.client_request_id = origin.client_request_id.as_deref().map(str::to_owned);
        self
    }

    #[must_use]
    pub fn with_trace(mut self, trace_id: Option<&str>) -> Self {
        self.trace_id = trace_id.map(str::to_owned);
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

impl Session {
    /// Returns the session's user, or the key, as an actor.
    pub const fn actor(&self) -> Actor {
        match self.caller {
            Caller::User(_) => Actor::User {
                user: self.user,
                session: Some(self.id),
            },
            Caller::ApiKey(_) => Actor::ApiKey(ApiKeyId(self.id.0)),
        }
    }

    /// Starts an entry about something that the session's user does in their own tenant.
    pub fn audit(
        &self,
        action: AuditAction,
        resource: ResourceKind,
        id: impl ToString,
    ) -> NewAuditEntry {
        let mut entry = NewAuditEntry::new(self.tenant, self.actor(), action, resource, id);
        entry.client_request_id = self.client_request();
        entry
    }
}

impl Actor {
    pub const fn kind(self) -> &'static str {
        match self {
            Self::User { .. } | Self::Anonymous => "user",
            Self::ApiKey(_) => "api_key",
            Self::Worker(_) => "worker",
            Self::System => "system",
            Self::Cli => "cli",
        }
    }

    pub const fn id(self) -> Option<Uuid> {
        match self {
            Self::User { user, .. } => Some(user.0),
            Self::ApiKey(key) => Some(key.0),
            Self::Worker(worker) => Some(worker.0),
            Self::Anonymous | Self::System | Self::Cli => None,
        }
    }

    pub const fn session(self) -> Option<Uuid> {
        match self {
            Self::User {
                session: Some(session),
                ..
            } => Some(session.0),
            Self::User { session: None, .. }
            | Self::ApiKey(_)
            | Self::Worker(_)
            | Self::Anonymous
            | Self::System
            | Self::Cli => None,
        }
    }
}
