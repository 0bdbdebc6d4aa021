//! Blocking time for an inbox item: [`add_to_today`].

use super::{BlockError, BlockProposal, BlockTime, Cause, propose_block};
use crate::{
    domain::{
        Actor, InboxItemId, Session,
        blocks::{BlockKind, BlockSource},
        inbox::ItemState,
    },
    store::{
        blocks::{self, StoredBlock},
        inbox_items,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

/// Proposes a block in the next free working time for an inbox item, and reports whether it is new. While the item has
/// an open block, returns that one.
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
    // The day before the item: every writer of a block for an item locks them in this order.
    blocks::lock(&mut tx, tenant, user).await?;
    inbox_items::lock(&mut tx, tenant, id).await?;
    let item = inbox_items::find(&mut tx, tenant, Some(user), id)
        .await?
        .ok_or(BlockError::NotFound)?;
    if !matches!(item.state, ItemState::Open | ItemState::Deferred) {
        return Err(BlockError::Settled(item.state));
    }
    let proposal = BlockProposal {
        title: item.title,
        kind: BlockKind::Focus,
        source: BlockSource::User,
        inbox_item: Some(id),
        plan: None,
        when: BlockTime::Next(length),
    };
    let cause = Cause {
        actor: Actor::User {
            user,
            session: Some(session.id),
        },
        request_id: Some(request_id),
        client_request_id: session.client_request_id.as_deref(),
        at,
    };
    let done = propose_block(&mut tx, tenant, user, proposal, cause).await?;
    tx.commit().await?;
    Ok(done)
}
