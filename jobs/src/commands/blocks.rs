//! Blocks of a user's day: [`propose_block`] and [`step_block`]. Writers of one user's blocks take turns, so of two
//! blocks that want the same time one is accepted and the other refused. [`book_block`] books one in the calendar.

mod book;
mod decide;
mod today;

pub use book::{BookError, book_block, cancel_block};
pub use decide::{BlockCommand, decide_block, expire_blocks, step_block};
pub use today::add_to_today;

use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        Actor, AuditAction, BlockId, Detail, InboxItemId, NewAuditEntry, UserId,
        blocks::{
            BlockKind, BlockSource, Refused, Span,
            hours::{is_working_time, next_free},
        },
        draft::send_at::zone,
        inbox::ItemState,
    },
    store::{
        audit,
        blocks::{self, NewBlock, StoredBlock},
        history::{self, NewHistoryEntry},
        inbox_items, users,
    },
};
use base::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

/// Who writes, and in which request.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    pub actor: Actor,
    pub request_id: Option<&'a str>,
    /// The id that the client gave that request.
    pub client_request_id: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// The time of a new block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockTime {
    At(Span),
    /// The next free working time of this length.
    Next(TimeDelta),
}

/// A block to be proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockProposal {
    pub title: String,
    pub kind: BlockKind,
    pub source: BlockSource,
    pub inbox_item: Option<InboxItemId>,
    /// The set of alternatives and the plan's name in it.
    pub plan: Option<(Uuid, String)>,
    pub when: BlockTime,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("there is no such block")]
    NotFound,
    /// The user sees no such inbox item.
    #[error("there is no such inbox item")]
    NoItem,
    /// The inbox item is no longer open.
    #[error("the inbox item is {0}")]
    Settled(ItemState),
    #[error("the block was changed since the caller read it")]
    Stale,
    #[error(transparent)]
    Refused(#[from] Refused),
    /// An accepted block takes some of its time.
    #[error("the time is taken")]
    Taken,
    /// The end is not after the start, or more than a day after it.
    #[error("invalid start or end")]
    NotASpan,
    /// Its time is over.
    #[error("the block is in the past")]
    Past,
    #[error("no working time of this length is free in the next two weeks")]
    NoRoom,
    #[error("could not write the block")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for BlockError {
    fn from(source: sqlx::Error) -> Self {
        let constraint = source
            .as_database_error()
            .and_then(|error| error.constraint());
        if constraint == Some("blocks_no_overlap") {
            Self::Taken
        } else {
            Self::Database(source)
        }
    }
}

/// Proposes a block in the caller's transaction, and reports whether it is new. A repeated proposal returns the open
/// block.
pub async fn propose_block(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    proposal: BlockProposal,
    cause: Cause<'_>,
) -> Result<(StoredBlock, bool), BlockError> {
    blocks::lock(conn, tenant, user).await?;
    let asked = match proposal.when {
        BlockTime::At(span) if span.end() <= cause.at => return Err(BlockError::Past),
        BlockTime::At(span) => Some(span),
        BlockTime::Next(_) => None,
    };
    let past = blocks::expire_own(conn, tenant, user, cause.at).await?;
    decide::record_expired(conn, &past).await?;
    if let Some(item) = proposal.inbox_item {
        inbox_items::find(conn, tenant, Some(user), item)
            .await?
            .ok_or(BlockError::NoItem)?;
    }
    let what = (proposal.title.as_str(), proposal.inbox_item);
    let plan = proposal.plan.as_ref();
    let same = blocks::same(conn, tenant, user, what, plan, asked, cause.at).await?;
    if let Some(id) = same {
        return Ok((find(conn, tenant, user, id).await?, false));
    }
    let zone = zone_of(conn, tenant, user).await?;
    let span = match proposal.when {
        BlockTime::At(span) => span,
        BlockTime::Next(length) => {
            let taken = blocks::taken(conn, tenant, user, cause.at).await?;
            next_free(zone, &taken, cause.at, length).ok_or(BlockError::NoRoom)?
        }
    };
    let new = NewBlock {
        title: proposal.title,
        kind: proposal.kind,
        source: proposal.source,
        inbox_item: proposal.inbox_item,
        plan: proposal.plan,
        span,
        outside_hours: !is_working_time(zone, span),
    };
    let id = blocks::insert(conn, tenant, user, &new).await?;
    let block = find(conn, tenant, user, id).await?;
    record_change(
        conn,
        (tenant, user),
        (HistoryVerb::Proposed, AuditAction::BlockProposed),
        &block,
        cause,
    )
    .await?;
    Ok((block, true))
}

async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    id: BlockId,
) -> Result<StoredBlock, BlockError> {
    blocks::find(conn, tenant, user, id)
        .await?
        .ok_or(BlockError::NotFound)
}

async fn zone_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Tz, BlockError> {
    let person = users::correspondent(conn, tenant, user).await?;
    Ok(person.map_or(Tz::UTC, |person| zone(&person.timezone)))
}

/// Writes the audit entry, without the title, and the user's history entry.
async fn record_change(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    (verb, action): (HistoryVerb, AuditAction),
    block: &StoredBlock,
    cause: Cause<'_>,
) -> Result<(), sqlx::Error> {
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: ResourceKind::Block,
        object: block.id.0,
        job: None,
        rationale: &block.title,
    };
    history::insert_for(conn, tenant, user, &history_entry).await?;
    let entry = entry(tenant, cause.actor, action, block.id)
        .with_request(cause.request_id)
        .with_client_request(cause.client_request_id)
        .with_detail(
            Detail::new()
                .word("kind", block.kind.as_str())
                .word("status", block.status.as_str())
                .count("version", block.version),
        );
    audit::insert(conn, &[entry]).await
}

fn entry(tenant: TenantId, actor: Actor, action: AuditAction, id: BlockId) -> NewAuditEntry {
    NewAuditEntry::new(tenant, actor, action, ResourceKind::Block, id)
}
