//! Entities and their invariants: data, parsing and pure decisions. Does no IO and knows no SQL.

pub mod ids;

pub use ids::{ApprovalId, InviteId, JobId, MessageId, SessionId, TenantId, UserId, WorkerId};
