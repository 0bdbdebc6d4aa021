//! Stores what a person corrected, in the transaction of the decision: [`of_action`] and [`of_draft`]. The next prompts for
//! that person show it.

use crate::{
    domain::{
        Session,
        action::ActionType,
        corrections::{CorrectionKind, NewCorrection, shown_params},
    },
    store::{
        approvals::StoredApproval,
        corrections, draft_versions,
        drafts::{self, StoredDraft},
        triage_results,
    },
};
use serde_json::Value;
use sqlx::PgConnection;

/// Stores that a person rejected or changed a proposal of the model. Proposals of rules and of people teach the model nothing.
pub(crate) async fn of_action(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    changed: Option<&Value>,
) -> Result<(), sqlx::Error> {
    let Some(action) = ActionType::parse(&present.kind) else {
        return Ok(());
    };
    if action == ActionType::SendDraft {
        let Some(id) = drafts::of_approval(conn, session.tenant, present.id).await? else {
            return Ok(());
        };
        return match drafts::find(conn, session.tenant, id).await? {
            Some(draft) => of_draft(conn, session, &draft, None).await,
            None => Ok(()),
        };
    }
    let tenant = session.tenant;
    let Some(email) = triage_results::judged_by_model(conn, tenant, present.job).await? else {
        return Ok(());
    };
    let correction = NewCorrection {
        approval: present.id,
        user: session.user,
        kind: match changed {
            Some(_) => CorrectionKind::Changed,
            None => CorrectionKind::Rejected,
        },
        action,
        email,
        proposed: shown_params(&present.payload["params"]),
        chosen: changed.map(shown_params),
    };
    corrections::put(conn, tenant, &correction.cut()).await
}

/// Stores that a person revised a draft by instructions, or does not want it.
pub(crate) async fn of_draft(
    conn: &mut PgConnection,
    session: &Session,
    draft: &StoredDraft,
    instructions: Option<&str>,
) -> Result<(), sqlx::Error> {
    let tenant = session.tenant;
    let version = draft_versions::find(conn, tenant, draft.id, draft.version).await?;
    let email = match draft.message {
        Some(message) => triage_results::email(conn, tenant, message).await?,
        None => None,
    };
    let correction = NewCorrection {
        approval: draft.approval,
        // A delegate decides for the person whose mailbox it is.
        user: draft.user.unwrap_or(session.user),
        kind: match instructions {
            Some(_) => CorrectionKind::Revised,
            None => CorrectionKind::Discarded,
        },
        action: ActionType::SendDraft,
        email: email.unwrap_or_default(),
        proposed: version.map_or_else(String::new, |version| version.message.body_text),
        chosen: instructions.map(str::to_owned),
    };
    corrections::put(conn, tenant, &correction.cut()).await
}
