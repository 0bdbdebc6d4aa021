//! Commands on records: one transaction each, with audit and history entries. Creating stores its answer under the
//! request's key; every other command names the version that the person saw.

use super::{Changed, Record, RecordError};
use crate::domain::history::HistoryVerb;
use crate::{
    commands::jobs::submit_triage::{SubmitOutcome, Submitted, claim_key},
    domain::{AuditAction, Detail, SeenVersions, Session},
    store::{
        audit,
        history::{self, NewHistoryEntry},
        request_keys::{self, RequestKey, StoredAnswer},
    },
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The caller and their request.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub session: &'a Session,
    pub request_id: &'a str,
}

/// A request to create a record.
pub struct CreateRequest<'a, T: Record> {
    pub caller: Caller<'a>,
    pub key: RequestKey<'a>,
    /// Hash of everything that makes up the request.
    pub fingerprint: [u8; 32],
    pub new: T::New,
    pub answer_of: fn(T::Stored) -> StoredAnswer,
}

/// Creates a record, or returns the stored answer to the same request.
///
/// # Errors
/// Then nothing was created, or only the reply was lost: repeat the request with the same key.
pub async fn create<T: Record>(
    pool: &PgPool,
    request: CreateRequest<'_, T>,
) -> Result<Submitted, RecordError> {
    let mut tx = pool.begin().await?;
    if let Some(replayed) = claim_key(&mut tx, &request.key, &request.fingerprint).await? {
        return Ok(replayed);
    }
    let session = request.caller.session;
    let made = T::create(&mut tx, session.tenant, Some(session.user), &request.new).await?;
    record::<T>(
        &mut tx,
        request.caller,
        T::CREATED,
        HistoryVerb::Created,
        &made,
        0,
    )
    .await?;
    let answer = (request.answer_of)(made);
    request_keys::complete(&mut tx, &request.key, &answer).await?;
    tx.commit().await?;
    Ok(Submitted::new(answer, SubmitOutcome::Inserted))
}

/// What to do with a record.
pub enum Command<T: Record> {
    Change(T::Change),
    Delete,
    Restore,
}

/// Executes a command, if the record is still in a version that the person has `seen`.
///
/// # Errors
/// Then nothing was changed.
pub async fn execute<T: Record>(
    pool: &PgPool,
    caller: Caller<'_>,
    id: Uuid,
    seen: &SeenVersions,
    execute: Command<T>,
) -> Result<Changed<T::Stored>, RecordError> {
    let (tenant, seen) = (caller.session.tenant, Some(seen));
    let mut tx = pool.begin().await?;
    let (changed, action, verb) = match execute {
        Command::Change(change) => (
            super::change::<T>(&mut tx, tenant, id, seen, &change).await?,
            T::UPDATED,
            HistoryVerb::Updated,
        ),
        Command::Delete => (
            super::delete::<T>(&mut tx, tenant, id, seen).await?,
            T::DELETED,
            HistoryVerb::Deleted,
        ),
        Command::Restore => (
            super::restore::<T>(&mut tx, tenant, id, seen).await?,
            T::RESTORED,
            HistoryVerb::Restored,
        ),
    };
    let [before, after] = [&changed.before, &changed.after].map(T::facts);
    if after.version != before.version {
        let (after, others) = (&changed.after, changed.others);
        record::<T>(&mut tx, caller, action, verb, after, others).await?;
    }
    tx.commit().await?;
    Ok(changed)
}

async fn record<T: Record>(
    conn: &mut PgConnection,
    caller: Caller<'_>,
    action: AuditAction,
    verb: HistoryVerb,
    stored: &T::Stored,
    others: usize,
) -> Result<(), sqlx::Error> {
    let facts = T::facts(stored);
    let session = caller.session;
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: T::KIND,
        object: facts.id,
        job: None,
        rationale: facts.name,
    };
    history::insert(conn, session.tenant, &history_entry).await?;
    let mut detail = Detail::new().count("version", facts.version);
    if others > 0 {
        detail = detail.count("others", i64::try_from(others).unwrap_or(i64::MAX));
    }
    let entry = session
        .audit(action, T::KIND, facts.id)
        .with_request(Some(caller.request_id))
        .with_detail(detail);
    audit::insert(conn, &[entry]).await
}
