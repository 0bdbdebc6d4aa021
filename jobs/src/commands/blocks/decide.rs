//! What becomes of a block: [`step_block`] within a larger transaction, [`decide_block`] for a user who has seen it, and
//! [`expire_blocks`] for those nobody decides about.

use super::{BlockError, Occasion, entry, find, tell, zone_of};
use crate::{
    domain::{
        Action, Actor, BlockId, Session, UserId,
        blocks::{BlockKind, Span, Status, Step, hours::is_working_time},
    },
    store::{
        audit,
        blocks::{self, Past, StoredBlock},
        history::{self, NewHistoryEntry},
    },
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

/// What is to become of a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Agree to it; of alternative plans the others are superseded.
    Accept,
    Reject,
    Cancel,
    /// It is in the calendar, under this reference, and this is what is there.
    Book {
        event_ref: String,
        event_etag: Option<String>,
    },
    /// The calendar changed: something else has its time.
    Displace,
    /// What is left out stays.
    Change {
        title: Option<String>,
        kind: Option<BlockKind>,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    },
}

impl Wish {
    const fn step(&self) -> Step {
        match self {
            Self::Accept => Step::Accept,
            Self::Reject => Step::Reject,
            Self::Cancel => Step::Cancel,
            Self::Book { .. } => Step::Book,
            Self::Displace => Step::Conflict,
            Self::Change { .. } => Step::Change,
        }
    }

    const fn told(&self) -> (&'static str, Action) {
        match self {
            Self::Accept => ("accepted", Action::BLOCK_ACCEPTED),
            Self::Reject => ("rejected", Action::BLOCK_REJECTED),
            Self::Cancel => ("cancelled", Action::BLOCK_CANCELLED),
            Self::Book { .. } => ("booked", Action::BLOCK_BOOKED),
            Self::Displace => ("displaced", Action::BLOCK_DISPLACED),
            Self::Change { .. } => ("changed", Action::BLOCK_CHANGED),
        }
    }
}

/// Does to a block of the session's user, as they have seen it, what they wish.
///
/// # Errors
/// See [`BlockError`]; nothing is changed then.
pub async fn decide_block(
    pool: &PgPool,
    session: &Session,
    (id, version): (BlockId, i32),
    wish: Wish,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoredBlock, BlockError> {
    let occasion = Occasion {
        actor: by(session),
        request_id: Some(request_id),
        at,
    };
    let mut tx = pool.begin().await?;
    let whose = (session.tenant, session.user);
    let block = step_block(&mut tx, whose, id, Some(version), wish, occasion).await?;
    tx.commit().await?;
    Ok(block)
}

pub(super) const fn by(session: &Session) -> Actor {
    Actor::User {
        user: session.user,
        session: Some(session.id),
    }
}

/// The same within the caller's transaction, and without a version for those who act on the block as it is.
///
/// # Errors
/// See [`BlockError`].
pub async fn step_block(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    id: BlockId,
    version: Option<i32>,
    wish: Wish,
    occasion: Occasion<'_>,
) -> Result<StoredBlock, BlockError> {
    blocks::lock(conn, tenant, user).await?;
    blocks::hold(conn, tenant, id).await?;
    let present = find(conn, tenant, user, id).await?;
    if version.is_some_and(|version| version != present.version) {
        return Err(BlockError::Stale);
    }
    let next = present.status.after(wish.step())?;
    let told = wish.told();
    match wish {
        Wish::Accept => accept(conn, (tenant, user), &present, occasion).await?,
        Wish::Displace if present.end_at <= occasion.at => return Err(BlockError::Past),
        Wish::Reject | Wish::Cancel | Wish::Displace => {
            blocks::set_status(conn, tenant, id, next).await?;
        }
        Wish::Book {
            event_ref,
            event_etag,
        } => {
            blocks::set_booked(conn, tenant, id, &event_ref, event_etag.as_deref()).await?;
        }
        Wish::Change {
            title,
            kind,
            start,
            end,
        } => {
            let start = start.unwrap_or(present.start_at);
            let span = Span::new(
                start,
                end.unwrap_or(start + (present.end_at - present.start_at)),
            )
            .map_err(|_| BlockError::NotASpan)?;
            if span.end() <= occasion.at {
                return Err(BlockError::Past);
            }
            let title = title.as_deref().unwrap_or(&present.title);
            let zone = zone_of(conn, tenant, user).await?;
            let outside = !is_working_time(zone, span);
            let what = (title, kind.unwrap_or(present.kind));
            blocks::set_content(conn, tenant, id, what, span, outside).await?;
        }
    }
    let block = find(conn, tenant, user, id).await?;
    tell(conn, (tenant, user), told, &block, occasion).await?;
    Ok(block)
}

/// Looked at before it is written: the table would refuse an overlap too, and with it all of the caller's transaction.
async fn accept(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    block: &StoredBlock,
    occasion: Occasion<'_>,
) -> Result<(), BlockError> {
    let span = Span::new(block.start_at, block.end_at).map_err(|_| BlockError::NotASpan)?;
    if span.end() <= occasion.at {
        return Err(BlockError::Past);
    }
    if blocks::is_taken(conn, tenant, user, span).await? {
        return Err(BlockError::Taken);
    }
    blocks::set_status(conn, tenant, block.id, Status::Accepted).await?;
    let (Some(set), Some(plan)) = (block.alternatives, &block.plan) else {
        return Ok(());
    };
    let superseded = blocks::supersede(conn, tenant, user, set, plan).await?;
    let entries: Vec<_> = superseded
        .iter()
        .map(|id| {
            entry(tenant, occasion.actor, Action::BLOCK_SUPERSEDED, *id)
                .with_request(occasion.request_id)
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(())
}

/// Ends up to `limit` blocks whose time passed before anybody decided, and says how many they were.
///
/// # Errors
/// If the database refuses; then none of them has ended.
pub async fn expire_blocks(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let past = blocks::expire(&mut tx, i64::from(limit)).await?;
    tell_expired(&mut tx, &past).await?;
    tx.commit().await?;
    Ok(u64::try_from(past.len()).unwrap_or(u64::MAX))
}

pub(super) async fn tell_expired(
    conn: &mut PgConnection,
    past: &[Past],
) -> Result<(), sqlx::Error> {
    let mut entries = Vec::with_capacity(past.len());
    for block in past {
        let told = NewHistoryEntry {
            verb: "expired",
            object_kind: "block",
            object: block.id.0,
            job: None,
            rationale: &block.title,
        };
        history::insert_for(conn, block.tenant, block.user, &told).await?;
        entries.push(entry(
            block.tenant,
            Actor::System,
            Action::BLOCK_EXPIRED,
            block.id,
        ));
    }
    audit::insert(conn, &entries).await
}
