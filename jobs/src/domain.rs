//! Entities and their invariants: data, parsing and pure decisions. Does no IO and knows no SQL.

pub mod action;
pub mod approval;
pub mod audit;
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
pub mod proposal;
pub mod risk;
pub mod rules;
pub mod schedule;
pub mod session;
pub mod token;
pub(crate) mod words;

pub use audit::{Action, Actor, AuditOutcome, Detail, NewAuditEntry};
pub use base::JobId;
pub use ids::{
    ActionItemId, ApprovalId, AuditEntryId, BlockId, ConnectionId, ContactId, DraftId, EffectId,
    InviteId, MemoryId, MessageId, ProjectId, SessionId, TaskId, UserId,
};
pub use session::{Role, Scope, Session};
pub use token::{InviteToken, SessionToken};
