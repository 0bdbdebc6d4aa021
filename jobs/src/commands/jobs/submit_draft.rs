//! Submitting a draft or a revision: request key, job, audit entry and answer in one transaction.

use super::{
    read,
    submit_triage::{AnswerOf, SubmitError, SubmitOutcome, Submitted, claim_key},
};
use crate::commands::drafts::revise::{self, ReviseError};
use crate::domain::ResourceKind;
use crate::{
    domain::{AuditAction, Detail, MessageId, NewAuditEntry, Session, llm::urgency::Urgency},
    kinds::draft::{Args, DraftGenerate},
    store::{
        audit, messages,
        request_keys::{self, RequestKey},
    },
};
use base::{JobId, telemetry};
use chrono::{DateTime, Utc};
use queue::{
    Enqueued, ExternalId, JobKind, JobView, NewJob, enqueue::enqueue, signals::notifier::Notifier,
    view,
};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};

/// A request for a draft.
pub struct SubmitDraft<'a> {
    pub session: &'a Session,
    pub key: RequestKey<'a>,
    /// Hash of everything that makes up the request.
    pub fingerprint: [u8; 32],
    pub args: Args,
    /// The caller's name for the work, 1 to 255 characters.
    pub external_id: Option<String>,
    pub run_at: Option<DateTime<Utc>>,
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    pub request_id: &'a str,
    pub traceparent: &'a str,
    pub answer_of: AnswerOf,
}

/// Nothing was submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitDraftError {
    /// There is none, or it came to another user.
    #[error("there is no message {0}")]
    NoMessage(MessageId),
    #[error(transparent)]
    Revise(#[from] ReviseError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<sqlx::Error> for SubmitDraftError {
    fn from(source: sqlx::Error) -> Self {
        Self::Submit(source.into())
    }
}

/// Enqueues the job, or finds the one with this external id.
///
/// # Errors
/// Then nothing was done, or only the reply was lost: repeat the request with the same key.
pub async fn submit_draft(
    pool: &PgPool,
    notifier: &Notifier,
    request: SubmitDraft<'_>,
) -> Result<Submitted, SubmitDraftError> {
    let mut tx = pool.begin().await?;
    if let Some(replayed) = claim_key(&mut tx, &request.key, &request.fingerprint).await? {
        return Ok(replayed);
    }
    let (session, message) = (request.session, request.args.message_id);
    let whose = (session.tenant, session.reader());
    let hidden = messages::first_hidden(&mut tx, whose, message.as_slice());
    if let Some(hidden) = hidden.await? {
        return Err(SubmitDraftError::NoMessage(hidden));
    }
    let (view, how) = insert(&mut tx, &request).await?;
    let mut stopped = None;
    if let (Some(base), true) = (request.args.base, request.args.dry_run) {
        revise::check(&mut tx, request.session, base).await?;
    } else if let (Some(base), SubmitOutcome::Inserted) = (request.args.base, how) {
        let asked = revise::RevisionRequest {
            base,
            job: view.id,
            instructions: request.args.instructions.as_deref().unwrap_or_default(),
            request_id: request.request_id,
        };
        stopped = revise::begin(&mut tx, request.session, asked).await?;
    }
    let answer = (request.answer_of)(&view, how);
    request_keys::complete(&mut tx, &request.key, &answer).await?;
    audit::insert(&mut tx, &[submitted(&request, view.id, how)]).await?;
    tx.commit().await?;
    if let Some(stopped) = stopped {
        stopped.notify(notifier);
    }
    match how {
        SubmitOutcome::Inserted if request.run_at.is_some() => {
            notifier.job_scheduled(DraftGenerate::QUEUE);
        }
        SubmitOutcome::Inserted => notifier.job_available(DraftGenerate::QUEUE),
        SubmitOutcome::Existing | SubmitOutcome::Replayed => {}
    }
    Ok(Submitted::new(answer, how))
}

async fn insert(
    conn: &mut PgConnection,
    request: &SubmitDraft<'_>,
) -> Result<(JobView, SubmitOutcome), SubmitDraftError> {
    let tenant = request.session.tenant;
    let encode = |error| sqlx::Error::Encode(Box::new(error));
    let new = NewJob::of::<DraftGenerate>(tenant, &request.args).map_err(encode)?;
    // Who submits it and how urgently is no part of the work: under one external id, a person and a program ask for the
    // same draft.
    let work = Args {
        api_key: None,
        urgency: Urgency::Now,
        ..request.args.clone()
    };
    let work = serde_json::to_value(&work).map_err(encode)?;
    // A dry run never takes the external id: it must not block the real run.
    let external = request
        .external_id
        .clone()
        .filter(|_| !request.args.dry_run)
        .map(|id| ExternalId {
            id,
            fingerprint: Sha256::digest(work.to_string()).into(),
        });
    let job = NewJob {
        external,
        run_at: request.run_at,
        priority: request.priority,
        request_id: Some(request.request_id.to_owned()),
        client_request_id: request.session.client_request(),
        traceparent: Some(request.traceparent.to_owned()),
        ..new
    };
    match enqueue(conn, &job).await {
        Ok(Enqueued::Inserted(_) | Enqueued::Replacing { .. }) => {
            Ok((view::inserted(conn, &job).await?, SubmitOutcome::Inserted))
        }
        Ok(Enqueued::Existing(existing)) => {
            let view = read::find(conn, request.session, existing)
                .await?
                .ok_or(SubmitError::Purged { job: existing })?;
            Ok((view, SubmitOutcome::Existing))
        }
        Err(error) => Err(SubmitError::from(error).into()),
    }
}

fn submitted(request: &SubmitDraft<'_>, job: JobId, how: SubmitOutcome) -> NewAuditEntry {
    let session = request.session;
    let mut entry = session
        .audit(AuditAction::JobSubmitted, ResourceKind::Job, job)
        .with_request(Some(request.request_id))
        .with_detail(
            Detail::new()
                .word("kind", DraftGenerate::NAME)
                .word("mode", request.args.mode.as_str())
                .flag("existing", how == SubmitOutcome::Existing),
        );
    entry = entry.with_trace(telemetry::trace_id(request.traceparent));
    entry.dry_run = request.args.dry_run;
    entry
}
