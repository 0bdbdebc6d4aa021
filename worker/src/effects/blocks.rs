//! `schedule_block`: proposes a block of the user's time and accepts it.

use super::{
    ActionContext, LocalEffect,
    record::{id_and_version, name, text_before, touched, unreadable},
};
use async_trait::async_trait;
use base::{TenantId, clock::Clock};
use chrono::TimeDelta;
use jobs::{
    commands::{
        blocks::{
            BlockCommand, BlockError, BlockProposal, BlockTime, Cause, propose_block, step_block,
        },
        effects::local::{Done, Refusal},
    },
    domain::{
        Actor, BlockId, UserId,
        blocks::{BlockKind, BlockSource, MAX_TITLE, Status},
    },
    store::effects::StoredEffect,
};
use serde_json::json;
use sqlx::PgConnection;

fn refusal(error: BlockError) -> Refusal {
    let (code, message) = match error {
        BlockError::Database(error) => return Refusal::Database(error),
        BlockError::NoRoom => (
            "no_room",
            "No free working time of this length in the next two weeks.",
        ),
        BlockError::Taken => ("time_taken", "The time is no longer free."),
        _ => ("not_now", "The block can no longer be accepted."),
    };
    Refusal::refused(code, message)
}

/// Reads the length; half an hour by default.
fn length(action: &ActionContext<'_>) -> Result<TimeDelta, Refusal> {
    let minutes = action.params.get("minutes").unwrap_or("30");
    minutes
        .parse()
        .ok()
        .filter(|minutes| (5..=480).contains(minutes))
        .map(TimeDelta::minutes)
        .ok_or_else(|| Refusal::refused("bad_minutes", "Use a number of minutes from 5 to 480."))
}

pub(super) struct ScheduleBlock;

#[async_trait]
impl LocalEffect for ScheduleBlock {
    /// The block is of the user in whose name the action is executed; the approval accepts it.
    async fn apply(
        &self,
        conn: &mut PgConnection,
        action: &ActionContext<'_>,
    ) -> Result<Done, Refusal> {
        let user = action.user.ok_or_else(|| {
            Refusal::refused(
                "nobody",
                "A user must request or approve this action: the block needs a calendar owner.",
            )
        })?;
        let proposal = BlockProposal {
            title: name(action, "title", MAX_TITLE)?.as_str().to_owned(),
            kind: BlockKind::Focus,
            source: BlockSource::Assistant,
            inbox_item: None,
            plan: None,
            when: BlockTime::Next(length(action)?),
        };
        let cause = Cause {
            actor: Actor::User {
                user,
                session: None,
            },
            request_id: None,
            client_request_id: None,
            at: action.now,
        };
        let (found, _) = propose_block(conn, action.tenant, user, proposal, cause)
            .await
            .map_err(refusal)?;
        // A block of this title that the user accepted before must not be undone with this action.
        let was_accepted = matches!(found.status, Status::Accepted | Status::Booked);
        let block = if was_accepted {
            found
        } else {
            let owner = (action.tenant, user);
            step_block(conn, owner, found.id, None, BlockCommand::Accept, cause)
                .await
                .map_err(refusal)?
        };
        Ok(Done {
            receipt: json!({
                "id": block.id,
                "version": block.version,
                "start_at": block.start_at,
                "end_at": block.end_at,
            }),
            before_image: Some(json!({
                "user_id": user,
                "status": if was_accepted { "agreed" } else { "proposed" },
            })),
        })
    }

    async fn undo(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        if text_before(done, "status") == Some("agreed") {
            return Ok(());
        }
        let (id, version) = id_and_version(done)?;
        let user = text_before(done, "user_id").and_then(|id| id.parse().ok());
        let user: UserId = user.ok_or_else(unreadable)?;
        let cause = Cause {
            actor: Actor::System,
            request_id: done.request_id.as_deref(),
            client_request_id: None,
            at: Clock::System.now(),
        };
        let (id, seen) = (BlockId(id), Some(&version.into()));
        match step_block(conn, (tenant, user), id, seen, BlockCommand::Cancel, cause).await {
            Ok(_) => Ok(()),
            Err(BlockError::Database(error)) => Err(Refusal::Database(error)),
            Err(_) => Err(touched()),
        }
    }
}
