//! At most one waiting job per (tenant, kind, dedupe key): [`Dedupe`]. A running job does not count, for what it does may
//! already be out of date.
//!
//! Whoever puts a job with a key in line first takes the lock of that key, which lasts until the transaction ends. The
//! unique index `jobs_dedupe` alone would fail the second of two instead of letting it see the first. A running job that
//! comes back, by a retry, a snooze, an interruption or a rescue, may find its place taken: see [`returning`].

mod returning;

pub(crate) use returning::{Place, key_of, place, places, superseded};

use crate::{NewJob, run::cancel, signals::notifier::Notifier};
use base::{JobId, TenantId};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The code of a cancelled job whose place a newer one took.
pub const SUPERSEDED: &str = "superseded";
pub(crate) const MESSAGE: &str = "A newer job took the place of this one.";

/// The caller's name for a place in line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// 1 to 255 characters.
    pub key: String,
    pub policy: DedupePolicy,
}

/// What happens when a job with the key waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupePolicy {
    /// The waiting one stays, and the new one is not inserted.
    KeepWaiting,
    /// The new one takes its place: the waiting one ends as cancelled.
    Replace {
        /// Running ones are asked to stop, too.
        cancel_running: bool,
    },
}

/// What a new job did to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// It was waiting, and is cancelled.
    pub superseded: Option<JobId>,
    /// They run, and were asked to stop now.
    pub asked_to_stop: Vec<JobId>,
}

impl Replaced {
    /// Tells those who wait for these jobs, or run them; after the commit.
    pub fn announce(&self, notifier: &Notifier) {
        if let Some(job) = &self.superseded {
            notifier.job_finished(*job);
        }
        for job in &self.asked_to_stop {
            notifier.cancel_requested(*job);
        }
    }
}

type Key<'a> = (TenantId, &'a str, &'a str);

/// What is to become of new jobs, and of those in line.
#[derive(Default)]
pub(super) struct Verdict<'a> {
    /// Superseded by a later one of the same call.
    pub(super) outlived: Vec<&'a NewJob>,
    /// To end as cancelled, once the outlived are in the table.
    pub(super) superseded: Vec<(TenantId, JobId)>,
    pub(super) inserted: Vec<&'a NewJob>,
    /// New jobs that give way, and the job that waits.
    pub(super) kept: HashMap<JobId, JobId>,
    pub(super) replaced: HashMap<JobId, Replaced>,
}

/// Decides as if the jobs came one after the other, and asks running ones to stop.
pub(super) async fn decide<'a>(
    conn: &mut PgConnection,
    jobs: &[&'a NewJob],
) -> Result<Verdict<'a>, sqlx::Error> {
    let mut verdict = Verdict::default();
    let keys: Vec<Key<'_>> = jobs.iter().filter_map(|job| key(job)).collect();
    if keys.is_empty() {
        verdict.inserted = jobs.to_vec();
        return Ok(verdict);
    }
    lock(conn, &keys).await?;
    let waiting = waiting(conn, &keys).await?;
    let mut holders: HashMap<Key<'_>, JobId> = HashMap::new();
    let mut stoppers: HashMap<Key<'_>, JobId> = HashMap::new();
    for job in jobs {
        let (Some(key), Some(dedupe)) = (key(job), &job.dedupe) else {
            continue;
        };
        let holder = holders.get(&key).or_else(|| waiting.get(&owned(key)));
        match (dedupe.policy, holder.copied()) {
            (DedupePolicy::KeepWaiting, Some(holder)) => {
                verdict.kept.insert(job.id, holder);
                continue;
            }
            (DedupePolicy::KeepWaiting, None) => {}
            (DedupePolicy::Replace { cancel_running }, holder) => {
                if let Some(holder) = holder {
                    verdict.superseded.push((job.tenant, holder));
                    verdict.replaced.entry(job.id).or_default().superseded = Some(holder);
                }
                if cancel_running {
                    stoppers.insert(key, job.id);
                }
            }
        }
        holders.insert(key, job.id);
    }
    let superseded: HashSet<JobId> = verdict.superseded.iter().map(|(_, job)| *job).collect();
    let kept = &verdict.kept;
    let (outlived, inserted) = jobs
        .iter()
        .filter(|job| !kept.contains_key(&job.id))
        .partition(|job| superseded.contains(&job.id));
    (verdict.outlived, verdict.inserted) = (outlived, inserted);
    for (tenant, kind, name, running) in stop(conn, stoppers.keys()).await? {
        if let Some(job) = stoppers.get(&(tenant, kind.as_str(), name.as_str())) {
            let replaced = verdict.replaced.entry(*job).or_default();
            replaced.asked_to_stop.push(running);
        }
    }
    Ok(verdict)
}

fn key(job: &NewJob) -> Option<Key<'_>> {
    Some((job.tenant, job.kind, &job.dedupe.as_ref()?.key))
}

fn owned((tenant, kind, key): Key<'_>) -> (TenantId, String, String) {
    (tenant, kind.to_owned(), key.to_owned())
}

/// The columns of keys.
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

/// Takes the locks of these keys, in one order for all. Call it before any row of theirs is locked, and look at the rows
/// only in a later statement: this one's snapshot is older than the locks.
pub(super) async fn lock(conn: &mut PgConnection, keys: &[Key<'_>]) -> Result<(), sqlx::Error> {
    let columns = Columns::of(keys.iter());
    sqlx::query!(
        r#"select pg_advisory_xact_lock(name)::text as "locked" from (
               select distinct hashtextextended('dedupe ' || tenant_id || ' ' || kind || ' ' || key, 0) as name
               from unnest($1::uuid[], $2::text[], $3::text[]) as asked (tenant_id, kind, key)
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

/// The waiting jobs with these keys. They are locked: none of them starts before the transaction ends, so what it has
/// written is there when a job starts that was found here.
async fn waiting(
    conn: &mut PgConnection,
    keys: &[Key<'_>],
) -> Result<HashMap<(TenantId, String, String), JobId>, sqlx::Error> {
    let columns = Columns::of(keys.iter());
    let rows = sqlx::query!(
        r#"select id as "id: JobId", tenant_id as "tenant: TenantId", kind, dedupe_key as "key!" from jobs
           where (tenant_id, kind, dedupe_key) in (
                     select tenant_id, kind, key
                     from unnest($1::uuid[], $2::text[], $3::text[]) as asked (tenant_id, kind, key)
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

/// Asks the running jobs with these keys to stop, those that were not asked before.
async fn stop<'a>(
    conn: &mut PgConnection,
    keys: impl ExactSizeIterator<Item = &'a Key<'a>>,
) -> Result<Vec<(TenantId, String, String, JobId)>, sqlx::Error> {
    if keys.len() == 0 {
        return Ok(Vec::new());
    }
    let columns = Columns::of(keys);
    // Running jobs are few, and `jobs_lease` holds just these.
    let rows = sqlx::query!(
        r#"update jobs set cancel_requested_at = now()
           where (tenant_id, kind, dedupe_key) in (
                     select tenant_id, kind, key
                     from unnest($1::uuid[], $2::text[], $3::text[]) as asked (tenant_id, kind, key)
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
        let asked: Vec<_> = rows.iter().map(|row| (row.tenant, row.id)).collect();
        cancel::tell(conn, &asked).await?;
    }
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant, row.kind, row.key, row.id))
        .collect())
}

/// Ends waiting jobs whose place newer ones take. The caller holds the locks of their keys.
pub(super) async fn supersede(
    conn: &mut PgConnection,
    jobs: &[(TenantId, JobId)],
) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "with removed as (
             delete from jobs
             using unnest($1::uuid[], $2::uuid[]) as superseded (tenant_id, id)
             where jobs.tenant_id = superseded.tenant_id and jobs.id = superseded.id and state <> 'running'
             returning jobs.*
         )
         insert into finished_jobs (id, tenant_id, kind, queue, state, priority, attempt, errors, crashes, max_attempts,
             args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
             error_code, error_message)
         select id, tenant_id, kind, queue, 'cancelled', priority, attempt, errors, crashes, max_attempts,
             args, worker_id, run_at, started_at, created_at, request_id, traceparent, dedupe_key, parent_id, children,
             $3, $4
         from removed",
        &jobs.iter().map(|(tenant, _)| tenant.0).collect::<Vec<_>>(),
        &jobs.iter().map(|(_, job)| job.0).collect::<Vec<_>>(),
        SUPERSEDED,
        MESSAGE,
    )
    .execute(conn)
    .await?;
    Ok(())
}
