//! A person wants the next version of a draft: [`begin`] says so, and keeps the present version from being approved
//! meanwhile. The version itself is written by the job.

use crate::{
    domain::{
        Action, Actor, Detail, JobId, NewAuditEntry, Session,
        approval::{Status, Step},
        draft::{DraftStatus, DraftStep},
    },
    kinds::draft::Base,
    store::{approvals, audit, drafts},
};
use sqlx::PgConnection;

/// What is revised, by which job, at whose request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) base: Base,
    pub(super) job: JobId,
    pub(super) request_id: &'a str,
}

/// There will be no new version.
#[derive(Debug, thiserror::Error)]
pub enum ReviseError {
    #[error("there is no such draft")]
    NotFound,
    #[error("version {present} is the newest, not {asked}")]
    Stale { asked: i32, present: i32 },
    #[error("the draft is {0}")]
    NotReady(DraftStatus),
    /// A person has agreed to it, or another revision is under way.
    #[error("its approval is {0}")]
    Decided(Status),
    #[error("could not ask for the next version")]
    Database(#[from] sqlx::Error),
}

/// The approval first, then the draft: the order in which everybody locks them.
pub(super) async fn begin(
    conn: &mut PgConnection,
    session: &Session,
    asked: Asked<'_>,
) -> Result<(), ReviseError> {
    let tenant = session.tenant;
    let Base { draft_id, version } = asked.base;
    let seen = drafts::find(conn, tenant, draft_id)
        .await?
        .ok_or(ReviseError::NotFound)?;
    let approval = approvals::lock(conn, tenant, seen.approval)
        .await?
        .ok_or(ReviseError::NotFound)?;
    let draft = drafts::lock(conn, tenant, draft_id)
        .await?
        .ok_or(ReviseError::NotFound)?;
    if draft.version != version {
        return Err(ReviseError::Stale {
            asked: version,
            present: draft.version,
        });
    }
    if draft.status.after(DraftStep::Revise).is_err() {
        return Err(ReviseError::NotReady(draft.status));
    }
    match approval.status {
        Status::Proposed => {
            let editing = approval
                .status
                .after(Step::BeginEdit)
                .map_err(|refused| ReviseError::Decided(refused.status))?;
            let step = (editing, approval.version);
            approvals::set_status(conn, tenant, approval.id, step, Some(session.user)).await?;
            approvals::assign(conn, tenant, approval.id, Some(asked.job)).await?;
        }
        // Nobody waits for that one: the next version gets an approval of its own.
        Status::Skipped | Status::Expired | Status::Failed | Status::Undone => {}
        Status::Editing
        | Status::Approved
        | Status::Executing
        | Status::Executed
        | Status::Undoing => return Err(ReviseError::Decided(approval.status)),
    }
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let action = Action::DRAFT_REVISION_ASKED;
    let entry = NewAuditEntry::new(tenant, actor, action, "draft", draft_id)
        .with_request(Some(asked.request_id))
        .with_detail(
            Detail::new()
                .count("base_version", version)
                .id("by_job", asked.job),
        );
    audit::insert(conn, &[entry]).await?;
    Ok(())
}
