//! `schedule_block`: a block of the user's day, accepted with the action.

use super::{
    Doing, LocalEffect,
    desk::{name, place, text_before, touched, unreadable},
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

fn told(error: BlockError) -> Refusal {
    let (code, message) = match error {
        BlockError::Database(error) => return Refusal::Database(error),
        BlockError::NoRoom => (
            "no_room",
            "No working time of the next two weeks is free for so long.",
        ),
        BlockError::Taken => ("time_taken", "Its time is taken by now."),
        _ => ("not_now", "The block is not one to agree to any more."),
    };
    Refusal::refused(code, message)
}

/// Its length; half an hour by default.
fn length(doing: &Doing<'_>) -> Result<TimeDelta, Refusal> {
    let asked = doing.params.get("minutes").unwrap_or("30");
    asked
        .parse()
        .ok()
        .filter(|minutes| (5..=480).contains(minutes))
        .map(TimeDelta::minutes)
        .ok_or_else(|| Refusal::refused("bad_minutes", "Use a number of minutes from 5 to 480."))
}

pub(super) struct ScheduleBlock;

#[async_trait]
impl LocalEffect for ScheduleBlock {
    /// The user who requested or approved the action accepts the block with it.
    async fn apply(&self, conn: &mut PgConnection, doing: &Doing<'_>) -> Result<Done, Refusal> {
        let user = doing.user.ok_or_else(|| {
            Refusal::refused("nobody", "It is nobody's day: a person must agree to it.")
        })?;
        let proposal = BlockProposal {
            title: name(doing, "title", MAX_TITLE)?.as_str().to_owned(),
            kind: BlockKind::Focus,
            source: BlockSource::Assistant,
            inbox_item: None,
            plan: None,
            when: BlockTime::Next(length(doing)?),
        };
        let occasion = Cause {
            actor: Actor::User {
                user,
                session: None,
            },
            request_id: None,
            at: doing.now,
        };
        let (found, _) = propose_block(conn, doing.tenant, user, proposal, occasion)
            .await
            .map_err(told)?;
        // A block with this title that they had accepted before is not this action's to undo.
        let agreed = matches!(found.status, Status::Accepted | Status::Booked);
        let block = if agreed {
            found
        } else {
            let whose = (doing.tenant, user);
            step_block(conn, whose, found.id, None, BlockCommand::Accept, occasion)
                .await
                .map_err(told)?
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
                "status": if agreed { "agreed" } else { "proposed" },
            })),
        })
    }

    async fn revert(
        &self,
        conn: &mut PgConnection,
        tenant: TenantId,
        done: &StoredEffect,
    ) -> Result<(), Refusal> {
        if text_before(done, "status") == Some("agreed") {
            return Ok(());
        }
        let (id, version) = place(done)?;
        let user = text_before(done, "user_id").and_then(|id| id.parse().ok());
        let user: UserId = user.ok_or_else(unreadable)?;
        let occasion = Cause {
            actor: Actor::System,
            request_id: done.request_id.as_deref(),
            at: Clock::System.now(),
        };
        let (id, seen) = (BlockId(id), Some(version));
        match step_block(
            conn,
            (tenant, user),
            id,
            seen,
            BlockCommand::Cancel,
            occasion,
        )
        .await
        {
            Ok(_) => Ok(()),
            Err(BlockError::Database(error)) => Err(Refusal::Database(error)),
            Err(_) => Err(touched()),
        }
    }
}
