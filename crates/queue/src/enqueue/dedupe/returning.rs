//! Running jobs that come back into line where another may wait with their key: the newest of them stays.

use super::{Key, SUPERSEDED, lock, supersede, waiting};
use crate::{Failure, FailureClass, Lease};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::HashMap;

/// A running job's kind and dedupe key; they do not change while it runs.
pub(crate) struct OwnKey {
    kind: String,
    key: String,
}

/// The place in line to which a running job comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Free,
    /// An older job waited there, and has ended as cancelled.
    TakenFrom(JobId),
    /// The one that comes back is to end as cancelled.
    TakenByNewer,
}

/// Why a job ends whose place a newer one took.
pub(crate) fn superseded() -> Failure {
    Failure {
        class: FailureClass::Cancelled,
        code: SUPERSEDED,
        message: super::MESSAGE.into(),
        detail: "a newer job waits with the same dedupe key".into(),
    }
}

/// The key of a job that still runs under this lease.
pub(crate) async fn key_of(
    conn: &mut PgConnection,
    lease: Lease,
) -> Result<Option<OwnKey>, sqlx::Error> {
    // Locks nothing: the key's lock comes before the row's, as everywhere.
    sqlx::query_as!(
        OwnKey,
        r#"select kind, dedupe_key as "key!" from jobs
           where tenant_id = $1 and id = $2 and attempt = $3 and state = 'running' and dedupe_key is not null"#,
        lease.tenant.0,
        lease.job.0,
        lease.attempt,
    )
    .fetch_optional(conn)
    .await
}

/// Makes room for a running job that comes back, if it is the newest with its key. Holds the place until the transaction
/// ends.
pub(crate) async fn place(
    conn: &mut PgConnection,
    lease: Lease,
    own: &OwnKey,
) -> Result<Place, sqlx::Error> {
    let key = (lease.tenant, own.kind.as_str(), own.key.as_str());
    lock(conn, &[key]).await?;
    let holder = waiting(conn, &[key]).await?.into_values().next();
    Ok(match holder {
        Some(newer) if newer > lease.job => Place::TakenByNewer,
        Some(older) => {
            supersede(conn, &[(lease.tenant, older)]).await?;
            Place::TakenFrom(older)
        }
        None => Place::Free,
    })
}

/// A job whose lease has expired.
struct Expired {
    job: JobId,
    tenant: TenantId,
    kind: String,
    key: String,
    /// It will not come back.
    ending: bool,
}

/// The places of up to `limit` jobs that have a key and whose leases have expired, not before `since`, made ready for them to come back. The
/// jobs are locked.
pub(crate) async fn places(
    conn: &mut PgConnection,
    since: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<HashMap<JobId, Place>, sqlx::Error> {
    let seen = sqlx::query!(
        r#"select id as "id: JobId", tenant_id as "tenant: TenantId", kind, dedupe_key as "key!" from jobs
           where lease_until >= coalesce($2::timestamptz, '-infinity') and lease_until < now() and dedupe_key is not null
           order by lease_until, id
           limit $1"#,
        limit,
        since,
    )
    .fetch_all(&mut *conn)
    .await?;
    if seen.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<Key<'_>> = seen
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
        &seen.iter().map(|row| row.tenant.0).collect::<Vec<_>>(),
        &seen.iter().map(|row| row.id.0).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *conn)
    .await?;
    let holders = waiting(conn, &keys).await?;
    // The newest first: of several that come back with one key, the others find it there.
    expired.sort_by_key(|job| std::cmp::Reverse(job.job));
    let mut newest: HashMap<(TenantId, &str, &str), JobId> = HashMap::new();
    let mut superseded = Vec::new();
    let mut places = HashMap::new();
    for job in &expired {
        let key = (job.tenant, job.kind.as_str(), job.key.as_str());
        let holder = holders.get(&super::owned(key)).copied();
        let place = if job.ending {
            Place::Free
        } else if newest.contains_key(&key) || holder.is_some_and(|holder| holder > job.job) {
            Place::TakenByNewer
        } else {
            newest.insert(key, job.job);
            match holder {
                Some(older) => {
                    superseded.push((job.tenant, older));
                    Place::TakenFrom(older)
                }
                None => Place::Free,
            }
        };
        places.insert(job.job, place);
    }
    supersede(conn, &superseded).await?;
    Ok(places)
}
