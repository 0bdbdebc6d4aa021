//! [`TenantActor`]: who changes keys, users and the tenant itself, over HTTP or from the command line.

use crate::domain::{Actor, AuditAction, NewAuditEntry, ResourceKind, Session, UserId};
use base::TenantId;

/// A person who manages a tenant.
#[derive(Clone, Copy, Debug)]
pub enum TenantActor<'a> {
    /// An owner or an admin, over HTTP.
    User {
        session: &'a Session,
        request_id: &'a str,
    },
    /// A person with a shell on the server.
    Shell { tenant: TenantId },
}

impl TenantActor<'_> {
    pub const fn tenant(self) -> TenantId {
        match self {
            Self::User { session, .. } => session.tenant,
            Self::Shell { tenant } => tenant,
        }
    }

    /// Returns the user; `None` for a person with a shell.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User { session, .. } => Some(session.user),
            Self::Shell { .. } => None,
        }
    }

    /// Starts an audit entry in the tenant.
    pub fn audit(
        self,
        action: AuditAction,
        resource: ResourceKind,
        id: impl ToString,
    ) -> NewAuditEntry {
        match self {
            Self::User {
                session,
                request_id,
            } => session
                .audit(action, resource, id)
                .with_request(Some(request_id)),
            Self::Shell { tenant } => NewAuditEntry::new(tenant, Actor::Cli, action, resource, id),
        }
    }
}
