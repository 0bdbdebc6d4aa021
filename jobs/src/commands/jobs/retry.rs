//! Putting jobs that ended without success back in line, with the audit entry of each: for their tenant, and for the
//! operators of the fleet.

use crate::commands::operators;
use crate::{
    domain::{
        Session,
        audit::{Action, Actor, Detail, NewAuditEntry},
    },
    store::audit,
};
use base::{JobId, TenantId};
use queue::{
    signals::notifier::Notifier,
    view::dead_letters::{self, DeadLetterFilter, Requeued},
};
use sqlx::{PgConnection, PgPool};

/// Jobs that one call puts back at most.
pub const MOST_AT_ONCE: i64 = 500;

/// What a call by filter did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequeuedSome {
    pub jobs: Vec<JobId>,
    /// Jobs that still fit the filter, counted up to [`dead_letters::MOST_COUNTED`].
    pub left: i64,
}

/// Puts one discarded or cancelled job back in line. False when it is neither, or not the tenant's.
///
/// # Errors
/// If the database cannot be asked.
pub async fn requeue_job(
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

/// Puts up to [`MOST_AT_ONCE`] discarded jobs back in line, the oldest first.
///
/// # Errors
/// If the database cannot be asked.
pub async fn requeue_dead_letters(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    filter: &DeadLetterFilter,
    request_id: Option<&str>,
) -> Result<RequeuedSome, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found = dead_letters::lock(&mut transaction, session.tenant, filter, MOST_AT_ONCE).await?;
    let requeued = requeue(&mut transaction, session, &found, request_id).await?;
    let left = dead_letters::count(&mut transaction, session.tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(RequeuedSome {
        jobs: requeued.into_iter().map(|requeued| requeued.job).collect(),
        left,
    })
}

/// As [`requeue_dead_letters`], of all tenants or the one named. The operators' own log says how many; each job's tenant
/// reads in theirs, under the request that asked for the job, that it was put back.
///
/// # Errors
/// If the database cannot be asked.
pub async fn requeue_of_fleet(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    (tenant, filter): (Option<TenantId>, &DeadLetterFilter),
    request_id: &str,
) -> Result<RequeuedSome, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let found =
        dead_letters::all_tenants::lock(&mut transaction, tenant, filter, MOST_AT_ONCE).await?;
    let requeued = dead_letters::requeue(&mut transaction, &found).await?;
    let mut entries: Vec<NewAuditEntry> = requeued
        .iter()
        .map(|back| {
            let (tenant, job) = (back.tenant, back.job);
            NewAuditEntry::new(tenant, Actor::System, Action::JOB_REQUEUED, "job", job)
                .with_request(back.request_id.as_deref())
        })
        .collect();
    if !requeued.is_empty() {
        let action = Action::DEAD_LETTERS_REQUEUED;
        let whose = tenant.map_or_else(|| "*".to_owned(), |tenant| tenant.to_string());
        let count = i64::try_from(requeued.len()).unwrap_or(i64::MAX);
        entries.push(
            operators::entry(session, action, "tenant", &whose, request_id)
                .with_detail(Detail::new().count("jobs", count)),
        );
    }
    audit::insert(&mut transaction, &entries).await?;
    let left = dead_letters::all_tenants::count(&mut transaction, tenant, filter).await?;
    transaction.commit().await?;
    announce(notifier, &requeued);
    Ok(RequeuedSome {
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
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let entries: Vec<NewAuditEntry> = requeued
        .iter()
        .map(|requeued| {
            NewAuditEntry::new(
                session.tenant,
                actor,
                Action::JOB_REQUEUED,
                "job",
                requeued.job,
            )
            .with_request(request_id)
        })
        .collect();
    audit::insert(conn, &entries).await?;
    Ok(requeued)
}

/// After the commit; the notifier coalesces what is said twice.
fn announce(notifier: &Notifier, requeued: &[Requeued]) {
    for requeued in requeued {
        notifier.job_available(&requeued.queue);
    }
}
