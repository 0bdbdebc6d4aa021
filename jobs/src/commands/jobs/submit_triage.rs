//! Submitting an email for triage: request key, message, job, audit entry and answer in one transaction. A crash before
//! the commit leaves nothing; a crash after it loses only the reply, which the same request gets again. Concurrent
//! requests share the transaction: start with [`Submitter`].
//!
//! Two keys with two meanings: the request's key protects one HTTP request, the job's external id protects the work.

mod batch;
mod claim_key;
mod family;
mod many;
mod submitter;

pub use family::{FamilyError, submit_family};
pub use many::{SubmitMany, submit_many};
pub use submitter::Submitter;

pub(in crate::commands) use claim_key::claim_key;

use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, Detail, NewAuditEntry, Session, UserId,
        llm::urgency::Urgency,
        mail::{MailFormat, OwnAnswer},
    },
    kinds::triage::{Mode, Triage, default_name},
    store::request_keys::{RequestKey, StoredAnswer},
};
use base::{JobId, TenantId, db::is_lock_timeout, telemetry};
use chrono::{DateTime, Utc};
use queue::{
    Dedupe, EnqueueError, ExternalId, JobKind, JobView, Replaced, coalesce::CoalesceError,
    enqueue::dedupe::SUPERSEDED,
};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgDatabaseError;
use std::sync::Arc;

/// A request to triage one email.
pub struct SubmitTriage {
    pub session: Session,
    pub operation: &'static str,
    /// The `Idempotency-Key`.
    pub key: String,
    /// Hash of everything that makes up the request.
    pub fingerprint: [u8; 32],
    pub format: MailFormat,
    /// The source as submitted.
    pub source: Vec<u8>,
    pub content_hash: [u8; 32],
    /// The thread that it belongs to, if it may be the user's own reply.
    pub own_answer: Option<OwnAnswer>,
    pub mode: Mode,
    pub dry_run: bool,
    pub force: bool,
    /// How soon the model's answer is needed; no part of the work.
    pub urgency: Urgency,
    /// The caller's name for the work, 1 to 255 characters.
    pub external_id: Option<String>,
    pub place: SubmitOptions,
    pub request_id: Arc<str>,
    pub traceparent: Arc<str>,
}

/// When and in which order the job runs.
#[derive(Clone, Debug)]
pub struct SubmitOptions {
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    /// Not before then; `None` is now.
    pub run_at: Option<DateTime<Utc>>,
    pub dedupe: Option<Dedupe>,
}

/// Turns a job into the answer to store and return.
pub type AnswerOf = fn(&JobView, SubmitOutcome) -> StoredAnswer;

impl SubmitTriage {
    fn key(&self) -> RequestKey<'_> {
        RequestKey {
            tenant: self.session.tenant,
            actor: self.session.user,
            operation: self.operation,
            key: &self.key,
        }
    }

    /// The owner of the key, for a map.
    fn own_key(&self) -> (TenantId, UserId, &'static str, String) {
        let session = &self.session;
        (
            session.tenant,
            session.user,
            self.operation,
            self.key.clone(),
        )
    }
}

/// The outcome of a request, with the answer to return.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub answer: StoredAnswer,
    pub how: SubmitOutcome,
    /// Jobs with the same dedupe key that the new job replaced.
    pub replaced: Replaced,
}

impl Submitted {
    /// An answer to a request that replaced no jobs.
    pub fn new(answer: StoredAnswer, how: SubmitOutcome) -> Self {
        Self {
            answer,
            how,
            replaced: Replaced::default(),
        }
    }
}

/// Where the answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// A new job.
    Inserted,
    /// A job that another request submitted.
    Existing,
    /// The stored answer to this very request.
    Replayed,
}

/// Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the first request with this key, or for this work, has not ended yet")]
    InFlight(#[source] sqlx::Error),
    #[error("another request with this dedupe key has not ended yet")]
    DedupeKeyInFlight(#[source] sqlx::Error),
    #[error("the external id names other work, done by job {existing}")]
    ExternalIdReused { existing: JobId },
    /// The work was done so long ago that its result is no longer kept.
    #[error("job {job} did this work and was removed since")]
    Purged { job: JobId },
    #[error("could not execute the request")]
    Unanswered(#[from] CoalesceError),
    #[error("could not submit the job")]
    Database(#[source] sqlx::Error),
}

/// The external id; `None` makes the job work of its own.
fn external_id(request: &SubmitTriage, ruleset_version: i32) -> Option<ExternalId> {
    let mode = request.mode.as_str();
    match &request.external_id {
        // A dry run never takes the external id: it must not block the real run.
        Some(_) if request.dry_run => None,
        // Names the message and the request's options, not the raw bytes: a copy that was fetched another way is the
        // same work.
        Some(id) => Some(ExternalId {
            id: id.clone(),
            fingerprint: Sha256::new()
                .chain_update(request.content_hash)
                .chain_update(mode)
                .finalize()
                .into(),
        }),
        None if request.force => None,
        None => Some(work(
            &request.content_hash,
            ruleset_version,
            request.mode,
            request.dry_run,
        )),
    }
}

/// Names the triage of an email by its content: whether it is submitted or read from a mailbox, it is the same work.
pub(in crate::commands) fn same_work(
    content_hash: &[u8; 32],
    ruleset_version: i32,
    mode: Mode,
) -> ExternalId {
    work(content_hash, ruleset_version, mode, false)
}

fn work(content_hash: &[u8; 32], ruleset_version: i32, mode: Mode, dry_run: bool) -> ExternalId {
    let id = default_name(content_hash, ruleset_version, mode, dry_run);
    ExternalId {
        fingerprint: Sha256::digest(&id).into(),
        id,
    }
}

fn submitted(request: &SubmitTriage, job: JobId, how: SubmitOutcome) -> NewAuditEntry {
    let mut entry = entry(request, AuditAction::JobSubmitted, job).with_detail(
        Detail::new()
            .word("kind", Triage::NAME)
            .word("mode", request.mode.as_str())
            .flag("force", request.force)
            .flag("existing", how == SubmitOutcome::Existing),
    );
    entry.dry_run = request.dry_run;
    entry
}

/// Builds the entries of jobs that the dedupe key replaced.
fn replacements(request: &SubmitTriage, replaced: &Replaced) -> Vec<NewAuditEntry> {
    let ended = replaced.superseded.iter();
    let asked = replaced.cancel_requested.iter();
    ended
        .map(|job| (*job, AuditAction::JobCancelled))
        .chain(asked.map(|job| (*job, AuditAction::JobCancelRequested)))
        .map(|(job, action)| {
            entry(request, action, job).with_detail(Detail::new().word("why", SUPERSEDED))
        })
        .collect()
}

fn entry(request: &SubmitTriage, action: AuditAction, job: JobId) -> NewAuditEntry {
    let mut entry = request
        .session
        .audit(action, ResourceKind::Job, job)
        .with_request(Some(&request.request_id));
    entry = entry.with_trace(telemetry::trace_id(&request.traceparent));
    entry
}

impl From<sqlx::Error> for SubmitError {
    fn from(source: sqlx::Error) -> Self {
        let refused = source
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let context = refused.and_then(PgDatabaseError::r#where);
        if is_lock_timeout(&source) && waited_for_key(context) {
            Self::InFlight(source)
        } else {
            Self::Database(source)
        }
    }
}

impl From<EnqueueError> for SubmitError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::KeyReused { existing } => Self::ExternalIdReused { existing },
            EnqueueError::Database(source) => source.into(),
            EnqueueError::DedupeKeyLocked(source) => Self::DedupeKeyInFlight(source),
            EnqueueError::Batch(source) => sqlx::Error::Protocol(source.to_string()).into(),
            EnqueueError::Coalesce(source) => source.into(),
        }
    }
}

/// Whether Postgres says in the context of an error that it waited for the row of another request's key. While a migration
/// locks a whole table, it names none.
fn waited_for_key(context: Option<&str>) -> bool {
    let waited_in = |table| context.is_some_and(|context| context.contains(table));
    waited_in("relation \"request_keys\"") || waited_in("relation \"job_keys\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_in_flight_only_if_the_row_of_its_key_is_locked() {
        for (context, waited) in [
            (
                r#"while inserting index tuple (0,1) in relation "request_keys""#,
                true,
            ),
            (
                r#"while inserting index tuple (0,1) in relation "job_keys""#,
                true,
            ),
            (r#"while locking tuple (0,2) in relation "jobs""#, false),
        ] {
            assert_eq!(waited_for_key(Some(context)), waited, "{context}");
        }
        assert!(!waited_for_key(None));
    }
}
