//! A user's memory: [`store`] an item, [`change_memory`] it, and delete what has expired ([`sweep_memory`]).
//!
//! Writers of one level of a user's memory take turns, so its cap is exact. Reading is [`memory_items::for_prompt`],
//! which waits for no lock.

mod change;
mod sweep;

pub use change::{Change, change_memory};
pub use sweep::sweep_memory;

use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    domain::{
        Actor, AuditAction, Detail, MemoryId, NewAuditEntry, SeenVersions, Session, UserId,
        memory::{NewMemory, Provenance, Status},
    },
    store::{
        audit,
        history::{self, NewHistoryEntry},
        memory_items::{self, StoredMemory},
    },
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

/// Who writes, and in which request.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    pub actor: Actor,
    pub job: Option<JobId>,
    pub request_id: Option<&'a str>,
    /// The id that the client gave that request.
    pub client_request_id: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// What the writer knows of the present item under the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// Replaces any version, if the provenances allow it.
    Any,
    /// Replaces only a version that was seen; `None` means that there is no item.
    Version(Option<SeenVersions>),
}

/// The outcome of storing an item.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreOutcome {
    /// Stored under a new key.
    New(StoredMemory),
    /// Stored in place of another.
    Replaced(StoredMemory),
    /// The same item was stored before.
    Unchanged(StoredMemory),
    /// The user's own item is kept instead.
    Outranked(StoredMemory),
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("there is no such item")]
    NotFound,
    /// There is an item under this key, and the caller did not name its version.
    #[error("another item has the key")]
    Unseen,
    #[error("the item was changed since the caller read it")]
    Stale,
    /// The level is full, and all its items are pinned.
    #[error("all {cap} items of the level are pinned")]
    Full { cap: i64 },
    #[error("could not write the memory")]
    Database(#[from] sqlx::Error),
}

/// Stores what the user entered. A correction counts as the user's edit.
pub async fn put_note(
    pool: &PgPool,
    session: &Session,
    note: NewMemory,
    seen: Option<SeenVersions>,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<StoreOutcome, MemoryError> {
    let cause = Cause {
        actor: session.actor(),
        job: None,
        request_id: Some(request_id),
        client_request_id: session.client_request_id.as_deref(),
        at,
    };
    let mut tx = pool.begin().await?;
    let seen = ExpectedVersion::Version(seen);
    let done = store(&mut tx, session.tenant, session.user, note, seen, cause).await?;
    tx.commit().await?;
    Ok(done)
}

/// Stores a memory under a key, replacing the current one; if the level is full, evicts the least recently used item.
/// Runs in the caller's transaction, which locks the level until its end.
pub async fn store(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    mut item: NewMemory,
    seen: ExpectedVersion,
    cause: Cause<'_>,
) -> Result<StoreOutcome, MemoryError> {
    let level = item.level;
    memory_items::lock(conn, tenant, user, level).await?;
    let expired = memory_items::expire_level(conn, tenant, user, level).await?;
    sweep::record_expired(conn, &expired).await?;
    let present = memory_items::live(conn, tenant, user, level, &item.scope, &item.key).await?;
    if let Some(present) = &present {
        if says_the_same(present, &item) {
            return Ok(StoreOutcome::Unchanged(present.clone()));
        }
        if !item.provenance.may_replace(present.provenance) {
            return Ok(StoreOutcome::Outranked(present.clone()));
        }
    }
    match (&seen, &present) {
        (ExpectedVersion::Version(None), Some(_)) => return Err(MemoryError::Unseen),
        (ExpectedVersion::Version(Some(seen)), present)
            if !present
                .as_ref()
                .is_some_and(|item| seen.include(item.version)) =>
        {
            return Err(MemoryError::Stale);
        }
        (ExpectedVersion::Any | ExpectedVersion::Version(_), _) => {}
    }
    if let Some(present) = &present {
        memory_items::end(conn, tenant, present.id, Status::Superseded).await?;
        if !item.provenance.is_users() {
            // A pin is the user's, no matter who writes the better value.
            item.pinned |= present.pinned;
        } else if !present.provenance.is_users() {
            item.provenance = Provenance::UserEdit;
        }
    }
    make_room(conn, tenant, user, &item, cause).await?;
    let version = present.as_ref().map_or(0, |present| present.version) + 1;
    let expires_at = item.ends_at(cause.at);
    let stored = memory_items::insert(conn, tenant, user, &item, version, expires_at).await?;
    record_change(
        conn,
        tenant,
        user,
        AuditAction::MemoryStored,
        &stored,
        cause,
    )
    .await?;
    Ok(if present.is_some() {
        StoreOutcome::Replaced(stored)
    } else {
        StoreOutcome::New(stored)
    })
}

/// Reports whether there is nothing to write: same value, no better provenance, same lifetime.
fn says_the_same(present: &StoredMemory, item: &NewMemory) -> bool {
    let micros = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_micros());
    present.value == item.value
        && (present.provenance.is_users() || !item.provenance.is_users())
        && (present.pinned == item.pinned || !item.provenance.is_users())
        && (item.expires_at.is_none() || micros(present.expires_at) == micros(item.expires_at))
}

async fn make_room(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    item: &NewMemory,
    cause: Cause<'_>,
) -> Result<(), MemoryError> {
    let cap = item.level.cap();
    let surplus = memory_items::count(conn, tenant, user, item.level).await? + 1 - cap;
    if surplus <= 0 {
        return Ok(());
    }
    let evicted = memory_items::evict(conn, tenant, user, item.level, surplus).await?;
    if i64::try_from(evicted.len()).unwrap_or(i64::MAX) < surplus {
        return Err(MemoryError::Full { cap });
    }
    for id in &evicted {
        let what = (*id, item.level.as_str());
        record_end(conn, (tenant, user), HistoryVerb::Evicted, what).await?;
    }
    let entries: Vec<NewAuditEntry> = evicted
        .iter()
        .map(|id| {
            entry(tenant, Actor::System, AuditAction::MemoryEvicted, *id)
                .with_request(cause.request_id)
                .with_client_request(cause.client_request_id)
                .with_detail(Detail::new().word("level", item.level.as_str()))
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(())
}

/// Writes the audit entry and the user's history entry. Neither contains the item's value: both outlive it.
async fn record_change(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    action: AuditAction,
    item: &StoredMemory,
    cause: Cause<'_>,
) -> Result<(), sqlx::Error> {
    let verb = if action == AuditAction::MemoryStored {
        HistoryVerb::Stored
    } else if action == AuditAction::MemoryDeleted {
        HistoryVerb::Deleted
    } else if action == AuditAction::MemoryPinned {
        HistoryVerb::Pinned
    } else {
        HistoryVerb::Unpinned
    };
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: ResourceKind::Memory,
        object: item.id.0,
        job: cause.job,
        rationale: &format!("{} memory, {}", item.level, item.scope),
    };
    history::insert_for(conn, tenant, user, &history_entry).await?;
    let entry = entry(tenant, cause.actor, action, item.id)
        .with_request(cause.request_id)
        .with_client_request(cause.client_request_id)
        .with_detail(
            Detail::new()
                .word("level", item.level.as_str())
                .word("scope", item.scope.as_str())
                .word("provenance", item.provenance.as_str())
                .count("version", item.version),
        );
    audit::insert(conn, &[entry]).await?;
    Ok(())
}

/// Writes the user's history entry of an item that was evicted or expired.
async fn record_end(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    verb: HistoryVerb,
    (id, level): (MemoryId, &str),
) -> Result<(), sqlx::Error> {
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: ResourceKind::Memory,
        object: id.0,
        job: None,
        rationale: &format!("{level} memory"),
    };
    history::insert_for(conn, tenant, user, &history_entry).await
}

fn entry(tenant: TenantId, actor: Actor, action: AuditAction, id: MemoryId) -> NewAuditEntry {
    NewAuditEntry::new(tenant, actor, action, ResourceKind::Memory, id)
}
