//! Writing a user's memory: [`remember`] an item, [`change_memory`] it, and let what is over go ([`sweep_memory`]).
//!
//! All writers of one level of a user's memory take turns, so its cap holds however many they are. To read is
//! [`memory_items::for_prompt`], which waits for nobody.

mod change;
mod sweep;

pub use change::{Change, change_memory};
pub use sweep::sweep_memory;

use crate::{
    domain::{
        Action, Actor, Detail, MemoryId, NewAuditEntry, Session, UserId,
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

/// Who writes, on what occasion.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    pub actor: Actor,
    pub job: Option<JobId>,
    pub request_id: Option<&'a str>,
    pub at: DateTime<Utc>,
}

/// What the writer knows of the item that has the key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It may be replaced unseen, if the provenances allow it.
    Any,
    /// Only this version of it may be replaced; `None` says that there is none.
    Version(Option<i32>),
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Remembered {
    /// Under a new key.
    New(StoredMemory),
    /// In the place of another.
    Replaced(StoredMemory),
    /// It was remembered already.
    Unchanged(StoredMemory),
    /// The user's own word stands in its place.
    Outranked(StoredMemory),
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("there is no such item")]
    NotFound,
    /// Something else is remembered under this key, and the caller has not said that they have seen it.
    #[error("another item has the key")]
    Unseen,
    #[error("the item is not as the caller has seen it")]
    Stale,
    /// Nothing of the level can be evicted: all of it is pinned.
    #[error("all {cap} items of the level are pinned")]
    Full { cap: i64 },
    #[error("could not write the memory")]
    Database(#[from] sqlx::Error),
}

/// Remembers what a user tells. What they correct counts as their edit.
///
/// # Errors
/// See [`MemoryError`].
pub async fn put_note(
    pool: &PgPool,
    session: &Session,
    note: NewMemory,
    seen: Option<i32>,
    request_id: &str,
    at: DateTime<Utc>,
) -> Result<Remembered, MemoryError> {
    let occasion = Occasion {
        actor: Actor::User {
            user: session.user,
            session: Some(session.id),
        },
        job: None,
        request_id: Some(request_id),
        at,
    };
    let mut tx = pool.begin().await?;
    let seen = Seen::Version(seen);
    let done = remember(&mut tx, session.tenant, session.user, note, seen, occasion).await?;
    tx.commit().await?;
    Ok(done)
}

/// Remembers an item: it takes the place of the one under its key, and if its level is full, that of the one used least
/// recently. Within the caller's transaction, which holds the level until its end.
///
/// # Errors
/// See [`MemoryError`].
pub async fn remember(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    mut item: NewMemory,
    seen: Seen,
    occasion: Occasion<'_>,
) -> Result<Remembered, MemoryError> {
    let level = item.level;
    memory_items::lock(conn, tenant, user, level).await?;
    let expired = memory_items::expire_level(conn, tenant, user, level).await?;
    sweep::tell(conn, &expired).await?;
    let present = memory_items::live(conn, tenant, user, level, &item.scope, &item.key).await?;
    if let Some(present) = &present {
        if says_the_same(present, &item) {
            return Ok(Remembered::Unchanged(present.clone()));
        }
        if !item.provenance.may_replace(present.provenance) {
            return Ok(Remembered::Outranked(present.clone()));
        }
    }
    match (seen, &present) {
        (Seen::Version(None), Some(_)) => return Err(MemoryError::Unseen),
        (Seen::Version(Some(seen)), present)
            if present.as_ref().map(|item| item.version) != Some(seen) =>
        {
            return Err(MemoryError::Stale);
        }
        (Seen::Any | Seen::Version(_), _) => {}
    }
    if let Some(present) = &present {
        memory_items::end(conn, tenant, present.id, Status::Superseded).await?;
        if !item.provenance.is_users() {
            // A pin is the user's, whoever says better what it holds.
            item.pinned |= present.pinned;
        } else if !present.provenance.is_users() {
            item.provenance = Provenance::UserEdit;
        }
    }
    make_room(conn, tenant, user, &item, occasion).await?;
    let version = present.as_ref().map_or(0, |present| present.version) + 1;
    let expires_at = item.ends_at(occasion.at);
    let stored = memory_items::insert(conn, tenant, user, &item, version, expires_at).await?;
    tell(conn, tenant, user, Action::MEMORY_STORED, &stored, occasion).await?;
    Ok(if present.is_some() {
        Remembered::Replaced(stored)
    } else {
        Remembered::New(stored)
    })
}

/// Whether there is nothing to write: the same words, of no better provenance, kept as long.
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
    occasion: Occasion<'_>,
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
        tell_end(conn, (tenant, user), "evicted", what).await?;
    }
    let entries: Vec<NewAuditEntry> = evicted
        .iter()
        .map(|id| {
            entry(tenant, Actor::System, Action::MEMORY_EVICTED, *id)
                .with_request(occasion.request_id)
                .with_detail(Detail::new().word("level", item.level.as_str()))
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(())
}

/// The audit entry and the user's line of what a person or a job did. Neither holds the item's words: both outlive it.
async fn tell(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    action: Action,
    item: &StoredMemory,
    occasion: Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let verb = if action == Action::MEMORY_STORED {
        "remembered"
    } else if action == Action::MEMORY_DELETED {
        "forgotten"
    } else if action == Action::MEMORY_PINNED {
        "pinned"
    } else {
        "unpinned"
    };
    let told = NewHistoryEntry {
        verb,
        object_kind: "memory",
        object: item.id.0,
        job: occasion.job,
        rationale: &format!("{} memory, {}", item.level, item.scope),
    };
    history::insert_for(conn, tenant, user, &told).await?;
    let entry = entry(tenant, occasion.actor, action, item.id)
        .with_request(occasion.request_id)
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

/// The user's line of what ended by itself.
async fn tell_end(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    verb: &'static str,
    (id, level): (MemoryId, &str),
) -> Result<(), sqlx::Error> {
    let told = NewHistoryEntry {
        verb,
        object_kind: "memory",
        object: id.0,
        job: None,
        rationale: &format!("{level} memory"),
    };
    history::insert_for(conn, tenant, user, &told).await
}

fn entry(tenant: TenantId, actor: Actor, action: Action, id: MemoryId) -> NewAuditEntry {
    NewAuditEntry::new(tenant, actor, action, "memory", id)
}
