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
    view::dead_letters::{self, DeadLetterFilter, Requeued},
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
///
/// # Errors
/// If the database does not answer.
pub async fn retry_job(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    job: JobId,
    request_id: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let requeued = requeue(
        &mut transaction,
        session,
        &[(session.tenant, job)],
        request_id,
    )
    .await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(!requeued.is_empty())
}

/// Retries up to [`MOST_AT_ONCE`] discarded jobs, oldest first.
///
/// # Errors
/// If the database does not answer.
pub async fn retry_dead_letters(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    filter: &DeadLetterFilter,
    request_id: Option<&str>,
) -> Result<RetriedJobs, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found = dead_letters::lock(&mut transaction, session.tenant, filter, MOST_AT_ONCE).await?;
    let requeued = requeue(&mut transaction, session, &found, request_id).await?;
    let left = dead_letters::count(&mut transaction, session.tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(RetriedJobs {
        jobs: requeued.into_iter().map(|requeued| requeued.job).collect(),
        left,
    })
}

/// Retries discarded jobs of all tenants, or of the one given. The operators' audit log gets one entry with the number;
/// the log of each job's tenant gets one entry per job, under the request that submitted the job.
///
/// # Errors
/// If the database does not answer.
pub async fn retry_dead_letters_of_all_tenants(
    pool: &PgPool,
    notifier: &Notifier,
    operator: Operator<'_>,
    (tenant, filter): (Option<TenantId>, &DeadLetterFilter),
) -> Result<RetriedJobs, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found =
        dead_letters::all_tenants::lock(&mut transaction, tenant, filter, MOST_AT_ONCE).await?;
    let requeued = dead_letters::requeue(&mut transaction, &found).await?;
    let mut entries: Vec<NewAuditEntry> = requeued
        .iter()
        .map(|back| {
            let (tenant, job) = (back.tenant, back.job);
            NewAuditEntry::new(
                tenant,
                Actor::System,
                AuditAction::JobRequeued,
                ResourceKind::Job,
                job,
            )
            .with_request(back.request_id.as_deref())
        })
        .collect();
    if !requeued.is_empty() {
        let action = AuditAction::DeadLettersRequeued;
        let whose = tenant.map_or_else(|| "*".to_owned(), |tenant| tenant.to_string());
        let count = i64::try_from(requeued.len()).unwrap_or(i64::MAX);
        entries.extend(
            operator
                .audit(action, ResourceKind::Tenant, &whose)
                .map(|entry| entry.with_detail(Detail::new().count("jobs", count))),
        );
    }
    audit::insert(&mut transaction, &entries).await?;
    let left = dead_letters::all_tenants::count(&mut transaction, tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(RetriedJobs {
        jobs: requeued.into_iter().map(|requeued| requeued.job).collect(),
        left,
    })
}

async fn requeue(
    conn: &mut PgConnection,
    session: &Session,
    jobs: &[(TenantId, JobId)],
    request_id: Option<&str>,
) -> Result<Vec<Requeued>, sqlx::Error> {
    let requeued = dead_letters::requeue(conn, jobs).await?;
    let entries: Vec<NewAuditEntry> = requeued
        .iter()
        .map(|requeued| {
            session
                .audit(AuditAction::JobRequeued, ResourceKind::Job, requeued.job)
                .with_request(request_id)
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(requeued)
}

/// Runs after the commit; the notifier coalesces repeated signals.
fn announce(notifier: &Notifier, requeued: &[Requeued]) {
    for requeued in requeued {
        notifier.job_available(&requeued.queue);
    }
}
