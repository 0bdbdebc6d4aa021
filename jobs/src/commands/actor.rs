//! [`TenantActor`]: who changes keys, users and the tenant itself, over HTTP or from the command line.

use crate::{
    domain::{
        Actor, AuditAction, NewAuditEntry, ResourceKind, Session, UserId, session::Role,
        tenant::UserStatus,
    },
    store::users,
};
use base::TenantId;
use sqlx::PgConnection;

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

/// Reports whether the session's user may grant, and so change, this role. Reads the role that they have now: the one of the session is
/// from the beginning of the request. A key grants none.
pub async fn may_grant(
    conn: &mut PgConnection,
    session: &Session,
    role: Role,
) -> Result<bool, sqlx::Error> {
    let Some(person) = session.person() else {
        return Ok(false);
    };
    let present = users::get(conn, session.tenant, person).await?;
    Ok(present.is_some_and(|user| user.status == UserStatus::Active && user.role.may_grant(role)))
}
