//! Entities and their invariants: data, parsing and pure decisions. Does no IO and knows no SQL.

pub mod action;
pub mod api_key;
pub mod approval;
pub mod audit;
pub mod blocks;
pub mod connection;
pub mod contacts;
pub mod corrections;
pub mod digest;
pub mod draft;
pub mod effect;
pub mod event;
pub mod follow_up;
pub mod gate;
pub mod history;
pub mod identity_provider;
pub mod ids;
pub mod inbox;
pub mod invite;
pub mod judgement;
pub mod llm;
pub mod mail;
pub mod memory;
pub mod name;
pub mod password;
pub mod projects;
pub mod proposal;
pub mod recorded;
pub mod risk;
pub mod rules;
pub mod scope;
pub mod second_factor;
mod seen_versions;
pub mod session;
pub mod subscription;
pub mod tasks;
pub mod tenant;
pub mod time;
pub mod token;
pub mod watch;

pub use audit::{Actor, AuditAction, AuditOutcome, Detail, NewAuditEntry, ResourceKind};
pub use base::JobId;
pub use ids::{
    ApiKeyId, ApprovalId, AuditEntryId, BlockId, ConnectionId, ContactId, DigestEntryId, DigestId,
    DraftId, EffectId, FollowUpId, InboxItemId, InviteId, MemoryId, MessageId, ProjectId,
    SessionId, TaskId, UserId,
};
pub use seen_versions::SeenVersions;
pub use session::{Caller, Role, Scope, Session};
pub use token::{ApiKeyToken, InviteToken, PasswordResetToken, SessionToken};
