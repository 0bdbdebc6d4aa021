//! Sessions: [`Session`], the roles of users and the scopes that a role carries.
//!
//! SQL decides whether a session is alive, by one clock; this file only says what it may do.

pub use super::scope::Scope;
use super::{ApiKeyId, SessionId, UserId, api_key::KeyScopes};
use base::{TenantId, str_enum};
use chrono::{DateTime, Utc};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// The most sessions of a user; opening one more ends the oldest.
pub const MAX_SESSIONS: i64 = 10;

/// How long after a person has typed their password a request counts as freshly authenticated.
pub const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// A session that was alive when its token was presented. A request with an API key has one too, which lasts as long as
/// the request: its id and its user are the key's own id.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    pub tenant: TenantId,
    pub user: UserId,
    pub caller: Caller,
    pub auth_method: AuthMethod,
    /// Whether the user has typed their password within [`FRESH_FOR`], by the database's clock.
    pub fresh: bool,
    /// Whether the tenant is paused: it may read, and submits nothing.
    pub paused: bool,
    /// Whether the tenant requires a second factor that the user does not have: they can only enrol one.
    pub must_enrol: bool,
    pub created_at: DateTime<Utc>,
    /// The absolute expiry.
    pub expires_at: DateTime<Utc>,
    /// The expiry if it is not used again; precise to a minute.
    pub idle_expires_at: DateTime<Utc>,
    /// The id that the client gave the request that presents this session.
    pub client_request_id: Option<Arc<str>>,
}

/// Whose rights a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    User(Role),
    ApiKey(KeyScopes),
}

/// Whose drafts a request reads, with their approvals and what belongs to these: without `reads_all` those that its user may
/// decide, and those that are nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// `None` for an API key.
    pub person: Option<UserId>,
    pub reads_all: bool,
}

impl Session {
    /// Returns the client's id of the request, for a job that it enqueues.
    pub fn client_request(&self) -> Option<String> {
        self.client_request_id.as_deref().map(str::to_owned)
    }

    pub fn may(&self, scope: Scope) -> bool {
        match self.caller {
            Caller::User(role) => role.carries(scope),
            Caller::ApiKey(scopes) => scopes.carries(scope),
        }
    }

    /// Returns the user's role; a key has none.
    pub const fn role(&self) -> Option<Role> {
        match self.caller {
            Caller::User(role) => Some(role),
            Caller::ApiKey(_) => None,
        }
    }

    /// Returns the user; `None` for a key, which has no mailbox, calendar or memory.
    pub const fn person(&self) -> Option<UserId> {
        match self.caller {
            Caller::User(_) => Some(self.user),
            Caller::ApiKey(_) => None,
        }
    }

    /// Returns whose drafts the request may read.
    pub fn reader(&self) -> Reader {
        Reader {
            person: self.person(),
            reads_all: self.may(Scope::ApprovalsReadAll),
        }
    }

    /// Returns the API key of the request; `None` for a person.
    pub const fn api_key(&self) -> Option<ApiKeyId> {
        match self.caller {
            Caller::User(_) => None,
            Caller::ApiKey(_) => Some(ApiKeyId(self.id.0)),
        }
    }
}

impl Caller {
    /// Returns the word for the audit log: the role, or `api_key`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User(role) => role.as_str(),
            Self::ApiKey(_) => "api_key",
        }
    }
}

str_enum! {
    /// The role of a user in a tenant.
    Role {
        Owner = "owner",
        Admin = "admin",
        Operator = "operator",
        Member = "member",
        /// Reads everything, including the audit log, and changes nothing.
        Auditor = "auditor",
    }
}

str_enum! {
    /// How a session was opened.
    AuthMethod {
        Password = "password",
        Invite = "invite",
        /// A token of the tenant's identity provider, which answers for any second factor.
        Oidc = "oidc",
        /// A request with an API key; no session is stored.
        ApiKey = "api_key",
        /// Opened by the `dev` package, on a developer's machine.
        Dev = "dev",
    }
}

str_enum! {
    /// Why a session was revoked.
    RevokeReason {
        Logout = "logout",
        /// From the user's list of sessions.
        Revoked = "revoked",
        /// A token was used after its owner had rotated it.
        Reuse = "reuse",
        /// The user opened more than [`MAX_SESSIONS`].
        Excess = "excess",
        Admin = "admin",
        /// The user's password was changed or reset.
        Password = "password",
        /// The user's second factor was confirmed or reset.
        SecondFactor = "second_factor",
    }
}

str_enum! {
    /// Which of a user's own sessions to end.
    RevokeScope {
        /// The session of this request.
        Local = "local",
        /// All but the session of this request.
        Others = "others",
        Global = "global",
    }
}

/// The lifetimes of sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionLifetime {
    /// Without a request.
    pub idle: Duration,
    /// In all, however often it is used or rotated.
    pub absolute: Duration,
}

/// The origin of a request, as far as it is stored.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub ip: Option<IpAddr>,
    /// At most 256 characters: see [`Origin::new`].
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    /// The id that the client gave the request.
    pub client_request_id: Option<Arc<str>>,
}

impl Origin {
    /// Cuts the user agent to what is stored, and drops characters that do not print.
    pub fn new(ip: Option<IpAddr>, user_agent: Option<&str>, request_id: Option<String>) -> Self {
        let user_agent =
            user_agent.map(|ua| ua.chars().filter(|c| !c.is_control()).take(256).collect());
        Self {
            ip,
            user_agent,
            request_id,
            client_request_id: None,
        }
    }
}

impl Role {
    /// The one table of who may do what. Exhaustive, so that a new scope is refused until it is listed.
    pub const fn carries(self, scope: Scope) -> bool {
        use Role::{Admin, Auditor, Member, Operator, Owner};
        match scope {
            Scope::OwnSessions
            | Scope::JobsRead
            | Scope::RulesRead
            | Scope::ApprovalsRead
            | Scope::RecordsRead
            | Scope::MemoryRead
            | Scope::BlocksRead
            | Scope::HistoryRead => true,
            Scope::JobsWrite
            | Scope::ApprovalsDecide
            | Scope::ConnectionsOwn
            | Scope::RecordsWrite
            | Scope::MemoryWrite
            | Scope::BlocksWrite => {
                matches!(self, Owner | Admin | Operator | Member)
            }
            Scope::RulesWrite | Scope::SettingsWrite => matches!(self, Owner | Admin | Operator),
            Scope::InvitesManage | Scope::KeysManage | Scope::UsersManage => {
                matches!(self, Owner | Admin)
            }
            // A person who chooses the provider can log in as anybody, and prompts hold everybody's emails.
            Scope::IdentityManage | Scope::CapturesRead => matches!(self, Owner),
            Scope::AuditRead | Scope::ApprovalsReadAll => {
                matches!(self, Owner | Admin | Auditor)
            }
            Scope::OperatorsRead | Scope::OperatorsWrite => {
                matches!(self, Owner | Admin | Operator)
            }
        }
    }

    /// Reports whether this role may grant `other`: no role grants more than it has.
    pub const fn may_grant(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => !matches!(other, Self::Owner),
            Self::Operator | Self::Member | Self::Auditor => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_owners_make_owners_and_only_owners_and_admins_make_anybody() {
        for &inviter in Role::ALL {
            for &invited in Role::ALL {
                let allowed = match inviter {
                    Role::Owner => true,
                    Role::Admin => invited != Role::Owner,
                    Role::Operator | Role::Member | Role::Auditor => false,
                };
                assert_eq!(
                    inviter.may_grant(invited),
                    allowed,
                    "{inviter:?} {invited:?}"
                );
            }
        }
    }

    #[test]
    fn auditors_change_nothing_but_their_own_sessions() {
        for scope in [
            Scope::JobsWrite,
            Scope::RulesWrite,
            Scope::ApprovalsDecide,
            Scope::RecordsWrite,
            Scope::InvitesManage,
            Scope::KeysManage,
            Scope::UsersManage,
        ] {
            assert!(!Role::Auditor.carries(scope));
        }
        assert!(
            Role::Auditor.carries(Scope::AuditRead)
                && Role::Auditor.carries(Scope::ApprovalsReadAll)
        );
        assert!(
            !Role::Operator.carries(Scope::AuditRead) && !Role::Member.carries(Scope::AuditRead)
        );
    }

    #[test]
    fn user_agent_is_cut_and_cleaned() {
        let long = format!("a\r\nb{}", "é".repeat(400));
        let origin = Origin::new(None, Some(&long), None);
        let kept = origin.user_agent.unwrap();
        assert_eq!(kept.chars().count(), 256);
        assert!(kept.starts_with("abé"));
    }
}
