//! Revising the draft of an approval: [`revise`].

use super::{DecideError, RequestMeta, execution::Signal, offers};
use crate::{
    commands::drafts::revise,
    domain::{Session, action::ActionType},
    kinds::draft::{Args, Base, DraftGenerate},
    store::{
        approvals::StoredApproval,
        drafts::{self, StoredDraft},
    },
};
use queue::{NewJob, enqueue};
use sqlx::PgConnection;

/// Enqueues the revision; the approval waits for the job, which adds the next version.
pub(super) async fn revise(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    instructions: String,
    meta: RequestMeta<'_>,
) -> Result<Signal, DecideError> {
    offers(present, "edit", "edited")?;
    let Some(draft) = find(conn, session, present).await? else {
        return Err(DecideError::OtherEdit { is_draft: false });
    };
    let base = Base {
        draft_id: draft.id,
        version: draft.version,
    };
    let args = Args::revise(base, instructions.clone(), session.user);
    let job = NewJob {
        request_id: Some(meta.request_id.to_owned()),
        client_request_id: session.client_request(),
        traceparent: Some(meta.traceparent.to_owned()),
        ..NewJob::of::<DraftGenerate>(session.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    };
    let asked = revise::RevisionRequest {
        base,
        job: job.id,
        instructions: &instructions,
        request_id: meta.request_id,
    };
    let stopped = revise::begin(conn, session, asked)
        .await
        .map_err(DecideError::Revise)?;
    // The job has no external id: the approval lets one revision run at a time.
    enqueue::insert(conn, &job).await?;
    Ok(Signal::Drafting { stopped })
}

async fn find(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<Option<StoredDraft>, sqlx::Error> {
    if present.kind != ActionType::SendDraft.as_str() {
        return Ok(None);
    }
    match drafts::of_approval(conn, session.tenant, present.id).await? {
        Some(id) => drafts::find(conn, session.tenant, id).await,
        None => Ok(None),
    }
}
