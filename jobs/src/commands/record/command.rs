//! What people ask of their desk: one transaction each, with its audit entry and its line of history. Making something
//! keeps its answer under the request's key; every other change names the version that the person has seen.

use super::{Changed, DeskError, Kept};
use crate::{
    commands::jobs::submit_triage::{How, SubmitError, Submitted},
    domain::{Action, Actor, Detail, NewAuditEntry, Session},
    store::{
        audit,
        history::{self, NewHistoryEntry},
        request_keys::{self, RequestKey, StoredAnswer},
    },
};
use queue::enqueue::dedupe::Replaced;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Who asks, in which request.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub session: &'a Session,
    pub request_id: &'a str,
}

/// A request to make something.
pub struct Making<'a, T: Kept> {
    pub asking: Asking<'a>,
    pub key: RequestKey<'a>,
    /// Over everything that makes the request what it is.
    pub fingerprint: [u8; 32],
    pub new: T::New,
    pub answer_of: fn(T::Stored) -> StoredAnswer,
}

/// Makes it, or gives the answer that the same request was given before.
///
/// # Errors
/// Then nothing was made, or only the reply was lost: repeat the request with the same key.
pub async fn create<T: Kept>(pool: &PgPool, asked: Making<'_, T>) -> Result<Submitted, DeskError> {
    let mut tx = pool.begin().await?;
    let claimed = request_keys::claim(&mut tx, &asked.key, &asked.fingerprint)
        .await
        .map_err(SubmitError::from)?;
    if !claimed {
        let stored = request_keys::find(&mut tx, &asked.key).await?;
        return if stored.fingerprint == asked.fingerprint {
            Ok(submitted(stored.answer, How::Replayed))
        } else {
            Err(SubmitError::KeyReused.into())
        };
    }
    let session = asked.asking.session;
    let made = T::create(&mut tx, session.tenant, Some(session.user), &asked.new).await?;
    record::<T>(&mut tx, asked.asking, T::CREATED, "created", &made, 0).await?;
    let answer = (asked.answer_of)(made);
    request_keys::complete(&mut tx, &asked.key, &answer).await?;
    tx.commit().await?;
    Ok(submitted(answer, How::Inserted))
}

fn submitted(answer: StoredAnswer, how: How) -> Submitted {
    Submitted {
        answer,
        how,
        replaced: Replaced::default(),
    }
}

/// What is to become of something that is there.
pub enum Wish<T: Kept> {
    Change(T::Change),
    Delete,
    Restore,
}

/// Does what is wished, if it is still as the person has `seen` it.
///
/// # Errors
/// Then nothing was changed.
pub async fn wish<T: Kept>(
    pool: &PgPool,
    asking: Asking<'_>,
    id: Uuid,
    seen: i32,
    wish: Wish<T>,
) -> Result<Changed<T::Stored>, DeskError> {
    let (tenant, seen) = (asking.session.tenant, Some(seen));
    let mut tx = pool.begin().await?;
    let (changed, action, verb) = match wish {
        Wish::Change(change) => (
            super::change::<T>(&mut tx, tenant, id, seen, &change).await?,
            T::UPDATED,
            "updated",
        ),
        Wish::Delete => (
            super::delete::<T>(&mut tx, tenant, id, seen).await?,
            T::DELETED,
            "deleted",
        ),
        Wish::Restore => (
            super::restore::<T>(&mut tx, tenant, id, seen).await?,
            T::RESTORED,
            "restored",
        ),
    };
    record::<T>(
        &mut tx,
        asking,
        action,
        verb,
        &changed.after,
        changed.others,
    )
    .await?;
    tx.commit().await?;
    Ok(changed)
}

async fn record<T: Kept>(
    conn: &mut PgConnection,
    asking: Asking<'_>,
    action: Action,
    verb: &'static str,
    stored: &T::Stored,
    others: usize,
) -> Result<(), sqlx::Error> {
    let facts = T::facts(stored);
    let session = asking.session;
    let told = NewHistoryEntry {
        verb,
        object_kind: T::NOUN,
        object: facts.id,
        job: None,
        rationale: facts.name,
    };
    history::insert(conn, session.tenant, &told).await?;
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let mut detail = Detail::new().count("version", facts.version);
    if others > 0 {
        detail = detail.count("others", i64::try_from(others).unwrap_or(i64::MAX));
    }
    let entry = NewAuditEntry::new(session.tenant, actor, action, T::NOUN, facts.id)
        .with_request(Some(asking.request_id))
        .with_detail(detail);
    audit::insert(conn, &[entry]).await
}
