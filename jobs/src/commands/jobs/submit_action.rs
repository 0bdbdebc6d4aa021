//! Submitting actions: request key, job, audit entry and answer in one transaction.

use super::{
    read,
    submit_triage::{AnswerOf, SubmitError, SubmitOutcome, Submitted, claim_key},
};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        ApprovalId, AuditAction, Detail, MessageId, NewAuditEntry, Session, approval::Status,
    },
    kinds::action::{ActionExecute, Args, Work},
    store::{
        approvals, audit, messages,
        request_keys::{self, RequestKey},
    },
};
use base::telemetry;
use chrono::{DateTime, Utc};
use queue::{JobKind, JobView, NewJob, enqueue, signals::notifier::Notifier, view};
use sqlx::{PgConnection, PgPool};

/// A request to execute actions.
pub struct SubmitAction<'a> {
    pub session: &'a Session,
    pub key: RequestKey<'a>,
    /// Hash of everything that makes up the request.
    pub fingerprint: [u8; 32],
    pub args: Args,
    pub run_at: Option<DateTime<Utc>>,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    pub request_id: &'a str,
    pub traceparent: &'a str,
    pub answer_of: AnswerOf,
}

/// Nothing was submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitActionError {
    /// There is none, or the session may not read it.
    #[error("there is no such approval")]
    NoApproval,
    /// There is none, or it came to another user.
    #[error("action {action} is about no message that exists")]
    NoMessage { action: usize },
    /// This version is not approved.
    #[error("the approval is {status} in version {version}")]
    NotApproved { status: Status, version: i32 },
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<sqlx::Error> for SubmitActionError {
    fn from(source: sqlx::Error) -> Self {
        Self::Submit(source.into())
    }
}

/// Enqueues the job. An approved approval has its job already; that job is the answer.
///
/// # Errors
/// Then nothing was done, or only the reply was lost: repeat the request with the same key.
pub async fn submit_action(
    pool: &PgPool,
    notifier: &Notifier,
    request: SubmitAction<'_>,
) -> Result<Submitted, SubmitActionError> {
    let mut tx = pool.begin().await?;
    if let Some(replayed) = claim_key(&mut tx, &request.key, &request.fingerprint).await? {
        return Ok(replayed);
    }
    let (view, how) = match request.args.work {
        Work::Approval {
            approval_id,
            version,
        } => (
            of_approval(&mut tx, request.session, approval_id, version).await?,
            SubmitOutcome::Existing,
        ),
        Work::Requested(_) | Work::Triaged { .. } | Work::Digest { .. } | Work::Undo { .. } => {
            refuse_hidden(&mut tx, &request).await?;
            (insert(&mut tx, &request).await?, SubmitOutcome::Inserted)
        }
    };
    let answer = (request.answer_of)(&view, how);
    request_keys::complete(&mut tx, &request.key, &answer).await?;
    let actor = request.session.actor();
    let tenant = request.session.tenant;
    let mut entry = NewAuditEntry::new(
        tenant,
        actor,
        AuditAction::JobSubmitted,
        ResourceKind::Job,
        view.id,
    )
    .with_request(Some(request.request_id))
    .with_client_request(request.session.client_request_id.as_deref())
    .with_detail(
        Detail::new()
            .word("kind", ActionExecute::NAME)
            .flag("existing", how == SubmitOutcome::Existing),
    );
    entry = entry.with_trace(telemetry::trace_id(request.traceparent));
    entry.dry_run = request.args.dry_run;
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    match how {
        SubmitOutcome::Inserted if request.run_at.is_some() => {
            notifier.job_scheduled(ActionExecute::QUEUE);
        }
        SubmitOutcome::Inserted => notifier.job_available(ActionExecute::QUEUE),
        SubmitOutcome::Existing | SubmitOutcome::Replayed => {}
    }
    Ok(Submitted::new(answer, how))
}

/// Refuses actions about an email that does not exist for the session: they would answer, forward or file a colleague's.
async fn refuse_hidden(
    conn: &mut PgConnection,
    request: &SubmitAction<'_>,
) -> Result<(), SubmitActionError> {
    let Work::Requested(actions) = &request.args.work else {
        return Ok(());
    };
    let session = request.session;
    let named: Vec<MessageId> = actions.iter().filter_map(|one| one.message_id).collect();
    let whose = (session.tenant, session.reader());
    let hidden = messages::first_hidden(conn, whose, &named).await?;
    let about = |hidden| {
        actions
            .iter()
            .position(|one| one.message_id == Some(hidden))
    };
    match hidden.and_then(about) {
        Some(action) => Err(SubmitActionError::NoMessage { action }),
        None => Ok(()),
    }
}

async fn insert(
    conn: &mut PgConnection,
    request: &SubmitAction<'_>,
) -> Result<JobView, SubmitActionError> {
    let new = NewJob::of::<ActionExecute>(request.session.tenant, &request.args)
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let job = NewJob {
        run_at: request.run_at,
        priority: request.priority,
        request_id: Some(request.request_id.to_owned()),
        client_request_id: request.session.client_request(),
        traceparent: Some(request.traceparent.to_owned()),
        ..new
    };
    // The job has no external id: its effects have names of their own.
    enqueue::insert(conn, &job).await?;
    Ok(view::inserted(conn, &job).await?)
}

/// Finds the job that was enqueued when the approval was approved.
async fn of_approval(
    conn: &mut PgConnection,
    session: &Session,
    id: ApprovalId,
    version: i32,
) -> Result<JobView, SubmitActionError> {
    let present = approvals::read::find(conn, (session.tenant, session.reader()), id)
        .await?
        .ok_or(SubmitActionError::NoApproval)?;
    let refused = SubmitActionError::NotApproved {
        status: present.status,
        version: present.version,
    };
    if present.version != version {
        return Err(refused);
    }
    let job = match present.status {
        Status::Approved | Status::Executing | Status::Executed | Status::Failed => {
            present.execution_job
        }
        Status::Proposed
        | Status::Editing
        | Status::Rejected
        | Status::Expired
        | Status::Undoing
        | Status::Undone => None,
    };
    let job = job.ok_or(refused)?;
    read::find(conn, session, job)
        .await?
        .ok_or(SubmitActionError::Submit(SubmitError::Purged { job }))
}
