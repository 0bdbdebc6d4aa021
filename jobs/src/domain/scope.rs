//! What operations require of a session or a key: [`Scope`].

/// The permission that an operation requires of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Any session: its own affairs.
    OwnSessions,
    JobsRead,
    JobsWrite,
    RulesRead,
    RulesWrite,
    ApprovalsRead,
    /// Reading the drafts of other users too, with what belongs to them: see [`super::session::Reader`].
    ApprovalsReadAll,
    /// Approving, editing, rejecting, and taking any of it back.
    ApprovalsDecide,
    /// The user's own accounts at providers.
    ConnectionsOwn,
    SettingsWrite,
    /// Tasks, projects, contacts and the inbox.
    RecordsRead,
    RecordsWrite,
    InvitesManage,
    KeysManage,
    UsersManage,
    /// Whose tokens open sessions.
    IdentityManage,
    /// What models were asked and answered, and whether it is kept.
    CapturesRead,
    AuditRead,
    /// The user's memory.
    MemoryRead,
    MemoryWrite,
    /// The user's own day.
    BlocksRead,
    BlocksWrite,
    /// What was done, in words for people.
    HistoryRead,
    /// What concerns all tenants; only for users of the operators' tenant.
    OperatorsRead,
    OperatorsWrite,
}

impl Scope {
    pub const ALL: [Self; 25] = [
        Self::OwnSessions,
        Self::JobsRead,
        Self::JobsWrite,
        Self::RulesRead,
        Self::RulesWrite,
        Self::ApprovalsRead,
        Self::ApprovalsReadAll,
        Self::ApprovalsDecide,
        Self::ConnectionsOwn,
        Self::SettingsWrite,
        Self::RecordsRead,
        Self::RecordsWrite,
        Self::InvitesManage,
        Self::KeysManage,
        Self::UsersManage,
        Self::IdentityManage,
        Self::CapturesRead,
        Self::AuditRead,
        Self::MemoryRead,
        Self::MemoryWrite,
        Self::BlocksRead,
        Self::BlocksWrite,
        Self::HistoryRead,
        Self::OperatorsRead,
        Self::OperatorsWrite,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnSessions => "sessions:own",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::RulesRead => "rules:read",
            Self::RulesWrite => "rules:write",
            Self::ApprovalsRead => "approvals:read",
            Self::ApprovalsReadAll => "approvals:read_all",
            Self::ApprovalsDecide => "approvals:decide",
            Self::ConnectionsOwn => "connections:own",
            Self::SettingsWrite => "settings:write",
            Self::RecordsRead => "records:read",
            Self::RecordsWrite => "records:write",
            Self::InvitesManage => "invites:manage",
            Self::KeysManage => "keys:manage",
            Self::UsersManage => "users:manage",
            Self::IdentityManage => "identity:manage",
            Self::CapturesRead => "captures:read",
            Self::AuditRead => "audit:read",
            Self::MemoryRead => "memory:read",
            Self::MemoryWrite => "memory:write",
            Self::BlocksRead => "blocks:read",
            Self::BlocksWrite => "blocks:write",
            Self::HistoryRead => "history:read",
            Self::OperatorsRead => "operators:read",
            Self::OperatorsWrite => "operators:write",
        }
    }
}
