//! Time for something that waits in the queue: [`add_to_today`].

use super::{BlockError, Occasion, Proposal, When, propose_block};
use crate::{
    domain::{
        Actor, InboxItemId, Session,
        blocks::{BlockKind, BlockSource},
        desk::ItemState,
    },
    store::{
        blocks::{self, StoredBlock},
        inbox_items,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Proposes so much of the next free working time of the session's user for an item of their queue; whether the block is
/// new. While one for the item is open, it is that one.
///
/// # Errors
/// [`BlockError::NotFound`] if they see no such item, [`BlockError::Settled`] if it does not wait any more.
pub async fn add_to_today(
    pool: &PgPool,
    session: &Session,
    id: InboxItemId,
    length: TimeDelta,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<(StoredBlock, bool), BlockError> {
    let (tenant, user) = (session.tenant, session.user);
    let mut tx = pool.begin().await?;
    // The day before the item: whoever writes a block for an item locks them in this order.
    blocks::lock(&mut tx, tenant, user).await?;
    inbox_items::lock(&mut tx, tenant, id).await?;
    let item = inbox_items::find(&mut tx, tenant, Some(user), id)
        .await?
        .ok_or(BlockError::NotFound)?;
    if !matches!(item.state, ItemState::Open | ItemState::Deferred) {
        return Err(BlockError::Settled(item.state));
    }
    let proposal = Proposal {
        title: item.title,
        kind: BlockKind::Focus,
        source: BlockSource::User,
        inbox_item: Some(id),
        plan: None,
        when: When::Next(length),
    };
    let occasion = Occasion {
        actor: Actor::User {
            user,
            session: Some(session.id),
        },
        request_id: Some(request_id),
        at,
    };
    let done = propose_block(&mut tx, tenant, user, proposal, occasion).await?;
    tx.commit().await?;
    Ok(done)
}
