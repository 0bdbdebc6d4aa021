//! What is done to the world, by type of action: [`way_of`]. Each file is one family; which of them may run is not decided
//! here, and how often neither: that is the ledger's (`jobs::commands::effect_ledger`).

mod notify;

use async_trait::async_trait;
use jobs::{
    commands::effect_ledger::local::{Done, Refusal},
    domain::{
        ApprovalId, JobId, MessageId, TenantId, UserId,
        action::{ActionType, Params},
    },
    store::effects::StoredEffect,
};
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

/// How a type of action is done.
#[derive(Clone, Copy)]
pub enum Way {
    Local(&'static dyn LocalEffect),
}

/// How it is done; `None` for what this version only proposes.
pub fn way_of(kind: ActionType) -> Option<Way> {
    match kind {
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
