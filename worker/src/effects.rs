//! What is done to the world, by type of action: [`way_of`]. Each file is one family; which of them may run is not decided
//! here, and how often neither: that is the ledger's (`jobs::commands::effect_ledger`).

mod desk;
pub(crate) mod mail;
mod notify;

use crate::handler::JobContext;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use jobs::{
    commands::effect_ledger::local::{Done, Refusal},
    domain::{
        ApprovalId, JobId, MessageId, TenantId, UserId,
        action::{ActionType, Params},
    },
    store::{connections::StoredConnection, effects::StoredEffect},
};
use serde_json::Value;
use sqlx::PgConnection;

/// One action, allowed and about to be done.
#[derive(Clone, Copy, Debug)]
pub struct Doing<'a> {
    pub tenant: TenantId,
    /// The job that does it.
    pub job: JobId,
    /// Who asked for it, or agreed to it; nobody if a rule did.
    pub user: Option<UserId>,
    pub kind: ActionType,
    pub params: &'a Params,
    /// The mail it is about.
    pub message: Option<MessageId>,
    pub approval: Option<ApprovalId>,
    /// The name of the effect.
    pub key: [u8; 32],
    pub now: DateTime<Utc>,
}

/// An effect on our own tables: it commits together with its line in the ledger.
#[async_trait]
pub trait LocalEffect: Send + Sync {
    /// # Errors
    /// [`Refusal::Refused`] with what the user is told; what was written by then is rolled back.
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal>;

    /// Takes it back; asked only of types that are
    /// [compensable](jobs::domain::action::ActionType::is_compensable).
    ///
    /// # Errors
    /// [`Refusal::Refused`] if the world has moved on since.
    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal>;
}

/// Something that is ready to leave the house.
#[derive(Debug)]
pub struct Prepared {
    pub connection: StoredConnection,
    pub message_id: String,
    /// All that is needed to send it, and to send the same again.
    pub rendered: Vec<u8>,
    /// What a dry run tells.
    pub would: Value,
}

/// Why something did not get ready.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It cannot be done as things are. The message is the user's.
    #[error("{code}")]
    Refused { code: &'static str, message: String },
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

impl Trouble {
    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }
}

/// An effect that leaves the house by a mail connection. [`prepare`](Self::prepare) touches nothing; sending what it gives
/// is [`mail::send`].
#[async_trait]
pub trait Remote: Send + Sync {
    /// Resolves what it is done to against what we hold, and renders it.
    ///
    /// # Errors
    /// [`Trouble::Refused`] with what the user is told.
    async fn prepare(&self, ctx: &JobContext, doing: &Doing<'_>) -> Result<Prepared, Trouble>;
}

/// How a type of action is done.
#[derive(Clone, Copy)]
pub enum Way {
    Local(&'static dyn LocalEffect),
    Remote(&'static dyn Remote),
}

/// How it is done; `None` for what this version only proposes.
pub fn way_of(kind: ActionType) -> Option<Way> {
    match kind {
        ActionType::SendDraft => Some(Way::Remote(&mail::SendDraft)),
        ActionType::Send => Some(Way::Remote(&mail::Send)),
        ActionType::CreateTask => Some(Way::Local(&desk::CreateTask)),
        ActionType::UpdateTask => Some(Way::Local(&desk::UpdateTask)),
        ActionType::Link => Some(Way::Local(&desk::Link)),
        ActionType::UpsertContact => Some(Way::Local(&desk::UpsertContact)),
        ActionType::Notify => Some(Way::Local(&notify::Notify)),
        _ => None,
    }
}

/// What cannot be taken back says so.
fn not_compensable() -> Refusal {
    Refusal::refused("not_compensable", "This cannot be taken back.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_at_the_door_is_what_can_be_done() {
        for kind in ActionType::ALL {
            assert_eq!(way_of(*kind).is_some(), kind.is_executable(), "{kind}");
        }
    }
}
