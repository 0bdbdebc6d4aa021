//! Decisions on approvals: [`decide_approval`]. One transaction locks the row, asks the state machine and writes the
//! change with its audit and history entries.

mod execution;
mod on_behalf;
mod outgoing_message;
mod precheck;

use crate::commands::{
    corrections,
    drafts::{
        ownership::{Rights, rights_of},
        revise::ReviseError,
    },
    record::RecordError,
};
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    commands::approvals::subject::draft::SyncError,
    domain::{
        Actor, ApprovalId, AuditAction, Detail, NewAuditEntry, SeenVersions, Session,
        action::{ActionType, ParamFault},
        approval::{PatchFault, Refused, Status, Step, patch},
        draft::DraftRefused,
    },
    store::{
        self,
        approvals::{self, StoredApproval},
        audit, blocks,
        history::{self, NewHistoryEntry},
        tenants,
    },
};
use base::str_enum;
use chrono::{DateTime, TimeDelta, Utc};
pub(in crate::commands) use execution::Signal;
use queue::{EnqueueError, signals::notifier::Notifier};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};

/// A decision on an approval.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Reject,
    /// Executes the action in a job. A message is held back for `hold`, in which the decision can be revoked.
    Approve {
        hold: TimeDelta,
    },
    /// Revokes an approval before a worker has begun.
    Revoke,
    /// Replaces these parameters of the proposal; a null removes one.
    Edit(Map<String, Value>),
    /// Revises the draft by these instructions; until then it cannot be approved.
    Revise(String),
    /// Undoes a rejection or an execution.
    Undo,
}

str_enum! {
    /// The kind of a decision, as it is counted.
    DecisionKind {
        Approved = "approved",
        Rejected = "rejected",
        Edited = "edited",
        Revoked = "revoked",
        Undone = "undone",
    }
}

impl Decision {
    pub const fn made(&self) -> DecisionKind {
        match self {
            Self::Approve { .. } => DecisionKind::Approved,
            Self::Reject => DecisionKind::Rejected,
            Self::Edit(_) | Self::Revise(_) => DecisionKind::Edited,
            Self::Revoke => DecisionKind::Revoked,
            Self::Undo => DecisionKind::Undone,
        }
    }
}

/// A decision on an approval, in the version that the person saw.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRequest {
    pub approval: ApprovalId,
    /// What was decided on.
    pub seen: SeenVersions,
    pub decision: Decision,
}

/// The request that decides.
#[derive(Clone, Copy, Debug)]
pub struct RequestMeta<'a> {
    pub request_id: &'a str,
    pub traceparent: &'a str,
    pub at: DateTime<Utc>,
}

/// Nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// There is none, or the session may not read it.
    #[error("there is no such approval")]
    NotFound,
    #[error("the current version is {present}, which the caller has not seen")]
    Stale { present: i32 },
    /// Its draft, or the account that its edited email would leave from, belongs to another user, who has not made this one a
    /// delegate.
    #[error("the draft or account belongs to another user")]
    NotYours,
    /// The tenant wants another person than the one who asked for the action, themselves or through their API key, or last
    /// edited it.
    #[error("another person must approve what this one requested or edited")]
    OwnRequest,
    #[error("the approval has expired")]
    Expired,
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The approval does not offer this decision.
    #[error("this approval cannot be {what}")]
    NotOffered { what: &'static str },
    /// A draft is changed by instructions only, and nothing else is.
    #[error("this approval is edited with {}", if *.is_draft { "instructions" } else { "a patch" })]
    OtherEdit { is_draft: bool },
    #[error("the draft cannot be revised")]
    Revise(#[source] ReviseError),
    #[error("{} parameters cannot be used", .0.len())]
    Faulty(Vec<ParamFault>),
    /// The draft that it would send has moved on.
    #[error(transparent)]
    Draft(DraftRefused),
    /// Execution would certainly fail; the approval has ended as failed.
    #[error("the action can no longer be executed")]
    Foreseen(#[source] RecordError),
    #[error("could not enqueue the job of the decision")]
    Enqueue(#[source] EnqueueError),
    #[error("could not store the decision")]
    Database(#[from] sqlx::Error),
}

impl From<SyncError> for DecideError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Refused(refused) => Self::Draft(refused),
            SyncError::Database(source) => Self::Database(source),
        }
    }
}

/// Decides on an approval and returns it as it is then. One whose time is over expires at once.
///
/// # Errors
/// If the version is stale, the state does not allow the decision, or the database refuses.
pub async fn decide_approval(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    ask: DecisionRequest,
    meta: RequestMeta<'_>,
) -> Result<StoredApproval, DecideError> {
    let request_id = meta.request_id;
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let present = approvals::lock(&mut tx, tenant, ask.approval)
        .await?
        .ok_or(DecideError::NotFound)?;
    if blocks::books_for_another(&mut tx, tenant, ask.approval, session.person()).await? {
        return Err(DecideError::NotFound);
    }
    let rights = rights_of(&mut tx, session, present.owner).await?;
    if rights == Rights::Nothing {
        return Err(DecideError::NotFound);
    }
    if !ask.seen.include(present.version) {
        return Err(DecideError::Stale {
            present: present.version,
        });
    }
    if present.status == Status::Expired {
        return Err(DecideError::Expired);
    }
    if present.expired && present.status.after(Step::Expire).is_ok() {
        expire(&mut tx, session, &present, request_id).await?;
        tx.commit().await?;
        return Err(DecideError::Expired);
    }
    if rights == Rights::Read {
        return Err(DecideError::NotYours);
    }
    if matches!(ask.decision, Decision::Approve { .. })
        && [present.requested_by, present.key_creator, present.edited_by]
            .contains(&Some(session.user))
        && tenants::settings(&mut tx, tenant).await?.four_eyes
    {
        return Err(DecideError::OwnRequest);
    }
    if matches!(ask.decision, Decision::Approve { .. })
        && let Some(why) = precheck::check(&mut tx, session, &present).await?
    {
        let refused = precheck::fail(&mut tx, session, &present, why, request_id).await?;
        tx.commit().await?;
        return Err(refused);
    }
    if ask.decision == Decision::Undo && present.status == Status::Executed {
        execution::in_time(&present, meta.at)?;
    }
    let (decided, signal) = decide(&mut tx, session, &present, ask.decision, meta).await?;
    tx.commit().await?;
    signal.send(notifier);
    Ok(decided)
}

/// Decides on an approval that the caller has locked, and returns the signal to send after the commit.
pub(in crate::commands) async fn decide(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    decision: Decision,
    meta: RequestMeta<'_>,
) -> Result<(StoredApproval, Signal), DecideError> {
    let mut signal = Signal::None;
    let record = match decision {
        Decision::Reject => {
            reject(conn, session, present).await?;
            (AuditAction::ApprovalRejected, HistoryVerb::Rejected)
        }
        Decision::Approve { hold } => {
            signal = execution::approve(conn, session, present, hold, meta).await?;
            (AuditAction::ApprovalApproved, HistoryVerb::Approved)
        }
        Decision::Revoke => {
            signal = execution::revoke(conn, session, present).await?;
            (AuditAction::ApprovalRevoked, HistoryVerb::Revoked)
        }
        Decision::Edit(changes) => {
            edit(conn, session, present, &changes).await?;
            (AuditAction::ApprovalEdited, HistoryVerb::Edited)
        }
        Decision::Revise(instructions) => {
            signal = outgoing_message::revise(conn, session, present, instructions, meta).await?;
            (AuditAction::ApprovalEdited, HistoryVerb::RevisionRequested)
        }
        Decision::Undo if present.status == Status::Executed => {
            signal = execution::undo(conn, session, present, meta).await?;
            (
                AuditAction::ApprovalUndoRequested,
                HistoryVerb::UndoRequested,
            )
        }
        Decision::Undo => {
            reopen(conn, session, present).await?;
            (AuditAction::ApprovalReopened, HistoryVerb::Reopened)
        }
    };
    let decided = record_decision(conn, session, present.id, record, meta.request_id).await?;
    Ok((decided, signal))
}

/// Writes the history and audit entries of a decision, and returns the approval.
pub(in crate::commands) async fn record_decision(
    conn: &mut PgConnection,
    session: &Session,
    id: ApprovalId,
    (action, verb): (AuditAction, HistoryVerb),
    request_id: &str,
) -> Result<StoredApproval, DecideError> {
    let tenant = session.tenant;
    let decided = approvals::find(conn, tenant, id)
        .await?
        .ok_or(DecideError::NotFound)?;
    let history_entry = NewHistoryEntry {
        verb,
        object_kind: ResourceKind::Approval,
        object: decided.id.0,
        job: Some(decided.job),
        rationale: &decided.title,
    };
    history::insert(conn, tenant, &history_entry).await?;
    let actor = session.actor();
    let entry = entry(session, actor, action, &decided, request_id);
    audit::insert(conn, &[entry]).await?;
    Ok(decided)
}

async fn reject(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<(), DecideError> {
    let next = present.status.after(Step::Reject)?;
    offers(present, "reject", "rejected")?;
    let step = (next, present.version);
    approvals::set_status(conn, session.tenant, present.id, step, Some(session.user)).await?;
    corrections::of_action(conn, session, present, None).await?;
    Ok(())
}

/// Begins and ends the edit in one transaction, so the approval is never seen while it is edited.
async fn edit(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    changes: &Map<String, Value>,
) -> Result<(), DecideError> {
    present
        .status
        .after(Step::BeginEdit)?
        .after(Step::EndEdit)?;
    offers(present, "edit", "edited")?;
    if !on_behalf::may_write(conn, session, present).await? {
        return Err(DecideError::NotYours);
    }
    if present.kind == ActionType::SendDraft.as_str() {
        // Its parameters name a version and its content: another text is another version.
        return Err(DecideError::OtherEdit { is_draft: true });
    }
    let patched = patch(&present.payload, changes).map_err(|fault| match fault {
        PatchFault::NoParams => DecideError::NotOffered { what: "patched" },
        PatchFault::Params(faults) => DecideError::Faulty(faults),
    })?;
    let version = present.version + 1;
    let by = Some(session.user);
    approvals::set_payload(conn, session.tenant, present.id, version, (&patched, by)).await?;
    let params = &patched.payload["params"];
    corrections::of_action(conn, session, present, Some(params)).await?;
    Ok(())
}

/// Makes a new version, so that a decision on the first round cannot land in the second.
async fn reopen(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<(), DecideError> {
    let next = present.status.after(Step::Undo { compensable: false })?;
    if present.expired {
        return Err(DecideError::Expired);
    }
    let step = (next, present.version + 1);
    approvals::set_status(conn, session.tenant, present.id, step, None).await?;
    store::corrections::delete(conn, session.tenant, present.id).await?;
    Ok(())
}

fn offers(present: &StoredApproval, choice: &str, what: &'static str) -> Result<(), DecideError> {
    if present.choices.iter().any(|offered| offered == choice) {
        Ok(())
    } else {
        Err(DecideError::NotOffered { what })
    }
}

/// Expires an approval at once instead of waiting for the duty.
async fn expire(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    request_id: &str,
) -> Result<(), DecideError> {
    let step = (Status::Expired, present.version);
    approvals::set_status(conn, session.tenant, present.id, step, None).await?;
    let history_entry = NewHistoryEntry {
        verb: HistoryVerb::Expired,
        object_kind: ResourceKind::Approval,
        object: present.id.0,
        job: Some(present.job),
        rationale: &present.title,
    };
    history::insert(conn, session.tenant, &history_entry).await?;
    let action = AuditAction::ApprovalExpired;
    let entry = entry(session, Actor::System, action, present, request_id);
    audit::insert(conn, &[entry]).await?;
    Ok(())
}

fn entry(
    session: &Session,
    actor: Actor,
    action: AuditAction,
    approval: &StoredApproval,
    request_id: &str,
) -> NewAuditEntry {
    NewAuditEntry::new(
        session.tenant,
        actor,
        action,
        ResourceKind::Approval,
        approval.id,
    )
    .with_request(Some(request_id))
    .with_client_request(session.client_request_id.as_deref())
    .with_detail(
        Detail::new()
            .name("type", &approval.kind)
            .count("version", approval.version)
            .id("proposed_by_job", approval.job),
    )
}
