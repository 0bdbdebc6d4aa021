//! Running jobs with a dedupe key that return to the queue: the newest job with the key stays, the others are cancelled.

use super::{Key, SUPERSEDED, lock, supersede, waiting};
use crate::{Failure, FailureClass, Lease};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;

/// A running job's kind and dedupe key; they do not change while it runs.
pub(crate) struct JobKey {
    kind: String,
    key: String,
}

/// Whether a running job may return to the queue under its dedupe key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DedupeSlot {
    Free,
    /// The older job that waited with the key is cancelled.
    TakenFrom(JobId),
    /// A newer job waits with the key, so the returning job must be cancelled.
    HeldByNewer,
}

/// The failure of a job that a newer one with its dedupe key replaced.
pub(crate) fn superseded_failure() -> Failure {
    Failure {
        class: FailureClass::Cancelled,
        code: SUPERSEDED,
        message: super::MESSAGE.into(),
        detail: "a newer job waits with the same dedupe key".into(),
    }
}

/// Returns the dedupe key of a job that still runs under this lease.
pub(crate) async fn key_of(
    conn: &mut PgConnection,
    lease: Lease,
) -> Result<Option<JobKey>, sqlx::Error> {
    // Locks no row: everywhere the key is locked before the row.
    sqlx::query_as!(
        JobKey,
        r#"select kind, dedupe_key as "key!" from jobs
           where tenant_id = $1 and id = $2 and attempt = $3 and worker_id = $4 and state = 'running'
             and dedupe_key is not null"#,
        lease.tenant.0,
        lease.job.0,
        lease.attempt,
        lease.worker.0,
    )
    .fetch_optional(conn)
    .await
}

/// Takes the dedupe slot for a running job that returns to the queue, if it is the newest with its key. Holds the slot
/// until the transaction ends.
pub(crate) async fn take_slot(
    conn: &mut PgConnection,
    lease: Lease,
    own: &JobKey,
) -> Result<DedupeSlot, sqlx::Error> {
    let key = (lease.tenant, own.kind.as_str(), own.key.as_str());
    lock(conn, &[key]).await?;
    let holder = waiting(conn, &[key]).await?.into_values().next();
    Ok(match holder {
        Some(newer) if newer > lease.job => DedupeSlot::HeldByNewer,
        Some(older) => {
            supersede(conn, &[(lease.tenant, older)]).await?;
            DedupeSlot::TakenFrom(older)
        }
        None => DedupeSlot::Free,
    })
}

/// A job whose lease has expired.
struct Expired {
    job: JobId,
    tenant: TenantId,
    kind: String,
    key: String,
    /// The job does not return to the queue.
    ending: bool,
}

/// Locks up to `limit` jobs with a dedupe key whose leases expired at `since` or later, and takes their slots.
pub(crate) async fn take_slots(
    conn: &mut PgConnection,
    since: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<HashMap<JobId, DedupeSlot>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select id as "id: JobId", tenant_id as "tenant: TenantId", kind, dedupe_key as "key!" from jobs
           where lease_until >= coalesce($2::timestamptz, '-infinity') and lease_until < now() and dedupe_key is not null
           order by lease_until, id
           limit $1"#,
        limit,
        since,
    )
    .fetch_all(&mut *conn)
    .await?;
    if found.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<Key<'_>> = found
        .iter()
        .map(|row| (row.tenant, row.kind.as_str(), row.key.as_str()))
        .collect();
    lock(conn, &keys).await?;
    let mut expired = sqlx::query_as!(
        Expired,
        r#"select id as "job: JobId", tenant_id as "tenant: TenantId", kind, dedupe_key as "key!",
                  crashes + 1 >= max_crashes or cancel_requested_at is not null as "ending!"
           from jobs
           where (tenant_id, id) in (select * from unnest($1::uuid[], $2::uuid[]))
             and lease_until < now() and dedupe_key is not null
           for update skip locked"#,
        &found.iter().map(|row| row.tenant.0).collect::<Vec<_>>(),
        &found.iter().map(|row| row.id.0).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let holders = waiting(conn, &keys).await?;
    // Newest first: of several jobs that return with the same key, the older ones find the newest.
    expired.sort_by_key(|job| std::cmp::Reverse(job.job));
    let mut newest: HashMap<(TenantId, &str, &str), JobId> = HashMap::new();
    let mut superseded = Vec::new();
    let mut slots = HashMap::new();
    for job in &expired {
        let key = (job.tenant, job.kind.as_str(), job.key.as_str());
        let holder = holders.get(&super::owned(key)).copied();
        let slot = if job.ending {
            DedupeSlot::Free
        } else if newest.contains_key(&key) || holder.is_some_and(|holder| holder > job.job) {
            DedupeSlot::HeldByNewer
        } else {
            newest.insert(key, job.job);
            match holder {
                Some(older) => {
                    superseded.push((job.tenant, older));
                    DedupeSlot::TakenFrom(older)
                }
                None => DedupeSlot::Free,
            }
        };
        slots.insert(job.job, slot);
    }
    supersede(conn, &superseded).await?;
    Ok(slots)
}
