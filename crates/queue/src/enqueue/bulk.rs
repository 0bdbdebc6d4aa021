//! Enqueues any number of jobs with a handful of statements.
//!
//! Like [`super::enqueue`], works inside the caller's transaction and does not wake workers.

use super::dedupe;
use crate::{EnqueueError, Enqueued, NewJob};
use base::JobId;
use sqlx::{Connection, PgConnection};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Inserts the jobs and returns one result for each, in the order of `jobs`.
///
/// Of two jobs with the same external id the first is inserted and the second finds it; jobs with the same dedupe key are
/// handled in their order. A conflict fails only its own job.
///
/// # Errors
/// If the database fails, or [`EnqueueError::DedupeKeyLocked`]; then no job was inserted.
pub async fn enqueue_many(
    conn: &mut PgConnection,
    jobs: &[NewJob],
) -> Result<Vec<Result<Enqueued, EnqueueError>>, EnqueueError> {
    if jobs.iter().all(|job| job.dedupe.is_none()) {
        return insert_all(conn, jobs).await;
    }
    // The lock of a dedupe key lasts until the transaction ends; without a transaction it would protect nothing.
    let mut transaction = conn.begin().await?;
    let answers = insert_all(&mut transaction, jobs).await?;
    transaction.commit().await?;
    Ok(answers)
}

/// Enqueues one job as [`enqueue_many`] does.
pub(super) async fn enqueue_one(
    conn: &mut PgConnection,
    job: &NewJob,
) -> Result<Enqueued, EnqueueError> {
    enqueue_many(conn, std::slice::from_ref(job))
        .await?
        .pop()
        .ok_or(EnqueueError::Database(sqlx::Error::RowNotFound))?
}

async fn insert_all(
    conn: &mut PgConnection,
    jobs: &[NewJob],
) -> Result<Vec<Result<Enqueued, EnqueueError>>, EnqueueError> {
    let keyed: Vec<&NewJob> = jobs.iter().filter(|job| job.external.is_some()).collect();
    let claimed = claim_keys(conn, &keyed).await?;
    let is_new = |job: &NewJob| job.external.is_none() || claimed.contains(&job.id);
    let taken: Vec<&NewJob> = keyed.into_iter().filter(|job| !is_new(job)).collect();
    let owners = find_keys(conn, &taken).await?;
    let new: Vec<&NewJob> = jobs.iter().filter(|job| is_new(job)).collect();
    let dedupe::DedupePlan {
        superseded_new,
        superseded,
        inserted,
        kept,
        mut replaced,
    } = dedupe::plan(conn, &new).await?;
    // Inserted and cancelled at once, and without their key: the last job of the call has it.
    insert(conn, &superseded_new, false).await?;
    dedupe::supersede(conn, &superseded).await?;
    insert(conn, &inserted, true).await?;
    let released: Vec<&NewJob> = new
        .into_iter()
        .filter(|job| job.external.is_some() && kept.contains_key(&job.id))
        .collect();
    release_keys(conn, &released).await?;
    let answer = |job: &NewJob| match (owners.get(&job.id), kept.get(&job.id)) {
        (Some(owner), _) => {
            let existing = *kept.get(&owner.job).unwrap_or(&owner.job);
            if owner.same_request {
                Ok(Enqueued::Existing(existing))
            } else {
                Err(EnqueueError::KeyReused { existing })
            }
        }
        (None, Some(waiting)) => Ok(Enqueued::Existing(*waiting)),
        (None, None) => Ok(match replaced.remove(&job.id) {
            Some(replaced) => Enqueued::Replacing {
                job: job.id,
                replaced,
            },
            None => Enqueued::Inserted(job.id),
        }),
    };
    Ok(jobs.iter().map(answer).collect())
}

/// Whether [`enqueue_many`] inserts such jobs with one statement, which needs no transaction around it.
pub fn is_one_statement(job: &NewJob) -> bool {
    job.external.is_none() && job.dedupe.is_none()
}

/// The job that an external id names.
struct Owner {
    job: JobId,
    same_request: bool,
}

/// External ids as one array per column, in one order for all callers: two batches that share ids must not deadlock.
struct Keys {
    tenants: Vec<Uuid>,
    kinds: Vec<String>,
    ids: Vec<String>,
    fingerprints: Vec<Vec<u8>>,
    jobs: Vec<Uuid>,
}

impl Keys {
    fn of(jobs: &[&NewJob]) -> Self {
        let mut rows: Vec<_> = jobs
            .iter()
            .enumerate()
            .filter_map(|(position, job)| {
                Some((
                    job.tenant.0,
                    job.kind,
                    job.external.as_ref()?,
                    position,
                    job.id.0,
                ))
            })
            .collect();
        rows.sort_by(|a, b| (a.0, a.1, &a.2.id, a.3).cmp(&(b.0, b.1, &b.2.id, b.3)));
        Self {
            tenants: rows.iter().map(|row| row.0).collect(),
            kinds: rows.iter().map(|row| row.1.to_owned()).collect(),
            ids: rows.iter().map(|row| row.2.id.clone()).collect(),
            fingerprints: rows.iter().map(|row| row.2.fingerprint.to_vec()).collect(),
            jobs: rows.iter().map(|row| row.4).collect(),
        }
    }
}

async fn claim_keys(
    conn: &mut PgConnection,
    jobs: &[&NewJob],
) -> Result<HashSet<JobId>, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(HashSet::new());
    }
    let keys = Keys::of(jobs);
    let claimed = sqlx::query_scalar!(
        r#"insert into job_keys (tenant_id, kind, external_id, fingerprint, job_id)
           select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[])
           on conflict (tenant_id, kind, external_id) do nothing
           returning job_id as "job_id: JobId""#,
        &keys.tenants,
        &keys.kinds,
        &keys.ids,
        &keys.fingerprints,
        &keys.jobs,
    )
    .fetch_all(conn)
    .await?;
    Ok(claimed.into_iter().collect())
}

async fn find_keys(
    conn: &mut PgConnection,
    jobs: &[&NewJob],
) -> Result<HashMap<JobId, Owner>, sqlx::Error> {
    if jobs.is_empty() {
        return Ok(HashMap::new());
    }
    let keys = Keys::of(jobs);
    let rows = sqlx::query!(
        r#"select given.job_id as "given!: JobId", job_keys.job_id as "owner: JobId",
                  job_keys.fingerprint = given.fingerprint as "same_request!"
           from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::uuid[])
               as given (tenant_id, kind, external_id, fingerprint, job_id)
           join job_keys using (tenant_id, kind, external_id)"#,
        &keys.tenants,
        &keys.kinds,
        &keys.ids,
        &keys.fingerprints,
        &keys.jobs,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                row.given,
                Owner {
                    job: row.owner,
                    same_request: row.same_request,
                },
            )
        })
        .collect())
}

/// Releases the external ids of jobs that were not inserted because another job with their dedupe key waits.
async fn release_keys(conn: &mut PgConnection, jobs: &[&NewJob]) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let keys = Keys::of(jobs);
    sqlx::query!(
        "delete from job_keys
         using unnest($1::uuid[], $2::text[], $3::text[]) as released (tenant_id, kind, external_id)
         where job_keys.tenant_id = released.tenant_id and job_keys.kind = released.kind
           and job_keys.external_id = released.external_id",
        &keys.tenants,
        &keys.kinds,
        &keys.ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn insert(
    conn: &mut PgConnection,
    jobs: &[&NewJob],
    with_dedupe_key: bool,
) -> Result<(), sqlx::Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let text =
        |get: fn(&NewJob) -> Option<String>| jobs.iter().map(|job| get(job)).collect::<Vec<_>>();
    let dedupe_key = |job: &NewJob| {
        let dedupe = job.dedupe.as_ref().filter(|_| with_dedupe_key)?;
        Some(dedupe.key.clone())
    };
    sqlx::query!(
        "insert into jobs (id, tenant_id, kind, queue, state, priority, run_at, max_attempts, args, request_id, traceparent,
             dedupe_key, parent_id, client_request_id)
         select id, tenant_id, kind, queue, case when run_at > now() then 'scheduled' else 'available' end,
                priority, coalesce(run_at, now()), max_attempts, args, request_id, traceparent, dedupe_key, parent_id,
                client_request_id
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[], $7::int[],
                     $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::text[])
             as new (id, tenant_id, kind, queue, priority, run_at, max_attempts, args, request_id, traceparent, dedupe_key,
                     parent_id, client_request_id)",
        &jobs.iter().map(|job| job.id.0).collect::<Vec<_>>(),
        &jobs.iter().map(|job| job.tenant.0).collect::<Vec<_>>(),
        &jobs.iter().map(|job| job.kind.to_owned()).collect::<Vec<_>>(),
        &jobs.iter().map(|job| job.queue.to_owned()).collect::<Vec<_>>(),
        &jobs.iter().map(|job| job.priority).collect::<Vec<_>>(),
        &jobs.iter().map(|job| job.run_at).collect::<Vec<_>>() as &[Option<chrono::DateTime<chrono::Utc>>],
        &jobs.iter().map(|job| job.max_attempts).collect::<Vec<_>>(),
        &jobs.iter().map(|job| job.args.clone()).collect::<Vec<_>>(),
        &text(|job| job.request_id.clone()) as &[Option<String>],
        &text(|job| job.traceparent.clone()) as &[Option<String>],
        &jobs.iter().map(|job| dedupe_key(job)).collect::<Vec<_>>() as &[Option<String>],
        &jobs.iter().map(|job| job.parent.map(|parent| parent.0)).collect::<Vec<_>>() as &[Option<Uuid>],
        &text(|job| job.client_request_id.clone()) as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}
