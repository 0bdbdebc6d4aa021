//! `backfills`: how far a backfill job has come.

use crate::domain::watch::Cursor;
use base::TenantId;
use chrono::{DateTime, Utc};
use queue::Job;
use sqlx::PgConnection;

/// How far a backfill has come, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackfillProgress {
    pub cursor: Cursor,
    pub emails: i64,
    pub enqueued: i64,
    pub skipped: i64,
}

/// # Errors
/// When the database does not answer, or holds a number that no server has sent.
pub async fn find(conn: &mut PgConnection, job: &Job) -> Result<BackfillProgress, sqlx::Error> {
    let row = sqlx::query!(
        "select uid_validity, last_uid, emails, enqueued, skipped from backfills where tenant_id = $1 and job_id = $2",
        job.lease.tenant.0,
        job.lease.job.0,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else {
        return Ok(BackfillProgress::default());
    };
    let wide = |error: std::num::TryFromIntError| sqlx::Error::Decode(Box::new(error));
    Ok(BackfillProgress {
        cursor: Cursor {
            uid_validity: Some(u32::try_from(row.uid_validity).map_err(wide)?),
            last_uid: u32::try_from(row.last_uid).map_err(wide)?,
        },
        emails: row.emails,
        enqueued: row.enqueued,
        skipped: row.skipped,
    })
}

/// Stores how far the job has come. The caller's transaction holds the job.
pub async fn put(
    conn: &mut PgConnection,
    job: &Job,
    progress: &BackfillProgress,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into backfills (tenant_id, job_id, uid_validity, last_uid, emails, enqueued, skipped)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (tenant_id, job_id) do update
         set uid_validity = excluded.uid_validity, last_uid = excluded.last_uid, emails = excluded.emails,
             enqueued = excluded.enqueued, skipped = excluded.skipped",
        job.lease.tenant.0,
        job.lease.job.0,
        i64::from(progress.cursor.uid_validity.unwrap_or(0)),
        i64::from(progress.cursor.last_uid),
        progress.emails,
        progress.enqueued,
        progress.skipped,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns when the first of the tenant's emails continues that a budget has stopped, by the code of its last attempt; none if
/// none has.
pub async fn budget_stop(
    conn: &mut PgConnection,
    tenant: TenantId,
    code: &str,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select min(run_at) from jobs
         join job_attempts last on last.job_id = jobs.id and last.attempt = jobs.attempt
         where jobs.tenant_id = $1 and jobs.kind = 'triage.email' and jobs.state = 'scheduled' and jobs.run_at > now()
           and last.outcome = 'snoozed' and last.error_code = $2",
        tenant.0,
        code,
    )
    .fetch_one(conn)
    .await
}

/// Deletes up to `limit` rows whose job is no longer kept.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from backfills where ctid = any(array(
             select b.ctid from backfills b
             where not exists (select from jobs j where j.tenant_id = b.tenant_id and j.id = b.job_id)
                 and not exists (select from finished_jobs f where f.tenant_id = b.tenant_id and f.id = b.job_id)
             limit $1 for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
