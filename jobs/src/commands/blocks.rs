//! A user's day: [`propose_block`], and what becomes of it ([`decide::step_block`]). All writers of one user's blocks take
//! turns, so that of blocks that want the same time one is agreed to and the others are told. [`book_block`] has one put into
//! the calendar.

mod book;
mod decide;
mod today;

pub use book::{BookError, book_block, cancel_block};
pub use decide::{Wish, decide_block, expire_blocks, step_block};
pub use today::add_to_today;

use crate::{
    domain::{
        Action, Actor, BlockId, Detail, InboxItemId, NewAuditEntry, UserId,
        blocks::{
            BlockKind, BlockSource, Refused, Span,
            hours::{is_working_time, next_free},
        },
        desk::ItemState,
        draft::send_at::zone,
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

/// Who acts, on what occasion.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    pub actor: Actor,
    pub request_id: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// When a block is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(Span),
    /// In the next working time that is free for as long.
    Next(TimeDelta),
}

/// A block as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    pub title: String,
    pub kind: BlockKind,
    pub source: BlockSource,
    pub inbox_item: Option<InboxItemId>,
    /// The set of alternatives and the plan's name in it.
    pub plan: Option<(Uuid, String)>,
    pub when: When,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error("there is no such block")]
    NotFound,
    /// The user sees no item that it could be for.
    #[error("there is no such inbox item")]
    NoItem,
    /// What it is for does not wait any more.
    #[error("the inbox item is {0}")]
    Settled(ItemState),
    #[error("the block is not as the caller has seen it")]
    Stale,
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Something that was agreed to takes some of its time.
    #[error("the time is taken")]
    Taken,
    /// The end does not lie after the start, by a day at most.
    #[error("the times make no block")]
    NotASpan,
    /// Its time is over.
    #[error("the block lies in the past")]
    Past,
    #[error("no working time of the next two weeks is free for so long")]
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

/// Proposes a block within the caller's transaction; whether it is new. The same thing proposed again is the block that
/// stands for it already.
///
/// # Errors
/// See [`BlockError`].
pub async fn propose_block(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    proposal: Proposal,
    occasion: Occasion<'_>,
) -> Result<(StoredBlock, bool), BlockError> {
    blocks::lock(conn, tenant, user).await?;
    let asked = match proposal.when {
        When::At(span) if span.end() <= occasion.at => return Err(BlockError::Past),
        When::At(span) => Some(span),
        When::Next(_) => None,
    };
    let past = blocks::expire_own(conn, tenant, user, occasion.at).await?;
    decide::tell_expired(conn, &past).await?;
    if let Some(item) = proposal.inbox_item {
        inbox_items::find(conn, tenant, Some(user), item)
            .await?
            .ok_or(BlockError::NoItem)?;
    }
    let what = (proposal.title.as_str(), proposal.inbox_item);
    let plan = proposal.plan.as_ref();
    let same = blocks::same(conn, tenant, user, what, plan, asked, occasion.at).await?;
    if let Some(id) = same {
        return Ok((find(conn, tenant, user, id).await?, false));
    }
    let zone = zone_of(conn, tenant, user).await?;
    let span = match proposal.when {
        When::At(span) => span,
        When::Next(length) => {
            let taken = blocks::taken(conn, tenant, user, occasion.at).await?;
            next_free(zone, &taken, occasion.at, length).ok_or(BlockError::NoRoom)?
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
    tell(
        conn,
        (tenant, user),
        ("proposed", Action::BLOCK_PROPOSED),
        &block,
        occasion,
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

/// The audit entry, without the title, and the user's line.
async fn tell(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    (verb, action): (&'static str, Action),
    block: &StoredBlock,
    occasion: Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let told = NewHistoryEntry {
        verb,
        object_kind: "block",
        object: block.id.0,
        job: None,
        rationale: &block.title,
    };
    history::insert_for(conn, tenant, user, &told).await?;
    let entry = entry(tenant, occasion.actor, action, block.id)
        .with_request(occasion.request_id)
        .with_detail(
            Detail::new()
                .word("kind", block.kind.as_str())
                .word("status", block.status.as_str())
                .count("version", block.version),
        );
    audit::insert(conn, &[entry]).await
}

fn entry(tenant: TenantId, actor: Actor, action: Action, id: BlockId) -> NewAuditEntry {
    NewAuditEntry::new(tenant, actor, action, "block", id)
}
