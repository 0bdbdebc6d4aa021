//! Keeps at most one waiting job per (tenant, kind, dedupe key): [`crate::Dedupe`].
//!
//! An enqueue first takes the advisory lock of the key, which lasts until the transaction ends. The unique index
//! `jobs_dedupe` alone would fail the second of two enqueues instead of showing it the first. A running job that returns to
//! the queue, by a retry, a snooze, an interruption or a rescue, may find that a newer job waits: see [`returning`].

pub(crate) mod returning;

use super::enqueued::{EnqueueError, Replaced};
use crate::{DedupePolicy, NewJob, finished::insert_finished, run::cancel};
use base::{JobId, TenantId, db::is_lock_timeout};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The error code of a job that a newer one with its dedupe key replaced.
pub const SUPERSEDED: &str = "superseded";
pub(crate) const MESSAGE: &str = "A newer job replaced this one.";

type Key<'a> = (TenantId, &'a str, &'a str);

/// What an enqueue does with the new jobs and the waiting ones.
#[derive(Default)]
pub(super) struct DedupePlan<'a> {
    /// New jobs that a later job of the same call supersedes.
    pub(super) superseded_new: Vec<&'a NewJob>,
    /// Jobs to cancel once `superseded_new` are inserted.
    pub(super) superseded: Vec<(TenantId, JobId)>,
    pub(super) inserted: Vec<&'a NewJob>,
    /// New jobs that are not inserted, each with the job that waits.
    pub(super) kept: HashMap<JobId, JobId>,
    pub(super) replaced: HashMap<JobId, Replaced>,
}

/// Plans as if the jobs were enqueued one after the other, and requests the cancellation of running jobs.
pub(super) async fn plan<'a>(
    conn: &mut PgConnection,
    jobs: &[&'a NewJob],
) -> Result<DedupePlan<'a>, EnqueueError> {
    let mut plan = DedupePlan::default();
    let keys: Vec<Key<'_>> = jobs.iter().filter_map(|job| key(job)).collect();
    if keys.is_empty() {
        plan.inserted = jobs.to_vec();
        return Ok(plan);
    }
    lock(conn, &keys).await.map_err(locked)?;
    let waiting = waiting(conn, &keys).await?;
    let mut holders: HashMap<Key<'_>, JobId> = HashMap::new();
    let mut cancelling: HashMap<Key<'_>, JobId> = HashMap::new();
    for job in jobs {
        let (Some(key), Some(dedupe)) = (key(job), &job.dedupe) else {
            continue;
        };
        let holder = holders.get(&key).or_else(|| waiting.get(&owned(key)));
        match (dedupe.policy, holder.copied()) {
            (DedupePolicy::KeepWaiting, Some(holder)) => {
                plan.kept.insert(job.id, holder);
                continue;
            }
            (DedupePolicy::KeepWaiting, None) => {}
            (DedupePolicy::Replace { cancel_running }, holder) => {
                if let Some(holder) = holder {
                    plan.superseded.push((job.tenant, holder));
                    plan.replaced.entry(job.id).or_default().superseded = Some(holder);
                }
                if cancel_running {
                    cancelling.insert(key, job.id);
                }
            }
        }
        holders.insert(key, job.id);
    }
    let superseded: HashSet<JobId> = plan.superseded.iter().map(|(_, job)| *job).collect();
    let kept = &plan.kept;
    let (superseded_new, inserted) = jobs
        .iter()
        .filter(|job| !kept.contains_key(&job.id))
        .partition(|job| superseded.contains(&job.id));
    (plan.superseded_new, plan.inserted) = (superseded_new, inserted);
    for (tenant, kind, name, running) in request_cancel(conn, cancelling.keys()).await? {
        if let Some(job) = cancelling.get(&(tenant, kind.as_str(), name.as_str())) {
            let replaced = plan.replaced.entry(*job).or_default();
            replaced.cancel_requested.push(running);
        }
    }
    Ok(plan)
}

fn key(job: &NewJob) -> Option<Key<'_>> {
    Some((job.tenant, job.kind, &job.dedupe.as_ref()?.key))
}

fn owned((tenant, kind, key): Key<'_>) -> (TenantId, String, String) {
    (tenant, kind.to_owned(), key.to_owned())
}

/// Keys as one array per column.
struct Columns {
    tenants: Vec<Uuid>,
    kinds: Vec<String>,
    keys: Vec<String>,
}

impl Columns {
    fn of<'a>(keys: impl Iterator<Item = &'a Key<'a>>) -> Self {
        let (mut tenants, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (tenant, kind, name) in keys {
            tenants.push(tenant.0);
            kinds.push((*kind).to_owned());
            names.push((*name).to_owned());
        }
        Self {
            tenants,
            kinds,
            keys: names,
        }
    }
}

/// Takes the advisory locks of the keys, in one order for all callers.
///
/// Call it before any row with these keys is locked, and read the rows in a later statement: this one's snapshot is older
/// than the locks.
pub(super) async fn lock(conn: &mut PgConnection, keys: &[Key<'_>]) -> Result<(), sqlx::Error> {
    let columns = Columns::of(keys.iter());
    sqlx::query!(
        r#"select pg_advisory_xact_lock(name)::text as "locked" from (
               select distinct hashtextextended('dedupe ' || tenant_id || ' ' || kind || ' ' || key, 0) as name
               from unnest($1::uuid[], $2::text[], $3::text[]) as given (tenant_id, kind, key)
               order by name
           ) names"#,
        &columns.tenants,
        &columns.kinds,
        &columns.keys,
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Tells a wait for the lock that lasted too long from other errors: Postgres does not name an advisory lock in its own.
fn locked(error: sqlx::Error) -> EnqueueError {
    if is_lock_timeout(&error) {
        EnqueueError::DedupeKeyLocked(error)
    } else {
        EnqueueError::Database(error)
    }
}

/// Locks and returns the waiting jobs with these keys. None of them starts before the transaction ends, so a job that is
/// found here reads what the transaction wrote.
async fn waiting(
    conn: &mut PgConnection,
    keys: &[Key<'_>],
) -> Result<HashMap<(TenantId, String, String), JobId>, sqlx::Error> {
    let columns = Columns::of(keys.iter());
    let rows = sqlx::query!(
        r#"select id as "id: JobId", tenant_id as "tenant: TenantId", kind, dedupe_key as "key!" from jobs
           where (tenant_id, kind, dedupe_key) in (
                     select tenant_id, kind, key
                     from unnest($1::uuid[], $2::text[], $3::text[]) as given (tenant_id, kind, key)
                 )
             and dedupe_key is not null and state in ('available', 'scheduled', 'retryable')
           for update"#,
        &columns.tenants,
        &columns.kinds,
        &columns.keys,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ((row.tenant, row.kind, row.key), row.id))
        .collect())
}

/// Requests the cancellation of the running jobs with these keys, and returns those for which it was not requested before.
async fn request_cancel<'a>(
    conn: &mut PgConnection,
    keys: impl ExactSizeIterator<Item = &'a Key<'a>>,
) -> Result<Vec<(TenantId, String, String, JobId)>, sqlx::Error> {
    if keys.len() == 0 {
        return Ok(Vec::new());
    }
    let columns = Columns::of(keys);
    // Running jobs are few, and the index `jobs_lease` holds exactly these.
    let rows = sqlx::query!(
        r#"update jobs set cancel_requested_at = now()
           where (tenant_id, kind, dedupe_key) in (
                     select tenant_id, kind, key
                     from unnest($1::uuid[], $2::text[], $3::text[]) as given (tenant_id, kind, key)
                 )
             and lease_until is not null and state = 'running' and cancel_requested_at is null
           returning id as "id: JobId", tenant_id as "tenant: TenantId", kind, dedupe_key as "key!""#,
        &columns.tenants,
        &columns.kinds,
        &columns.keys,
    )
    .fetch_all(&mut *conn)
    .await?;
    if !rows.is_empty() {
        let running: Vec<_> = rows.iter().map(|row| (row.tenant, row.id)).collect();
        cancel::record_requests(conn, &running).await?;
    }
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant, row.kind, row.key, row.id))
        .collect())
}

/// Cancels waiting jobs that newer ones replace. The caller holds the locks of their keys.
pub(super) async fn supersede(
    conn: &mut PgConnection,
    jobs: &[(TenantId, JobId)],
) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    insert_finished!(
        query;
        "with removed as (
             delete from jobs
             using unnest($1::uuid[], $2::uuid[]) as superseded (tenant_id, id)
             where jobs.tenant_id = superseded.tenant_id and jobs.id = superseded.id and state <> 'running'
             returning jobs.*
         )",
        "'cancelled', errors, crashes, null, $3, $4",
        "from removed",
        &jobs.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(),
        &jobs.iter().map(|(_, job)| job.0).collect::<Vec<_>>(),
        SUPERSEDED,
        MESSAGE,
    )
    .execute(conn)
    .await?;
    Ok(())
}
