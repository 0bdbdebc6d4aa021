//! `llm_batches`: batches of requests at a provider, from before they are made until all their answers are stored.
//!
//! [`gather`] and [`take_due`] give a batch to one worker at a time. The requests are in [`super::llm_batch_items`].

use base::TenantId;
use chrono::{DateTime, Utc};
use queue::operate::release::DueJob;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use uuid::Uuid;

/// A batch.
#[derive(Clone, Debug)]
pub struct StoredBatch {
    /// Its name at the provider.
    pub id: Uuid,
    pub provider: String,
    pub model: String,
    /// None until it is known that the batch was made.
    pub provider_id: Option<String>,
    pub created_at: DateTime<Utc>,
    /// When it was recorded that the batch was made.
    pub made_at: Option<DateTime<Utc>>,
}

/// How large a batch may be; one request always fits.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    pub requests: i64,
    pub bytes: i64,
}

/// Forms a batch of requests that wait for the same model, the oldest first; none if none has waited for
/// `waited`. The caller commits before it makes the batch, which no other worker looks at for `reserved`.
pub async fn gather(
    conn: &mut PgConnection,
    id: Uuid,
    waited: Duration,
    reserved: Duration,
    largest: BatchSize,
) -> Result<Option<StoredBatch>, sqlx::Error> {
    let batch = sqlx::query_as!(
        StoredBatch,
        r#"
        insert into llm_batches (id, provider, model, due_at)
        select $1, provider, model, now() + make_interval(secs => $3) from llm_batch_items
        where state = 'waiting' and created_at <= now() - make_interval(secs => $2)
        order by created_at limit 1
        returning id, provider, model, provider_id, created_at, made_at
        "#,
        id,
        waited.as_secs_f64(),
        reserved.as_secs_f64(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(batch) = batch else { return Ok(None) };
    let gathered = sqlx::query!(
        "with chosen as (
             select tenant_id, job_id, step, created_at, call_id, octet_length(body::text) as bytes from llm_batch_items
             where state = 'waiting' and provider = $2 and model = $3
             order by created_at, call_id
             limit $4
             for update skip locked
         ), counted as (
             select *, sum(bytes) over (order by created_at, call_id) as bytes_so_far from chosen
         )
         update llm_batch_items item set state = 'sent', batch_id = $1
         from counted
         where item.tenant_id = counted.tenant_id and item.job_id = counted.job_id and item.step = counted.step
           and (bytes_so_far <= $5 or bytes_so_far = bytes)",
        id,
        batch.provider,
        batch.model,
        largest.requests,
        largest.bytes,
    )
    .execute(conn)
    .await?;
    Ok((gathered.rows_affected() > 0).then_some(batch))
}

/// Takes the batches that are due to be looked at; no other worker looks at them for `reserved`.
pub async fn take_due(
    pool: &PgPool,
    reserved: Duration,
    limit: i64,
) -> Result<Vec<StoredBatch>, sqlx::Error> {
    sqlx::query_as!(
        StoredBatch,
        "with due as (
             select id from llm_batches where due_at <= now() order by due_at, id limit $2 for update skip locked
         )
         update llm_batches batch set due_at = now() + make_interval(secs => $1)
         from due where batch.id = due.id
         returning batch.id, provider, model, provider_id, created_at, made_at",
        reserved.as_secs_f64(),
        limit,
    )
    .fetch_all(pool)
    .await
}

/// Records that the provider has the batch, and erases the requests.
pub async fn record_made(
    conn: &mut PgConnection,
    batch: Uuid,
    provider_id: &str,
    due_in: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with made as (
             update llm_batches set provider_id = $2, made_at = now(), due_at = now() + make_interval(secs => $3)
             where id = $1 returning id
         )
         update llm_batch_items item set body = null from made where item.batch_id = made.id",
        batch,
        provider_id,
        due_in.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has the batch looked at again after this time.
pub async fn postpone(pool: &PgPool, batch: Uuid, by: Duration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update llm_batches set due_at = now() + make_interval(secs => $2) where id = $1",
        batch,
        by.as_secs_f64(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Deletes a batch whose requests have all ended.
///
/// # Errors
/// When the database refuses, or a request has not ended.
pub async fn delete(pool: &PgPool, batch: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from llm_batches where id = $1", batch)
        .execute(pool)
        .await?;
    Ok(())
}

/// The batches of which an answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenBatches {
    pub batches: i64,
    pub oldest_seconds: i64,
}

/// Counts the batches of which an answer is awaited.
pub async fn open(pool: &PgPool) -> Result<OpenBatches, sqlx::Error> {
    sqlx::query_as!(
        OpenBatches,
        r#"select count(*) as "batches!", coalesce(extract(epoch from now() - min(created_at)), 0)::bigint as "oldest_seconds!"
         from llm_batches batch
         where exists (select from llm_batch_items item where item.batch_id = batch.id)"#,
    )
    .fetch_one(pool)
    .await
}

/// Lists the provider's ids of the batches that are known.
pub async fn known_ids(pool: &PgPool, provider: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select provider_id as "id!" from llm_batches where provider = $1 and provider_id is not null"#,
        provider,
    )
    .fetch_all(pool)
    .await
}

/// Lists up to `limit` parked jobs, snoozed with `code`, of which no request waits any more.
pub async fn jobs_to_release(
    conn: &mut PgConnection,
    code: &str,
    limit: i64,
) -> Result<Vec<DueJob>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select distinct job.tenant_id as "tenant: TenantId", job.id, now() as "now!"
        from llm_batch_items item
        join jobs job on job.tenant_id = item.tenant_id and job.id = item.job_id
        join job_attempts last on last.job_id = job.id and last.attempt = job.attempt
        where item.state in ('answered', 'failed') and job.state = 'scheduled' and job.run_at > now()
          and last.outcome = 'snoozed' and last.error_code = $1
          and not exists (
              select from llm_batch_items other
              where other.tenant_id = item.tenant_id and other.job_id = item.job_id and other.state in ('waiting', 'sent'))
        limit $2
        "#,
        code,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let due = rows.into_iter().map(|row| DueJob {
        tenant: row.tenant,
        job: base::JobId(row.id),
        at: row.now,
    });
    Ok(due.collect())
}
