//! Many emails as one job: [`submit_family`]. The job waits for its children, one per email, from the start.

use super::{
    SubmitError, SubmitMany, SubmitOutcome, SubmitTriage, Submitted,
    batch::{Plan, perform, plan},
    claim_key, entry,
    submitter::announce,
};
use crate::{
    domain::{AuditAction, Detail},
    kinds::triage_batch::{Args, Item, TriageBatch},
    store::{audit, request_keys},
};
use base::JobId;
use queue::{
    JobKind, JobState, JobView, NewJob, enqueue::bulk, run::children, signals::notifier::Notifier,
    view::Children,
};
use sqlx::{PgConnection, PgPool};

/// Nothing was submitted.
#[derive(Debug, thiserror::Error)]
pub enum FamilyError {
    #[error("email {index} was refused")]
    Item {
        index: usize,
        #[source]
        source: SubmitError,
    },
    #[error(transparent)]
    Request(#[from] SubmitError),
}

impl From<sqlx::Error> for FamilyError {
    fn from(source: sqlx::Error) -> Self {
        Self::Request(source.into())
    }
}

/// Enqueues the children and their parent in one transaction: all or nothing. An email that was submitted before keeps
/// its job.
///
/// # Errors
/// Then nothing was done, or only the reply was lost: repeat the request with the same key.
///
/// # Panics
/// If there are no items.
pub async fn submit_family(
    pool: &PgPool,
    notifier: &Notifier,
    request: SubmitMany<'_>,
) -> Result<Submitted, FamilyError> {
    let mut tx = pool.begin().await?;
    if let Some(replayed) = claim_key(&mut tx, &request.key, &request.fingerprint).await? {
        return Ok(replayed);
    }
    let parent = JobId::new();
    let Plan { works, at } = plan(&mut tx, request.items, Some(parent), request.answer_of).await?;
    let (done, mut entries) = perform(&mut tx, works, request.answer_of).await?;
    let mut members = Vec::with_capacity(done.len());
    for (index, done) in done.into_iter().enumerate() {
        members.push(done.map_err(|source| FamilyError::Item { index, source })?);
    }
    let speaker = request.items.first().expect("a family has members");
    let job = stand_for(&mut tx, speaker, parent, &members).await?;
    let children = members
        .iter()
        .filter(|(_, submitted)| submitted.how == SubmitOutcome::Inserted)
        .count();
    let mut view = JobView::of_new(&job, at);
    if children > 0 {
        let total = i32::try_from(children).unwrap_or(i32::MAX);
        children::await_children(&mut tx, job.tenant, parent, total).await?;
        view.state = JobState::Scheduled;
        view.children = Some(Children {
            total,
            ended: 0,
            failed: 0,
        });
    }
    let answer = (request.answer_of)(&view, SubmitOutcome::Inserted);
    request_keys::complete(&mut tx, &request.key, &answer).await?;
    let detail = Detail::new().word("kind", TriageBatch::NAME);
    entries.insert(
        0,
        entry(speaker, AuditAction::JobSubmitted, parent).with_detail(detail),
    );
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    for (item, (_, submitted)) in request.items.iter().zip(&members) {
        announce(notifier, item, submitted.how, &submitted.replaced);
    }
    if children == 0 {
        notifier.job_available(TriageBatch::QUEUE);
    }
    Ok(Submitted::new(answer, SubmitOutcome::Inserted))
}

/// Enqueues the parent.
async fn stand_for(
    conn: &mut PgConnection,
    speaker: &SubmitTriage,
    id: JobId,
    members: &[(JobId, Submitted)],
) -> Result<NewJob, sqlx::Error> {
    let item = |(job, submitted): &(JobId, Submitted)| Item {
        job: *job,
        existing: submitted.how != SubmitOutcome::Inserted,
    };
    let args = Args {
        items: members.iter().map(item).collect(),
    };
    let job = NewJob {
        id,
        request_id: Some(speaker.request_id.to_string()),
        client_request_id: speaker.session.client_request(),
        traceparent: Some(speaker.traceparent.to_string()),
        ..NewJob::of::<TriageBatch>(speaker.session.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    };
    // The parent has no external id that could clash.
    bulk::enqueue_many(conn, std::slice::from_ref(&job)).await?;
    Ok(job)
}
