//! Asking for actions to be done: the request's key, the job, the audit entry and the answer in one transaction.

use super::submit_triage::{AnswerOf, How, SubmitError, Submitted};
use crate::{
    domain::{Action, Actor, ApprovalId, Detail, NewAuditEntry, Session, approval::Status},
    kinds::action::{ActionExecute, Args, Work},
    store::{
        approvals, audit,
        request_keys::{self, RequestKey},
    },
};
use base::telemetry;
use chrono::{DateTime, Utc};
use queue::{
    JobKind, JobView, NewJob,
    enqueue::{self, dedupe::Replaced},
    signals::notifier::Notifier,
    view,
};
use sqlx::{PgConnection, PgPool};

/// One request to have actions done.
pub struct SubmitAction<'a> {
    pub session: &'a Session,
    pub key: RequestKey<'a>,
    /// Over everything that makes the request what it is.
    pub fingerprint: [u8; 32],
    pub args: Args,
    pub run_at: Option<DateTime<Utc>>,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    pub request_id: &'a str,
    pub traceparent: &'a str,
    pub at: DateTime<Utc>,
    pub answer_of: AnswerOf,
}

/// Nothing was submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitActionError {
    #[error("there is no such approval")]
    NoApproval,
    /// Nobody has agreed to this version.
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

/// Enqueues the job. An approval that was agreed to has its job already: that is the answer.
///
/// # Errors
/// Then nothing was done, or only the reply was lost: repeat the request with the same key.
pub async fn submit_action(
    pool: &PgPool,
    notifier: &Notifier,
    request: SubmitAction<'_>,
) -> Result<Submitted, SubmitActionError> {
    let mut tx = pool.begin().await?;
    if !request_keys::claim(&mut tx, &request.key, &request.fingerprint).await? {
        let stored = request_keys::find(&mut tx, &request.key).await?;
        return if stored.fingerprint == request.fingerprint {
            Ok(Submitted {
                answer: stored.answer,
                how: How::Replayed,
                replaced: Replaced::default(),
            })
        } else {
            Err(SubmitError::KeyReused.into())
        };
    }
    let (view, how) = match request.args.work {
        Work::Approval {
            approval_id,
            version,
        } => (
            of_approval(&mut tx, request.session, approval_id, version).await?,
            How::Existing,
        ),
        Work::Requested(_) | Work::Triaged { .. } | Work::Undo { .. } => {
            (insert(&mut tx, &request).await?, How::Inserted)
        }
    };
    let answer = (request.answer_of)(&view, how);
    request_keys::complete(&mut tx, &request.key, &answer).await?;
    let actor = Actor::User {
        user: request.session.user,
        session: Some(request.session.id),
    };
    let tenant = request.session.tenant;
    let mut entry = NewAuditEntry::new(tenant, actor, Action::JOB_SUBMITTED, "job", view.id)
        .with_request(Some(request.request_id))
        .with_detail(
            Detail::new()
                .word("kind", ActionExecute::NAME)
                .flag("existing", how == How::Existing),
        );
    entry.trace_id = telemetry::trace_id(request.traceparent).map(str::to_owned);
    entry.dry_run = request.args.dry_run;
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    match how {
        How::Inserted if request.run_at.is_some() => notifier.job_scheduled(ActionExecute::QUEUE),
        How::Inserted => notifier.job_available(ActionExecute::QUEUE),
        How::Existing | How::Replayed => {}
    }
    Ok(Submitted {
        answer,
        how,
        replaced: Replaced::default(),
    })
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
        traceparent: Some(request.traceparent.to_owned()),
        ..new
    };
    // It has no name of its own, so there is nothing that it could meet: its effects have theirs.
    enqueue::insert(conn, &job).await?;
    Ok(JobView::of_new(&job, request.at))
}

/// The job that was enqueued when the approval was agreed to.
async fn of_approval(
    conn: &mut PgConnection,
    session: &Session,
    id: ApprovalId,
    version: i32,
) -> Result<JobView, SubmitActionError> {
    let present = approvals::find(conn, session.tenant, id)
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
    view::find(conn, session.tenant, job)
        .await?
        .ok_or(SubmitActionError::Submit(SubmitError::Purged { job }))
}
