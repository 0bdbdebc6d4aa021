//! Asking for a mail to be triaged: the request's key, the mail, the job, the audit entry and the answer, all in one
//! transaction. Whatever dies before its commit leaves nothing; whatever dies after it has lost only an answer, which
//! the same request gets again. Requests at the same time share that transaction: start with [`Submitter`].
//!
//! Two keys with two meanings: the request's key protects one HTTP request, the job's external id protects the work.

mod batch;
mod family;
mod many;
mod submitter;

pub use family::{FamilyError, submit_family};
pub use many::{SubmitMany, submit_many};
pub use submitter::Submitter;

use crate::{
    domain::{
        Action, Actor, Detail, NewAuditEntry, Session, UserId,
        mail::{MailFormat, Written},
    },
    kinds::triage::{Mode, Triage},
    store::request_keys::{RequestKey, StoredAnswer},
};
use base::{JobId, TenantId, telemetry};
use chrono::{DateTime, Utc};
use queue::{
    Dedupe, ExternalId, JobKind, JobView,
    coalesce::Unanswered,
    enqueue::dedupe::{Replaced, SUPERSEDED},
};
use sha2::{Digest, Sha256};
use std::{fmt::Write as _, sync::Arc};

/// One request to triage one mail.
pub struct SubmitTriage {
    pub session: Session,
    pub operation: &'static str,
    /// The `Idempotency-Key`.
    pub key: String,
    /// Over everything that makes the request what it is.
    pub fingerprint: [u8; 32],
    pub format: MailFormat,
    /// As it was handed in.
    pub source: Vec<u8>,
    pub content_hash: [u8; 32],
    /// What places it in its thread, if it may be somebody's own answer.
    pub written: Option<Written>,
    pub mode: Mode,
    pub dry_run: bool,
    pub force: bool,
    /// The caller's name for the work, 1 to 255 characters.
    pub external_id: Option<String>,
    pub place: PlaceInLine,
    pub request_id: Arc<str>,
    pub traceparent: Arc<str>,
}

/// When it is the job's turn.
#[derive(Clone, Debug)]
pub struct PlaceInLine {
    /// 1 is the most urgent, 4 the least.
    pub priority: i16,
    /// Not before then; `None` is now.
    pub run_at: Option<DateTime<Utc>>,
    pub dedupe: Option<Dedupe>,
}

/// Turns a job into the answer to store and give.
pub type AnswerOf = fn(&JobView, How) -> StoredAnswer;

impl SubmitTriage {
    fn key(&self) -> RequestKey<'_> {
        RequestKey {
            tenant: self.session.tenant,
            actor: self.session.user,
            operation: self.operation,
            key: &self.key,
        }
    }

    /// Whose key, for a map.
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

/// What became of the request, with the answer to give.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub answer: StoredAnswer,
    pub how: How,
    /// Jobs that gave their places to the new one.
    pub replaced: Replaced,
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
    #[error("could not have the request carried out")]
    Unanswered(#[from] Unanswered),
    #[error("could not submit the job")]
    Database(#[source] sqlx::Error),
}

/// What makes two requests the same work; `None` makes this one work of its own.
fn external_id(request: &SubmitTriage, ruleset_version: i32) -> Option<ExternalId> {
    let mode = request.mode.as_str();
    match &request.external_id {
        // A dry run must not stand in the way of the real one, so it never takes the caller's id.
        Some(_) if request.dry_run => None,
        // The mail and what is asked of it, not the bytes it came in: a copy fetched by another way is the same work.
        Some(id) => Some(ExternalId {
            id: id.clone(),
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

fn submitted(request: &SubmitTriage, job: JobId, how: How) -> NewAuditEntry {
    let mut entry = entry(request, Action::JOB_SUBMITTED, job).with_detail(
        Detail::new()
            .word("kind", Triage::NAME)
            .word("mode", request.mode.as_str())
            .flag("force", request.force)
            .flag("existing", how == How::Existing),
    );
    entry.dry_run = request.dry_run;
    entry
}

/// What the request did to jobs with its dedupe key.
fn replacements(request: &SubmitTriage, replaced: &Replaced) -> Vec<NewAuditEntry> {
    let ended = replaced.superseded.iter();
    let asked = replaced.asked_to_stop.iter();
    ended
        .map(|job| (*job, Action::JOB_CANCELLED))
        .chain(asked.map(|job| (*job, Action::JOB_CANCEL_REQUESTED)))
        .map(|(job, action)| {
            entry(request, action, job).with_detail(Detail::new().word("why", SUPERSEDED))
        })
        .collect()
}

fn entry(request: &SubmitTriage, action: Action, job: JobId) -> NewAuditEntry {
    let actor = Actor::User {
        user: request.session.user,
        session: Some(request.session.id),
    };
    let mut entry = NewAuditEntry::new(request.session.tenant, actor, action, "job", job)
        .with_request(Some(&request.request_id));
    entry.trace_id = telemetry::trace_id(&request.traceparent).map(str::to_owned);
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
