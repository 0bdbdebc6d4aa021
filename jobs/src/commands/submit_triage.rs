//! Asking for a mail to be triaged: the request's key, the mail, the job, the audit entry and the answer, all in one
//! transaction. Whatever dies before its commit leaves nothing; whatever dies after it has lost only an answer, which
//! the same request gets again.
//!
//! Two keys with two meanings: the request's key protects one HTTP request, the job's external id protects the work.

use crate::{
    domain::{Action, Actor, Detail, JobId, MessageId, NewAuditEntry, Session, mail::MailFormat},
    kinds::triage::{self, Mode, Triage},
    queue::{
        EnqueueError, Enqueued, ExternalId, JobKind, JobView, NewJob, enqueue::enqueue,
        notify::Notifier, read,
    },
    store::{
        audit, messages,
        request_keys::{self, RequestKey, StoredAnswer},
        rule_sets,
    },
    telemetry,
};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use std::fmt::Write as _;

/// One request to triage one mail.
pub struct SubmitTriage<'a> {
    pub session: &'a Session,
    pub operation: &'a str,
    /// The `Idempotency-Key`.
    pub key: &'a str,
    /// Over everything that makes the request what it is.
    pub fingerprint: [u8; 32],
    pub format: MailFormat,
    /// As it was handed in.
    pub source: &'a [u8],
    pub content_hash: [u8; 32],
    pub mode: Mode,
    pub dry_run: bool,
    pub force: bool,
    /// The caller's name for the work, 1 to 255 characters.
    pub external_id: Option<&'a str>,
    pub request_id: &'a str,
    pub traceparent: &'a str,
}

/// What became of the request, with the answer to give.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub answer: StoredAnswer,
    pub how: How,
}

/// Why there is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A new job.
    Inserted,
    /// The work was asked for before, by another request.
    Existing,
    /// This very request was answered before.
    Replayed,
}

/// No answer was stored, and nothing else either.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the first request with this key, or for this work, has not ended yet")]
    InFlight(#[source] sqlx::Error),
    #[error("the external id names other work, done by job {existing}")]
    ExternalIdReused { existing: JobId },
    /// The work was done so long ago that its result is no longer kept.
    #[error("job {job} did this work and was removed since")]
    Purged { job: JobId },
    #[error("could not write the job's arguments as JSON")]
    Args(#[source] serde_json::Error),
    #[error("could not submit the job")]
    Database(#[source] sqlx::Error),
}

/// Enqueues the job, or finds what was answered before. `answer` turns the job into the answer to store and give.
///
/// # Errors
/// Nothing was done then; the request may be repeated with the same key.
pub async fn submit_triage(
    pool: &PgPool,
    notifier: &Notifier,
    request: &SubmitTriage<'_>,
    answer: impl FnOnce(&JobView, How) -> StoredAnswer,
) -> Result<Submitted, SubmitError> {
    let key = RequestKey {
        tenant: request.session.tenant,
        actor: request.session.user,
        operation: request.operation,
        key: request.key,
    };
    let mut tx = pool.begin().await?;
    if !request_keys::claim(&mut tx, &key, &request.fingerprint).await? {
        let stored = request_keys::find(&mut tx, &key).await?;
        return if stored.fingerprint == request.fingerprint {
            Ok(Submitted {
                answer: stored.answer,
                how: How::Replayed,
            })
        } else {
            Err(SubmitError::KeyReused)
        };
    }
    let (job, how) = enqueue_triage(&mut tx, request).await?;
    let view = read::find(&mut tx, key.tenant, job)
        .await?
        .ok_or(SubmitError::Purged { job })?;
    let answer = answer(&view, how);
    request_keys::complete(&mut tx, &key, &answer).await?;
    audit::insert(&mut tx, &[submitted(request, job, how)]).await?;
    tx.commit().await?;
    // After the commit: a worker that is woken earlier finds nothing.
    if how == How::Inserted {
        notifier.job_available(Triage::QUEUE);
    }
    Ok(Submitted { answer, how })
}

async fn enqueue_triage(
    conn: &mut PgConnection,
    request: &SubmitTriage<'_>,
) -> Result<(JobId, How), SubmitError> {
    let tenant = request.session.tenant;
    let ruleset_version = rule_sets::active_version(conn, tenant).await?;
    let args = triage::Args {
        message_id: MessageId::new(),
        mode: request.mode,
        dry_run: request.dry_run,
        force: request.force,
        ruleset_version,
    };
    let job = NewJob {
        external: external_id(request, ruleset_version),
        request_id: Some(request.request_id.to_owned()),
        traceparent: Some(request.traceparent.to_owned()),
        ..NewJob::of::<Triage>(tenant, &args).map_err(SubmitError::Args)?
    };
    match enqueue(conn, &job).await {
        Ok(Enqueued::Inserted(id)) => {
            let message = messages::NewMessage {
                id: args.message_id,
                format: request.format,
                source: request.source,
                content_hash: request.content_hash,
            };
            messages::insert(conn, tenant, &message).await?;
            Ok((id, How::Inserted))
        }
        Ok(Enqueued::Existing(id)) => Ok((id, How::Existing)),
        Err(EnqueueError::KeyReused { existing }) => {
            Err(SubmitError::ExternalIdReused { existing })
        }
        Err(EnqueueError::Database(source)) => Err(source.into()),
    }
}

/// What makes two requests the same work; `None` makes this one work of its own.
fn external_id(request: &SubmitTriage<'_>, ruleset_version: i32) -> Option<ExternalId> {
    let mode = request.mode.as_str();
    match request.external_id {
        // A dry run must not stand in the way of the real one, so it never takes the caller's id.
        Some(_) if request.dry_run => None,
        // The mail and what is asked of it, not the bytes it came in: a copy fetched by another way is the same work.
        Some(id) => Some(ExternalId {
            id: id.to_owned(),
            fingerprint: Sha256::new()
                .chain_update(request.content_hash)
                .chain_update(mode)
                .finalize()
                .into(),
        }),
        None if request.force => None,
        None => {
            let mut mail = String::with_capacity(32);
            for byte in &request.content_hash[..16] {
                let _ = write!(mail, "{byte:02x}");
            }
            let dry = if request.dry_run { ":dry" } else { "" };
            // No connection yet: mail is handed in, not fetched.
            let id = format!("-:{mail}:{ruleset_version}:{mode}{dry}");
            Some(ExternalId {
                fingerprint: Sha256::digest(&id).into(),
                id,
            })
        }
    }
}

fn submitted(request: &SubmitTriage<'_>, job: JobId, how: How) -> NewAuditEntry {
    let actor = Actor::User {
        user: request.session.user,
        session: Some(request.session.id),
    };
    let mut entry = NewAuditEntry::new(
        request.session.tenant,
        actor,
        Action::JOB_SUBMITTED,
        "job",
        job,
    )
    .with_request(Some(request.request_id))
    .with_detail(
        Detail::new()
            .word("kind", Triage::NAME)
            .word("mode", request.mode.as_str())
            .flag("force", request.force)
            .flag("existing", how == How::Existing),
    );
    entry.trace_id = telemetry::trace_id(request.traceparent).map(str::to_owned);
    entry.dry_run = request.dry_run;
    entry
}

impl From<sqlx::Error> for SubmitError {
    fn from(source: sqlx::Error) -> Self {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        let code = source.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
            Self::InFlight(source)
        } else {
            Self::Database(source)
        }
    }
}
