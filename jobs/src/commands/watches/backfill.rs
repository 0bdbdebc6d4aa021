//! Backfills: a user asks for one ([`request`]), and its job delivers emails as it reads them ([`deliver`]).

use super::deliver::{FetchedEmail, Source, enqueue, unknown};
use crate::{
    commands::jobs::submit_triage::SubmitOutcome,
    domain::{Actor, AuditAction, Detail, ResourceKind, Session, connection::ConnectionStatus},
    kinds::backfill::{Args, Backfill},
    store::{
        audit,
        backfills::{self, BackfillProgress},
        connections,
    },
};
use base::{hex, telemetry};
use queue::{
    Dedupe, DedupePolicy, EnqueueError, Enqueued, Job, JobKind, JobView, NewJob,
    enqueue::enqueue as enqueue_job, lease, signals::notifier::Notifier, view,
};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

/// The least urgent: new email of anybody goes first.
const PRIORITY: i16 = 4;

/// A request for a backfill.
pub struct RequestBackfill<'a> {
    pub session: &'a Session,
    pub args: Args,
    pub request_id: &'a str,
    pub traceparent: &'a str,
}

/// No backfill was enqueued.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    #[error("there is no such connection")]
    NotFound,
    #[error("the connection has no mailbox")]
    NoMailbox,
    #[error("could not enqueue the backfill")]
    Enqueue(#[from] EnqueueError),
    #[error("could not ask for the backfill")]
    Database(#[from] sqlx::Error),
}

/// Enqueues a backfill, or finds the same one that waits already. Another period, limit or urgency of the same folder is other
/// work, and a dry run stands for no other.
///
/// # Errors
/// If the connection is not the user's or has no mailbox, or the database refuses.
pub async fn request(
    pool: &PgPool,
    notifier: &Notifier,
    request: &RequestBackfill<'_>,
) -> Result<(JobView, SubmitOutcome), BackfillError> {
    let (session, args) = (request.session, &request.args);
    let mut tx = pool.begin().await?;
    let found = connections::find(&mut tx, session.tenant, args.connection_id)
        .await?
        .filter(|found| found.user == session.user && found.status != ConnectionStatus::Revoked)
        .ok_or(BackfillError::NotFound)?;
    if found.settings.mail().is_none_or(|mail| mail.imap.is_none()) {
        return Err(BackfillError::NoMailbox);
    }
    let job = NewJob {
        priority: PRIORITY,
        dedupe: Some(Dedupe {
            key: same_backfill(args)?,
            policy: DedupePolicy::KeepWaiting,
        }),
        request_id: Some(request.request_id.to_owned()),
        client_request_id: session.client_request(),
        traceparent: Some(request.traceparent.to_owned()),
        ..NewJob::of::<Backfill>(session.tenant, args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    };
    let (view, how) = match enqueue_job(&mut tx, &job).await? {
        Enqueued::Inserted(_) | Enqueued::Replacing { .. } => (
            view::inserted(&mut tx, &job).await?,
            SubmitOutcome::Inserted,
        ),
        Enqueued::Existing(waiting) => {
            let found = view::find(&mut tx, session.tenant, waiting).await?;
            let view = found.ok_or(sqlx::Error::RowNotFound)?;
            (view, SubmitOutcome::Existing)
        }
    };
    let entry = session
        .audit(AuditAction::JobSubmitted, ResourceKind::Job, view.id)
        .with_request(Some(request.request_id))
        .with_trace(telemetry::trace_id(request.traceparent))
        .with_detail(
            Detail::new()
                .word("kind", Backfill::NAME)
                .flag("existing", how == SubmitOutcome::Existing),
        );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    if how == SubmitOutcome::Inserted {
        notifier.job_available(Backfill::QUEUE);
    }
    Ok((view, how))
}

/// The name of a request: equal requests have the same. A folder's name may be longer than a key.
fn same_backfill(args: &Args) -> Result<String, sqlx::Error> {
    let args = serde_json::to_vec(args).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    Ok(hex(&Sha256::digest(args)))
}

/// Delivers emails and stores how far the job has come; returns how many of them are new, or `None` if the job's lease is
/// lost: then nothing was written.
pub async fn deliver(
    pool: &PgPool,
    job: &Job,
    args: &Args,
    emails: Vec<FetchedEmail>,
    progress: BackfillProgress,
) -> Result<Option<BackfillProgress>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Ok(None);
    }
    let source = Source {
        tenant: job.lease.tenant,
        connection: args.connection_id,
        actor: Actor::Worker(job.lease.worker),
        word: "backfill",
        priority: PRIORITY,
        urgency: args.urgency,
    };
    let new = unknown(&mut tx, &source, emails).await?;
    let enqueued = enqueue(&mut tx, &source, &new).await?;
    let progress = BackfillProgress {
        enqueued: progress.enqueued + i64::try_from(enqueued).unwrap_or(i64::MAX),
        ..progress
    };
    backfills::put(&mut tx, job, &progress).await?;
    let attempts = Backfill::retry_policy().max_attempts;
    lease::renew_allowances(&mut tx, job.lease, attempts).await?;
    tx.commit().await?;
    Ok(Some(progress))
}
