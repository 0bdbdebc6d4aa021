//! Decisions on blocks: [`step_block`] in a larger transaction, [`decide_block`] for a user, and [`expire_blocks`].

use super::{BlockError, Cause, entry, find, record_change, zone_of};
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        Actor, AuditAction, BlockId, SeenVersions, Session, UserId,
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

/// What to do with a block.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockCommand {
    /// Accepts it; the other plans of the set are superseded.
    Accept,
    Reject,
    Cancel,
    /// Marks it as booked, with the reference and the etag of its event.
    Book {
        event_ref: String,
        event_etag: Option<String>,
    },
    /// The calendar changed: another event has its time.
    Displace,
    /// Leaves fields that are `None`.
    Change {
        title: Option<String>,
        kind: Option<BlockKind>,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    },
}

impl BlockCommand {
    /// Whether it is a change that leaves every field.
    const fn names_nothing(&self) -> bool {
        matches!(
            self,
            Self::Change {
                title: None,
                kind: None,
                start: None,
                end: None,
            }
        )
    }

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

    const fn names(&self) -> (HistoryVerb, AuditAction) {
        match self {
            Self::Accept => (HistoryVerb::Accepted, AuditAction::BlockAccepted),
            Self::Reject => (HistoryVerb::Rejected, AuditAction::BlockRejected),
            Self::Cancel => (HistoryVerb::Cancelled, AuditAction::BlockCancelled),
            Self::Book { .. } => (HistoryVerb::Booked, AuditAction::BlockBooked),
            Self::Displace => (HistoryVerb::Displaced, AuditAction::BlockDisplaced),
            Self::Change { .. } => (HistoryVerb::Changed, AuditAction::BlockChanged),
        }
    }
}

/// Executes a command on a block of the session's user, in a version that they saw.
///
/// # Errors
/// See [`BlockError`]; nothing is changed then.
pub async fn decide_block(
    pool: &PgPool,
    session: &Session,
    (id, seen): (BlockId, &SeenVersions),
    command: BlockCommand,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoredBlock, BlockError> {
    let cause = Cause {
        actor: session.actor(),
        request_id: Some(request_id),
        client_request_id: session.client_request_id.as_deref(),
        at,
    };
    let mut tx = pool.begin().await?;
    let whose = (session.tenant, session.user);
    let block = step_block(&mut tx, whose, id, Some(seen), command, cause).await?;
    tx.commit().await?;
    Ok(block)
}

/// Executes a command in the caller's transaction; without `seen` it applies to the block as it is.
pub async fn step_block(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    id: BlockId,
    seen: Option<&SeenVersions>,
    command: BlockCommand,
    cause: Cause<'_>,
) -> Result<StoredBlock, BlockError> {
    blocks::lock(conn, tenant, user).await?;
    blocks::hold(conn, tenant, id).await?;
    let present = find(conn, tenant, user, id).await?;
    if seen.is_some_and(|seen| !seen.include(present.version)) {
        return Err(BlockError::Stale);
    }
    let next = present.status.after(command.step())?;
    if command.names_nothing() {
        return Ok(present);
    }
    let names = command.names();
    match command {
        BlockCommand::Accept => accept(conn, (tenant, user), &present, cause).await?,
        BlockCommand::Displace if present.end_at <= cause.at => return Err(BlockError::Past),
        BlockCommand::Reject | BlockCommand::Cancel | BlockCommand::Displace => {
            blocks::set_status(conn, tenant, id, next).await?;
        }
        BlockCommand::Book {
            event_ref,
            event_etag,
        } => {
            blocks::set_booked(conn, tenant, id, &event_ref, event_etag.as_deref()).await?;
        }
        BlockCommand::Change {
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
            if span.end() <= cause.at {
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
    record_change(conn, (tenant, user), names, &block, cause).await?;
    Ok(block)
}

/// Checks for an overlap before writing: the table would refuse it too, and abort the caller's transaction.
async fn accept(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    block: &StoredBlock,
    cause: Cause<'_>,
) -> Result<(), BlockError> {
    let span = Span::new(block.start_at, block.end_at).map_err(|_| BlockError::NotASpan)?;
    if span.end() <= cause.at {
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
            entry(tenant, cause.actor, AuditAction::BlockSuperseded, *id)
                .with_request(cause.request_id)
                .with_client_request(cause.client_request_id)
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(())
}

/// Expires up to `limit` proposed blocks whose time is over, and returns their number.
///
/// # Errors
/// If the database refuses; then none has expired.
pub async fn expire_blocks(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let past = blocks::expire(&mut tx, i64::from(limit)).await?;
    record_expired(&mut tx, &past).await?;
    tx.commit().await?;
    Ok(u64::try_from(past.len()).unwrap_or(u64::MAX))
}

pub(super) async fn record_expired(
    conn: &mut PgConnection,
    past: &[Past],
) -> Result<(), sqlx::Error> {
    let mut entries = Vec::with_capacity(past.len());
    for block in past {
        let history_entry = NewHistoryEntry {
            verb: HistoryVerb::Expired,
            object_kind: ResourceKind::Block,
            object: block.id.0,
            job: None,
            rationale: &block.title,
        };
        history::insert_for(conn, block.tenant, block.user, &history_entry).await?;
        entries.push(entry(
            block.tenant,
            Actor::System,
            AuditAction::BlockExpired,
            block.id,
        ));
    }
    audit::insert(conn, &entries).await
}
