//! Emails that a worker read from a watched folder: [`deliver`] enqueues their triage and moves the folder's cursor in one
//! transaction, so that a crash neither loses an email nor reads one twice.

use super::{
    readers::{KnownEmail, add_items},
    unread::{UnreadEmail, report_emails},
};
use crate::{
    commands::jobs::submit_triage::same_work,
    domain::{
        Actor, AuditAction, ConnectionId, Detail, MessageId, NewAuditEntry, ResourceKind,
        llm::urgency::Urgency,
        mail::{MailFormat, OwnAnswer},
        watch::FolderName,
    },
    kinds::triage::{self, Mode, Triage},
    store::{
        audit,
        messages::{self, NewMessage},
        own_messages::{self, NewOwnMessage},
        rule_sets, thread_answers,
        watches::{
            self, WatchLease,
            folders::{self, Progress},
        },
    },
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use queue::{
    EnqueueError, Enqueued, JobKind, NewJob, enqueue::bulk::enqueue_many,
    signals::notifier::Notifier,
};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;

/// An email as it was read.
#[derive(Debug)]
pub struct FetchedEmail {
    pub id: MessageId,
    pub source: Vec<u8>,
    /// [`Mail::content_hash`](crate::domain::mail::Mail::content_hash).
    pub content_hash: [u8; 32],
    /// In lower case.
    pub sender: Option<String>,
    /// The thread that it belongs to, if it may be the user's own reply.
    pub own_answer: Option<OwnAnswer>,
}

/// Emails of one folder, and where its cursor stands after them.
#[derive(Debug)]
pub struct Delivery<'a> {
    pub folder: &'a FolderName,
    pub emails: Vec<FetchedEmail>,
    /// Emails that are passed over; their user learns of each.
    pub unread: Vec<UnreadEmail>,
    pub progress: Progress,
    pub now: DateTime<Utc>,
    /// How long the lease lasts from then on.
    pub lease: Duration,
}

/// Where emails come from, and who read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) tenant: TenantId,
    pub(super) connection: ConnectionId,
    pub(super) actor: Actor,
    /// For the audit entry.
    pub(super) word: &'static str,
    pub(super) priority: i16,
    pub(super) urgency: Urgency,
}

/// As that of an email that is submitted.
const PRIORITY: i16 = 3;

/// Nothing was delivered, unless only the confirmation of the commit was lost: then the cursor says so.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    #[error("another worker watches the mailbox now, or nobody does")]
    LeaseLost,
    #[error("could not deliver the emails")]
    Database(#[from] sqlx::Error),
}

/// Delivers emails and moves the cursor; returns how many of them are new.
///
/// # Errors
/// If the lease was lost, or the database refuses.
pub async fn deliver(
    pool: &PgPool,
    notifier: &Notifier,
    lease: &WatchLease,
    delivery: Delivery<'_>,
) -> Result<usize, DeliverError> {
    let mut tx = pool.begin().await?;
    if !watches::renew(&mut *tx, lease, delivery.lease).await? {
        return Err(DeliverError::LeaseLost);
    }
    let source = Source {
        tenant: lease.tenant,
        connection: lease.connection,
        actor: Actor::Worker(lease.worker),
        word: "watch",
        priority: PRIORITY,
        urgency: Urgency::Now,
    };
    let new = unknown(&mut tx, &source, delivery.emails).await?;
    let enqueued = enqueue(&mut tx, &source, &new).await?;
    let progress = Progress {
        emails: i64::try_from(new.len()).unwrap_or(i64::MAX),
        ..delivery.progress
    };
    let cursor = &progress.cursor;
    let folder = (delivery.folder, cursor.uid_validity.unwrap_or(0));
    report_emails(&mut tx, lease, folder, &delivery.unread).await?;
    folders::advance(&mut tx, lease, delivery.folder, &progress, delivery.now).await?;
    tx.commit().await?;
    if enqueued > 0 {
        notifier.job_available(Triage::QUEUE);
    }
    Ok(new.len())
}

/// Keeps the emails that were not read before, in whichever folder of the account.
pub(super) async fn unknown(
    conn: &mut PgConnection,
    source: &Source,
    emails: Vec<FetchedEmail>,
) -> Result<Vec<FetchedEmail>, sqlx::Error> {
    if emails.is_empty() {
        return Ok(emails);
    }
    let hashes: Vec<_> = emails
        .iter()
        .map(|email| (email.id, email.content_hash))
        .collect();
    let new = watches::remember(conn, (source.tenant, source.connection), &hashes).await?;
    Ok(emails
        .into_iter()
        .filter(|email| new.contains(&email.id))
        .collect())
}

/// Enqueues the triage of each email; returns how many jobs are new. An email that its user submitted has a job already.
pub(super) async fn enqueue(
    conn: &mut PgConnection,
    source: &Source,
    emails: &[FetchedEmail],
) -> Result<usize, sqlx::Error> {
    if emails.is_empty() {
        return Ok(0);
    }
    let tenant = source.tenant;
    let active = rule_sets::active_versions(conn, &[tenant]).await?;
    let version = active.versions.get(&tenant).copied().unwrap_or(0);
    let mode = Mode::default();
    let job = |email: &FetchedEmail| {
        let args = triage::Args {
            message_id: email.id,
            mode,
            dry_run: false,
            force: false,
            ruleset_version: version,
            api_key: None,
            urgency: source.urgency,
        };
        Ok::<_, serde_json::Error>(NewJob {
            priority: source.priority,
            external: Some(same_work(&email.content_hash, version, mode)),
            ..NewJob::of::<Triage>(tenant, &args)?
        })
    };
    let jobs: Vec<NewJob> = emails
        .iter()
        .map(job)
        .collect::<Result<_, _>>()
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let (mut rows, mut own, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut known = Vec::new();
    for (email, enqueued) in emails.iter().zip(enqueue_many(conn, &jobs).await?) {
        let (id, is_new) = match enqueued {
            Ok(Enqueued::Inserted(id) | Enqueued::Replacing { job: id, .. }) => (id, true),
            // A caller's name for other work may look like ours; the email has a job all the same.
            Ok(Enqueued::Existing(id)) | Err(EnqueueError::KeyReused { existing: id }) => {
                (id, false)
            }
            Err(error) => return Err(error.into()),
        };
        entries.push(entry(source, id, is_new));
        if !is_new {
            known.push(KnownEmail {
                content_hash: &email.content_hash,
                sender: email.sender.as_deref(),
            });
            continue;
        }
        rows.push(NewMessage {
            id: email.id,
            tenant,
            format: MailFormat::Rfc822,
            source: &email.source,
            content_hash: email.content_hash,
        });
        own.extend(email.own_answer.as_ref().map(|own_answer| NewOwnMessage {
            tenant,
            message: email.id,
            own_answer,
        }));
    }
    messages::insert(conn, &rows).await?;
    own_messages::insert(conn, &own).await?;
    thread_answers::insert(conn, &own).await?;
    audit::insert(conn, &entries).await?;
    add_items(conn, (tenant, source.connection), &known).await?;
    Ok(rows.len())
}

fn entry(source: &Source, job: JobId, is_new: bool) -> NewAuditEntry {
    let detail = Detail::new()
        .word("kind", Triage::NAME)
        .word("source", source.word)
        .flag("existing", !is_new);
    NewAuditEntry::new(
        source.tenant,
        source.actor,
        AuditAction::JobSubmitted,
        ResourceKind::Job,
        job,
    )
    .with_detail(detail)
}
