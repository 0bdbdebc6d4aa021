//! Entities and their invariants: data, parsing and pure decisions. Does no IO and knows no SQL.

pub mod action;
pub mod approval;
pub mod audit;
pub mod blocks;
pub mod connection;
pub mod desk;
pub mod draft;
pub mod effect;
pub mod event;
pub mod gate;
pub mod ids;
pub mod invite;
pub mod judgement;
pub mod mail;
pub mod memory;
pub mod password;
pub mod rules;
pub mod session;
pub mod tenant;
pub mod token;
pub(crate) mod words;

pub use audit::{Action, Actor, AuditOutcome, Detail, NewAuditEntry};
pub use base::JobId;
pub use ids::{
    ApprovalId, AuditEntryId, BlockId, ConnectionId, ContactId, DraftId, EffectId, InboxItemId,
    InviteId, MemoryId, MessageId, ProjectId, SessionId, TaskId, UserId,
};
pub use session::{Role, Scope, Session};
pub use token::{InviteToken, SessionToken};
