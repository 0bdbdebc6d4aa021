//! The transaction of a batch of submissions: [`submit_all`]. One statement per table, whatever the batch's size.

use super::{
    AnswerOf, SubmitError, SubmitOutcome, SubmitTriage, Submitted, external_id, replacements,
    submitted,
};
use crate::{
    domain::{MessageId, NewAuditEntry},
    kinds::triage::{self, Triage},
    store::{
        audit,
        messages::{self, NewMessage},
        own_messages::{self, NewOwnMessage},
        request_keys::{self, RequestKey, StoredAnswer},
        rule_sets, thread_answers,
    },
};
use base::JobId;
use chrono::{DateTime, Utc};
use queue::{EnqueueError, Enqueued, JobView, NewJob, Replaced, enqueue::bulk, view};
use sqlx::{PgConnection, PgPool};

/// Submits requests with distinct keys; the answers are in the order of `requests`. A refusal concerns one request
/// only. Returns after the commit.
///
/// # Errors
/// If the database refuses the batch: then nothing was done, unless the connection broke, when all of it may be.
pub(super) async fn submit_all(
    pool: &PgPool,
    requests: &[SubmitTriage],
    answer_of: AnswerOf,
) -> Result<Vec<Result<Submitted, SubmitError>>, SubmitError> {
    let mut tx = pool.begin().await?;
    let works = plan(&mut tx, requests, None, answer_of).await?.works;
    let keys: Vec<_> = requests
        .iter()
        .zip(&works)
        .map(|(request, work)| (request.key(), request.fingerprint, &work.answer))
        .collect();
    let claimed = request_keys::many::claim(&mut tx, &keys).await?;
    let (new, taken): (Vec<Work<'_>>, Vec<Work<'_>>) = works
        .into_iter()
        .partition(|work| claimed.contains(&work.request.key()));
    let taken: Vec<&SubmitTriage> = taken.iter().map(|work| work.request).collect();
    let mut replayed = replay(&mut tx, &taken).await?.into_iter();
    if new.is_empty() {
        tx.rollback().await?;
        return Ok(replayed.collect());
    }
    let mut done = submit_claimed(&mut tx, new, answer_of).await?.into_iter();
    tx.commit().await?;
    requests
        .iter()
        .map(|request| {
            let next = if claimed.contains(&request.key()) {
                done.next()
            } else {
                replayed.next()
            };
            next.ok_or_else(|| sqlx::Error::RowNotFound.into())
        })
        .collect()
}

/// Answers the requests whose keys are taken.
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
                Ok(Submitted::new(stored.answer, SubmitOutcome::Replayed))
            } else {
                Err(SubmitError::KeyReused)
            })
        })
        .collect()
}

/// Submits the requests whose keys this transaction claimed, and returns the keys of refused ones.
async fn submit_claimed(
    conn: &mut PgConnection,
    works: Vec<Work<'_>>,
    answer_of: AnswerOf,
) -> Result<Vec<Result<Submitted, SubmitError>>, SubmitError> {
    let keys: Vec<RequestKey<'_>> = works.iter().map(|work| work.request.key()).collect();
    let (done, entries) = perform(conn, works, answer_of).await?;
    let done: Vec<_> = done
        .into_iter()
        .map(|done| done.map(|(_, submitted)| submitted))
        .collect();
    let (mut refused, mut answered) = (Vec::new(), Vec::new());
    for (key, done) in keys.into_iter().zip(&done) {
        match done {
            Ok(submitted) if submitted.how == SubmitOutcome::Inserted => {}
            Ok(submitted) => answered.push((key, &submitted.answer)),
            Err(_) => refused.push(key),
        }
    }
    request_keys::many::complete(conn, &answered).await?;
    request_keys::many::release(conn, &refused).await?;
    audit::insert(conn, &entries).await?;
    Ok(done)
}

/// The rows that the requests add.
pub(super) struct Plan<'a> {
    pub(super) works: Vec<Work<'a>>,
    /// The transaction's time, that of every row it writes.
    pub(super) at: DateTime<Utc>,
}

/// What one request adds if the work is new.
pub(super) struct Work<'a> {
    request: &'a SubmitTriage,
    job: NewJob,
    message: MessageId,
    /// The answer in that case.
    answer: StoredAnswer,
}

/// Plans the rows of the requests, as children of `parent` if there is one; writes nothing.
pub(super) async fn plan<'a>(
    conn: &mut PgConnection,
    requests: &'a [SubmitTriage],
    parent: Option<JobId>,
    answer_of: AnswerOf,
) -> Result<Plan<'a>, sqlx::Error> {
    let tenants: Vec<_> = requests.iter().map(|r| r.session.tenant).collect();
    let active = rule_sets::active_versions(conn, &tenants).await?;
    let work = |request: &'a SubmitTriage| {
        let tenant = request.session.tenant;
        let args = triage::Args {
            message_id: MessageId::new(),
            mode: request.mode,
            dry_run: request.dry_run,
            force: request.force,
            ruleset_version: active.versions.get(&tenant).copied().unwrap_or(0),
            api_key: request.session.api_key(),
            urgency: request.urgency,
        };
        let job = NewJob {
            external: external_id(request, args.ruleset_version),
            priority: request.place.priority,
            run_at: request.place.run_at,
            dedupe: request.place.dedupe.clone(),
            parent,
            request_id: Some(request.request_id.to_string()),
            client_request_id: request.session.client_request(),
            traceparent: Some(request.traceparent.to_string()),
            ..NewJob::of::<Triage>(tenant, &args)
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
        };
        Ok::<_, sqlx::Error>(Work {
            answer: answer_of(&JobView::of_new(&job, active.at), SubmitOutcome::Inserted),
            request,
            job,
            message: args.message_id,
        })
    };
    Ok(Plan {
        works: requests.iter().map(work).collect::<Result<_, _>>()?,
        at: active.at,
    })
}

/// The job of a request and its answer, or the refusal.
pub(super) type Done = Result<(JobId, Submitted), SubmitError>;

/// Writes the planned rows, but for keys and audit entries.
pub(super) async fn perform(
    conn: &mut PgConnection,
    works: Vec<Work<'_>>,
    answer_of: AnswerOf,
) -> Result<(Vec<Done>, Vec<NewAuditEntry>), SubmitError> {
    let (mut jobs, mut rest) = (Vec::new(), Vec::new());
    for work in works {
        jobs.push(work.job);
        rest.push((work.request, work.message, work.answer));
    }
    let (mut entries, mut stored, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = Vec::with_capacity(jobs.len());
    let enqueued = bulk::enqueue_many(conn, &jobs).await?;
    for ((job, enqueued), (request, message, answer)) in jobs.iter().zip(enqueued).zip(rest) {
        let (how, id, replaced) = match enqueued {
            Ok(Enqueued::Inserted(id)) => (SubmitOutcome::Inserted, id, Replaced::default()),
            Ok(Enqueued::Replacing { job, replaced }) => (SubmitOutcome::Inserted, job, replaced),
            Ok(Enqueued::Existing(id)) => (SubmitOutcome::Existing, id, Replaced::default()),
            Err(refused @ EnqueueError::KeyReused { .. }) => {
                done.push(Err(refused.into()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let answer = if how == SubmitOutcome::Inserted {
            stored.push(NewMessage {
                id: message,
                tenant: job.tenant,
                format: request.format,
                source: &request.source,
                content_hash: request.content_hash,
            });
            if let (Some(own_answer), false) = (&request.own_answer, request.dry_run) {
                own.push(NewOwnMessage {
                    tenant: job.tenant,
                    message,
                    own_answer,
                });
            }
            answer
        } else if let Some(existing) = view::find(conn, job.tenant, id).await? {
            answer_of(&existing, how)
        } else {
            done.push(Err(SubmitError::Purged { job: id }));
            continue;
        };
        entries.push(submitted(request, id, how));
        entries.extend(replacements(request, &replaced));
        let submitted = Submitted {
            answer,
            how,
            replaced,
        };
        done.push(Ok((id, submitted)));
    }
    messages::insert(conn, &stored).await?;
    own_messages::insert(conn, &own).await?;
    thread_answers::insert(conn, &own).await?;
    Ok((done, entries))
}
