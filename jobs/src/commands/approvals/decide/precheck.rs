//! What would certainly fail is told when somebody agrees to it, and not by a job a moment later: [`foresee`].

use super::DecideError;
use crate::{
    commands::{record::DeskError, tasks::Tasks},
    domain::{
        Action, Actor, Detail, NewAuditEntry, Session,
        action::ActionType,
        approval::Step,
        desk::{Name, PROJECT_CHARS, TITLE_CHARS},
    },
    store::{
        approvals::{self, StoredApproval},
        audit,
        history::{self, NewHistoryEntry},
        tasks,
    },
};
use sqlx::PgConnection;

/// Why it would fail: a task whose title is another's in its project.
pub(super) async fn foresee(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<Option<DeskError>, sqlx::Error> {
    if present.kind != ActionType::CreateTask.as_str()
        || present.status.after(Step::Approve).is_err()
    {
        return Ok(None);
    }
    let named = |field: &str, most| {
        let text = present.payload["params"][field].as_str()?;
        Some(Name::parse(text, most))
    };
    // What is no name is refused by the worker, which tells more.
    let Some(Ok(title)) = named("title", TITLE_CHARS) else {
        return Ok(None);
    };
    let project = match named("project", PROJECT_CHARS) {
        Some(Ok(project)) => Some(project),
        None => None,
        Some(Err(_)) => return Ok(None),
    };
    let taken = tasks::is_taken(conn, session.tenant, project.as_ref(), &title).await?;
    Ok(taken.then(|| Tasks::taken(&title)))
}

/// Ends the approval as one whose job has failed, and says why.
pub(super) async fn fail(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    why: DeskError,
    request_id: &str,
) -> Result<DecideError, DecideError> {
    let (tenant, id) = (session.tenant, present.id);
    let failed = present
        .status
        .after(Step::Approve)?
        .after(Step::Claim)?
        .after(Step::Fail)?;
    let message = why.user_message();
    let step = (failed, present.version);
    approvals::set_status(conn, tenant, id, step, Some(session.user)).await?;
    approvals::advance(conn, tenant, id, failed, Some((why.code(), &message))).await?;
    let told = NewHistoryEntry {
        verb: "failed",
        object_kind: "approval",
        object: id.0,
        job: Some(present.job),
        rationale: &message,
    };
    history::insert(conn, tenant, &told).await?;
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
    let entry = NewAuditEntry::new(tenant, actor, Action::APPROVAL_ENDED, "approval", id)
        .with_request(Some(request_id))
        .with_detail(
            Detail::new()
                .name("type", &present.kind)
                .count("version", present.version),
        )
        .failed(why.code());
    audit::insert(conn, &[entry]).await?;
    Ok(DecideError::Foreseen(why))
}
