//! The transaction of a batch of submissions: [`submit_all`]. One statement for each table, however many they are.

use super::{
    AnswerOf, How, SubmitError, SubmitTriage, Submitted, external_id, replacements, submitted,
};
use crate::{
    domain::{MessageId, NewAuditEntry},
    kinds::triage::{self, Triage},
    queue::{EnqueueError, Enqueued, JobView, NewJob, bulk, dedupe::Replaced, read},
    store::{
        audit,
        messages::{self, NewMessage},
        request_keys::{self, RequestKey},
        rule_sets,
    },
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use std::collections::HashMap;

/// Carries out requests of which no two have the same key; the answers' places are those of `requests`. A refusal
/// concerns its own place only. Returns after the commit.
///
/// # Errors
/// If the database refuses the whole: then nothing was done, unless the connection broke, when all of it may be.
pub(super) async fn submit_all(
    pool: &PgPool,
    requests: &[SubmitTriage],
    answer_of: AnswerOf,
) -> Result<Vec<Result<Submitted, SubmitError>>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let keys: Vec<_> = requests.iter().map(|r| (r.key(), r.fingerprint)).collect();
    let claimed = request_keys::many::claim(&mut tx, &keys).await?;
    let (new, taken): (Vec<&SubmitTriage>, Vec<&SubmitTriage>) =
        requests.iter().partition(|r| claimed.contains(&r.key()));
    let mut replayed = replay(&mut tx, &taken).await?.into_iter();
    let Some(at) = claimed.at else {
        tx.rollback().await?;
        return Ok(replayed.collect());
    };
    let mut done = carry_out(&mut tx, &new, at, answer_of).await?.into_iter();
    tx.commit().await?;
    requests
        .iter()
        .map(|request| {
            let next = if claimed.contains(&request.key()) {
                done.next()
            } else {
                replayed.next()
            };
            next.ok_or(sqlx::Error::RowNotFound)
        })
        .collect()
}

/// The answers of requests whose keys are taken.
async fn replay(
    conn: &mut PgConnection,
    requests: &[&SubmitTriage],
) -> Result<Vec<Result<Submitted, SubmitError>>, sqlx::Error> {
    let keys: Vec<RequestKey<'_>> = requests.iter().map(|request| request.key()).collect();
    let mut stored = request_keys::many::find(conn, &keys).await?;
    (0..)
        .zip(requests)
        .map(|(place, request)| {
            let stored = stored.remove(&place).ok_or(sqlx::Error::RowNotFound)?;
            Ok(if stored.fingerprint == request.fingerprint {
                Ok(Submitted {
                    answer: stored.answer,
                    how: How::Replayed,
                    replaced: Replaced::default(),
                })
            } else {
                Err(SubmitError::KeyReused)
            })
        })
        .collect()
}

/// Does what requests ask for whose keys this transaction claimed, or gives the keys back.
async fn carry_out(
    conn: &mut PgConnection,
    requests: &[&SubmitTriage],
    at: DateTime<Utc>,
    answer_of: AnswerOf,
) -> Result<Vec<Result<Submitted, SubmitError>>, sqlx::Error> {
    let (done, entries) = perform(conn, requests, at, answer_of).await?;
    let (mut refused, mut answered) = (Vec::new(), Vec::new());
    for (request, done) in requests.iter().zip(&done) {
        match done {
            Ok(submitted) => answered.push((request.key(), &submitted.answer)),
            Err(_) => refused.push(request.key()),
        }
    }
    request_keys::many::complete(conn, &answered).await?;
    request_keys::many::release(conn, &refused).await?;
    audit::insert(conn, &entries).await?;
    Ok(done)
}

/// Does what requests ask for, and leaves their keys and the audit entries to be written.
pub(super) async fn perform(
    conn: &mut PgConnection,
    requests: &[&SubmitTriage],
    at: DateTime<Utc>,
    answer_of: AnswerOf,
) -> Result<(Vec<Result<Submitted, SubmitError>>, Vec<NewAuditEntry>), sqlx::Error> {
    let outcomes = enqueue(conn, requests, at).await?;
    let mut entries = Vec::new();
    let mut done = Vec::with_capacity(requests.len());
    for (request, outcome) in requests.iter().zip(outcomes) {
        done.push(outcome.map(|Done { job, how, replaced }| {
            entries.push(submitted(request, job.id, how));
            entries.extend(replacements(request, &replaced));
            Submitted {
                answer: answer_of(&job, how),
                how,
                replaced,
            }
        }));
    }
    Ok((done, entries))
}

/// The job that does the work of a request.
struct Done {
    job: JobView,
    how: How,
    replaced: Replaced,
}

/// The job of each request, new or found, with the mails of the new ones.
async fn enqueue(
    conn: &mut PgConnection,
    requests: &[&SubmitTriage],
    at: DateTime<Utc>,
) -> Result<Vec<Result<Done, SubmitError>>, sqlx::Error> {
    let tenants: Vec<_> = requests.iter().map(|r| r.session.tenant).collect();
    let versions = rule_sets::active_versions(conn, &tenants).await?;
    let mut jobs = Vec::with_capacity(requests.len());
    let mut mails = HashMap::with_capacity(requests.len());
    for request in requests {
        let tenant = request.session.tenant;
        let args = triage::Args {
            message_id: MessageId::new(),
            mode: request.mode,
            dry_run: request.dry_run,
            force: request.force,
            ruleset_version: versions.get(&tenant).copied().unwrap_or(0),
        };
        let job = NewJob {
            external: external_id(request, args.ruleset_version),
            priority: request.place.priority,
            run_at: request.place.run_at,
            dedupe: request.place.dedupe.clone(),
            request_id: Some(request.request_id.to_string()),
            traceparent: Some(request.traceparent.to_string()),
            ..NewJob::of::<Triage>(tenant, &args)
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
        };
        mails.insert(
            job.id,
            NewMessage {
                id: args.message_id,
                tenant,
                format: request.format,
                source: &request.source,
                content_hash: request.content_hash,
            },
        );
        jobs.push(job);
    }
    let enqueued = bulk::enqueue_many(conn, &jobs).await?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    let mut new_mails = Vec::with_capacity(jobs.len());
    for (job, enqueued) in jobs.iter().zip(enqueued) {
        let (how, id, replaced) = match enqueued {
            Ok(Enqueued::Inserted(id)) => (How::Inserted, id, Replaced::default()),
            Ok(Enqueued::Replacing { job, replaced }) => (How::Inserted, job, replaced),
            Ok(Enqueued::Existing(id)) => (How::Existing, id, Replaced::default()),
            Err(EnqueueError::KeyReused { existing }) => {
                outcomes.push(Err(SubmitError::ExternalIdReused { existing }));
                continue;
            }
            Err(EnqueueError::Database(source)) => return Err(source),
            Err(error @ (EnqueueError::Batch(_) | EnqueueError::Unanswered(_))) => {
                return Err(sqlx::Error::Encode(Box::new(error)));
            }
        };
        let view = if how == How::Inserted {
            new_mails.extend(mails.remove(&id));
            Some(JobView::of_new(job, at))
        } else {
            read::find(conn, job.tenant, id).await?
        };
        let done = view.map(|job| Done { job, how, replaced });
        outcomes.push(done.ok_or(SubmitError::Purged { job: id }));
    }
    messages::insert(conn, &new_mails).await?;
    Ok(outcomes)
}
