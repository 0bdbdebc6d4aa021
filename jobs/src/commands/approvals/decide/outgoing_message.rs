//! A draft is written anew in the person's words: [`revise`].

use super::{Asking, DecideError, execution::Signal, offers};
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

/// The approval waits for the job, which puts the next version before the person.
pub(super) async fn revise(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    instructions: String,
    asking: Asking<'_>,
) -> Result<Signal, DecideError> {
    offers(present, "edit", "edited")?;
    let Some(draft) = find(conn, session, present).await? else {
        return Err(DecideError::NotOffered {
            what: "changed by instructions",
        });
    };
    let base = Base {
        draft_id: draft.id,
        version: draft.version,
    };
    let args = Args::revise(base, instructions, session.user);
    let job = NewJob {
        request_id: Some(asking.request_id.to_owned()),
        traceparent: Some(asking.traceparent.to_owned()),
        ..NewJob::of::<DraftGenerate>(session.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    };
    let asked = revise::Asked {
        base,
        job: job.id,
        request_id: asking.request_id,
    };
    let stopped = revise::begin(conn, session, asked)
        .await
        .map_err(DecideError::Revise)?;
    // It has no name of its own: the approval lets one revision run at a time.
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
