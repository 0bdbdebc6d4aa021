//! Refuses an approval whose execution would certainly fail, at once instead of from a job a moment later: [`check`].

use super::DecideError;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    commands::{record::RecordError, tasks::Tasks},
    domain::{
        AuditAction, Detail, Session,
        action::ActionType,
        approval::Step,
        name::{Name, TITLE_CHARS},
        projects::NAME_CHARS,
    },
    store::{
        approvals::{self, StoredApproval},
        audit,
        history::{self, NewHistoryEntry},
        tasks,
    },
};
use sqlx::PgConnection;

/// Finds why execution would fail: the project has a task with this title already.
pub(super) async fn check(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<Option<RecordError>, sqlx::Error> {
    if present.kind != ActionType::CreateTask.as_str()
        || present.status.after(Step::Approve).is_err()
    {
        return Ok(None);
    }
    let named = |field: &str, most| {
        let text = present.payload["params"][field].as_str()?;
        Some(Name::parse(text, most))
    };
    // The worker refuses names that are not valid, with a better message.
    let Some(Ok(title)) = named("title", TITLE_CHARS) else {
        return Ok(None);
    };
    let project = match named("project", NAME_CHARS) {
        Some(Ok(project)) => Some(project),
        None => None,
        Some(Err(_)) => return Ok(None),
    };
    let taken = tasks::is_taken(conn, session.tenant, project.as_ref(), &title).await?;
    Ok(taken.then(|| Tasks::taken(&title)))
}

/// Ends the approval as failed, with the reason.
pub(super) async fn fail(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    why: RecordError,
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
    let history_entry = NewHistoryEntry {
        verb: HistoryVerb::Failed,
        object_kind: ResourceKind::Approval,
        object: id.0,
        job: Some(present.job),
        rationale: &message,
    };
    history::insert(conn, tenant, &history_entry).await?;
    let entry = session
        .audit(AuditAction::ApprovalEnded, ResourceKind::Approval, id)
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
