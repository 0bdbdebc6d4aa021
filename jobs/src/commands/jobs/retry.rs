//! Retrying discarded and cancelled jobs, each with its audit entry: for their tenant, and for operators.

use crate::commands::operators::Operator;
use crate::domain::ResourceKind;
use crate::{
    domain::{
        Session,
        audit::{Actor, AuditAction, Detail, NewAuditEntry},
    },
    store::audit,
};
use base::{JobId, TenantId};
use queue::{
    signals::notifier::Notifier,
    view::dead_letters::{self, DeadLetterFilter, RetriedJob},
};
use sqlx::{PgConnection, PgPool};

/// The most jobs that one call retries.
pub const MOST_AT_ONCE: i64 = 500;

/// The result of a retry by filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetriedJobs {
    pub jobs: Vec<JobId>,
    /// Jobs that still match the filter, counted up to [`dead_letters::MAX_COUNTED`].
    pub left: i64,
}

/// Retries a discarded or cancelled job. False if it is neither, or not the tenant's.
pub async fn retry_job(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    job: JobId,
    request_id: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let retried = retry(
        &mut transaction,
        session,
        &[(session.tenant, job)],
        request_id,
    )
    .await?;
    transaction.commit().await?;
    announce(notifier, &retried);
    Ok(!retried.is_empty())
}

/// Retries up to [`MOST_AT_ONCE`] discarded jobs, oldest first.
pub async fn retry_dead_letters(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    filter: &DeadLetterFilter,
    request_id: Option<&str>,
) -> Result<RetriedJobs, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found = dead_letters::lock(&mut transaction, session.tenant, filter, MOST_AT_ONCE).await?;
    let retried = retry(&mut transaction, session, &found, request_id).await?;
    let left = dead_letters::count(&mut transaction, session.tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &retried);
    Ok(RetriedJobs {
        jobs: retried.into_iter().map(|retried| retried.job).collect(),
        left,
    })
}

/// Retries discarded jobs of all tenants, or of the one given. The operators' audit log gets one entry with the number;
/// the log of each job's tenant gets one entry per job, under the request that submitted the job.
pub async fn retry_dead_letters_of_all_tenants(
    pool: &PgPool,
    notifier: &Notifier,
    operator: Operator<'_>,
    (tenant, filter): (Option<TenantId>, &DeadLetterFilter),
) -> Result<RetriedJobs, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found =
        dead_letters::all_tenants::lock(&mut transaction, tenant, filter, MOST_AT_ONCE).await?;
    let retried = dead_letters::retry(&mut transaction, &found).await?;
    let mut entries: Vec<NewAuditEntry> = retried
        .iter()
        .map(|back| {
            let (tenant, job) = (back.tenant, back.job);
            NewAuditEntry::new(
                tenant,
                Actor::System,
                AuditAction::JobRetryRequested,
                ResourceKind::Job,
                job,
            )
            .with_request(back.request_id.as_deref())
        })
        .collect();
    if !retried.is_empty() {
        let action = AuditAction::DeadLettersRetried;
        let whose = tenant.map_or_else(|| "*".to_owned(), |tenant| tenant.to_string());
        let count = i64::try_from(retried.len()).unwrap_or(i64::MAX);
        entries.extend(
            operator
                .audit(action, ResourceKind::Tenant, &whose)
                .map(|entry| entry.with_detail(Detail::new().count("jobs", count))),
        );
    }
    audit::insert(&mut transaction, &entries).await?;
    let left = dead_letters::all_tenants::count(&mut transaction, tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &retried);
    Ok(RetriedJobs {
        jobs: retried.into_iter().map(|retried| retried.job).collect(),
        left,
    })
}

async fn retry(
    conn: &mut PgConnection,
    session: &Session,
    jobs: &[(TenantId, JobId)],
    request_id: Option<&str>,
) -> Result<Vec<RetriedJob>, sqlx::Error> {
    let retried = dead_letters::retry(conn, jobs).await?;
    let entries: Vec<NewAuditEntry> = retried
        .iter()
        .map(|retried| {
            session
                .audit(
                    AuditAction::JobRetryRequested,
                    ResourceKind::Job,
                    retried.job,
                )
                .with_request(request_id)
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(retried)
}

/// Runs after the commit; the notifier coalesces repeated signals.
fn announce(notifier: &Notifier, retried: &[RetriedJob]) {
    for job in retried {
        notifier.job_available(&job.queue);
    }
}
