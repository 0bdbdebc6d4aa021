//! Entities and their invariants: data, parsing and pure decisions. Does no IO and knows no SQL.

pub mod audit;
pub mod ids;
pub mod mail;
pub mod session;
pub mod token;

pub use audit::{Action, Actor, AuditOutcome, Detail, NewAuditEntry};
pub use ids::{
    ApprovalId, AuditEntryId, InviteId, JobId, MessageId, SessionId, TenantId, UserId, WorkerId,
};
pub use session::{Role, Scope, Session};
pub use token::{InviteToken, SessionToken};
