//! A person's word on an approval: [`decide_approval`]. The row is locked, the state machine asked, and what changes is
//! written with its audit entry and its line of history, in one transaction.

mod execution;
mod outgoing_message;
mod precheck;

use crate::commands::{drafts::revise::ReviseError, record::DeskError};
use crate::{
    commands::approvals::subject::draft::FollowError,
    domain::{
        Action, Actor, ApprovalId, Detail, NewAuditEntry, Session,
        action::{ActionType, ParamFault},
        approval::{PatchFault, Refused, Status, Step, patch},
        draft::DraftRefused,
        words::words,
    },
    store::{
        approvals::{self, StoredApproval},
        audit,
        history::{self, NewHistoryEntry},
    },
};
use chrono::{DateTime, TimeDelta, Utc};
pub(in crate::commands) use execution::Signal;
use queue::{EnqueueError, signals::notifier::Notifier};
use serde_json::{Map, Value};
use sqlx::{PgConnection, PgPool};

/// What a person wants of an approval.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Reject,
    /// It is carried out by a job. A mail is held back for `hold` before it goes, in which the agreement can be revoked.
    Approve {
        hold: TimeDelta,
    },
    /// Takes an agreement back before a worker has begun.
    Revoke,
    /// Puts these parameters over those that were proposed; a null removes one.
    Edit(Map<String, Value>),
    /// Has the draft written anew, in the person's words; until then nobody can approve it.
    Revise(String),
    /// Undoes a rejection or an execution.
    Undo,
}

words! {
    /// What a person has decided, as it is counted.
    Made {
        Approved = "approved",
        Rejected = "rejected",
        Edited = "edited",
        Revoked = "revoked",
        Undone = "undone",
    }
}

impl Decision {
    pub const fn made(&self) -> Made {
        match self {
            Self::Approve { .. } => Made::Approved,
            Self::Reject => Made::Rejected,
            Self::Edit(_) | Self::Revise(_) => Made::Edited,
            Self::Revoke => Made::Revoked,
            Self::Undo => Made::Undone,
        }
    }
}

/// Which approval, as the person saw it, and what is to become of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub approval: ApprovalId,
    /// The version that was decided on.
    pub version: i32,
    pub decision: Decision,
}

/// The request that decides.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub request_id: &'a str,
    pub traceparent: &'a str,
    pub at: DateTime<Utc>,
}

/// Nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error("there is no such approval")]
    NotFound,
    #[error("version {present} is before the person, not {asked}")]
    Stale { asked: i32, present: i32 },
    #[error("the time to decide is over")]
    Lapsed,
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The approval does not offer this.
    #[error("this approval cannot be {what}")]
    NotOffered { what: &'static str },
    #[error("the draft cannot be revised")]
    Revise(#[source] ReviseError),
    #[error("{} parameters cannot be used", .0.len())]
    Faulty(Vec<ParamFault>),
    /// The draft that it would send has gone elsewhere.
    #[error(transparent)]
    Draft(DraftRefused),
    /// It would certainly fail: the approval has ended so.
    #[error("what was agreed to cannot be done")]
    Foreseen(#[source] DeskError),
    #[error("could not enqueue what was decided")]
    Enqueue(#[source] EnqueueError),
    #[error("could not write the decision down")]
    Database(#[from] sqlx::Error),
}

impl From<FollowError> for DecideError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Refused(refused) => Self::Draft(refused),
            FollowError::Database(source) => Self::Database(source),
        }
    }
}

/// Decides, and gives the approval back as it is then. An approval that is found lapsed is expired on the spot.
///
/// # Errors
/// When the approval is not as the person believes, its state does not allow the decision, or the database refuses.
pub async fn decide_approval(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    ask: Ask,
    asking: Asking<'_>,
) -> Result<StoredApproval, DecideError> {
    let request_id = asking.request_id;
    let tenant = session.tenant;
    let mut tx = pool.begin().await?;
    let present = approvals::lock(&mut tx, tenant, ask.approval)
        .await?
        .ok_or(DecideError::NotFound)?;
    if present.version != ask.version {
        return Err(DecideError::Stale {
            asked: ask.version,
            present: present.version,
        });
    }
    if present.status == Status::Expired {
        return Err(DecideError::Lapsed);
    }
    if present.lapsed && present.status.after(Step::Expire).is_ok() {
        expire(&mut tx, session, &present, request_id).await?;
        tx.commit().await?;
        return Err(DecideError::Lapsed);
    }
    if matches!(ask.decision, Decision::Approve { .. })
        && let Some(why) = precheck::foresee(&mut tx, session, &present).await?
    {
        let refused = precheck::fail(&mut tx, session, &present, why, request_id).await?;
        tx.commit().await?;
        return Err(refused);
    }
    if ask.decision == Decision::Undo && present.status == Status::Executed {
        execution::in_time(&present, asking.at)?;
    }
    let (decided, signal) = decide(&mut tx, session, &present, ask.decision, asking).await?;
    tx.commit().await?;
    signal.send(notifier);
    Ok(decided)
}

/// Decides on an approval that the caller holds, and says what to tell other processes after the commit.
pub(in crate::commands) async fn decide(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    decision: Decision,
    asking: Asking<'_>,
) -> Result<(StoredApproval, Signal), DecideError> {
    let mut signal = Signal::None;
    let told = match decision {
        Decision::Reject => {
            reject(conn, session, present).await?;
            (Action::APPROVAL_REJECTED, "rejected")
        }
        Decision::Approve { hold } => {
            signal = execution::approve(conn, session, present, hold, asking).await?;
            (Action::APPROVAL_APPROVED, "approved")
        }
        Decision::Revoke => {
            signal = execution::revoke(conn, session, present).await?;
            (Action::APPROVAL_REVOKED, "revoked")
        }
        Decision::Edit(changes) => {
            edit(conn, session, present, &changes).await?;
            (Action::APPROVAL_EDITED, "edited")
        }
        Decision::Revise(instructions) => {
            signal = outgoing_message::revise(conn, session, present, instructions, asking).await?;
            (Action::APPROVAL_EDITED, "revision_asked")
        }
        Decision::Undo if present.status == Status::Executed => {
            signal = execution::undo(conn, session, present, asking).await?;
            (Action::APPROVAL_UNDO_ASKED, "undo_asked")
        }
        Decision::Undo => {
            reopen(conn, session, present).await?;
            (Action::APPROVAL_REOPENED, "reopened")
        }
    };
    let decided = tell_decided(conn, session, present.id, told, asking.request_id).await?;
    Ok((decided, signal))
}

/// Writes down that a person decided: the approval as it is now.
pub(in crate::commands) async fn tell_decided(
    conn: &mut PgConnection,
    session: &Session,
    id: ApprovalId,
    (action, verb): (Action, &'static str),
    request_id: &str,
) -> Result<StoredApproval, DecideError> {
    let tenant = session.tenant;
    let decided = approvals::find(conn, tenant, id)
        .await?
        .ok_or(DecideError::NotFound)?;
    let told = NewHistoryEntry {
        verb,
        object_kind: "approval",
        object: decided.id.0,
        job: Some(decided.job),
        rationale: &decided.title,
    };
    history::insert(conn, tenant, &told).await?;
    let actor = Actor::User {
        user: session.user,
        session: Some(session.id),
    };
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
    Ok(())
}

/// A patch is begun and ended at once, so nobody sees the approval being edited.
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
    if present.kind == ActionType::SendDraft.as_str() {
        // Its parameters name a version and its content: another text is another version.
        return Err(DecideError::NotOffered { what: "patched" });
    }
    let patched = patch(&present.payload, changes).map_err(|fault| match fault {
        PatchFault::NoParams => DecideError::NotOffered { what: "patched" },
        PatchFault::Params(faults) => DecideError::Faulty(faults),
    })?;
    let version = present.version + 1;
    approvals::set_payload(conn, session.tenant, present.id, version, &patched).await?;
    Ok(())
}

/// A new version: a decision about the first round must not land in the second.
async fn reopen(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<(), DecideError> {
    let next = present.status.after(Step::Undo { compensable: false })?;
    if present.lapsed {
        return Err(DecideError::Lapsed);
    }
    let step = (next, present.version + 1);
    approvals::set_status(conn, session.tenant, present.id, step, None).await?;
    Ok(())
}

fn offers(present: &StoredApproval, choice: &str, what: &'static str) -> Result<(), DecideError> {
    if present.choices.iter().any(|offered| offered == choice) {
        Ok(())
    } else {
        Err(DecideError::NotOffered { what })
    }
}

/// What the fleet's duty would have done a little later.
async fn expire(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    request_id: &str,
) -> Result<(), DecideError> {
    let step = (Status::Expired, present.version);
    approvals::set_status(conn, session.tenant, present.id, step, None).await?;
    let told = NewHistoryEntry {
        verb: "expired",
        object_kind: "approval",
        object: present.id.0,
        job: Some(present.job),
        rationale: &present.title,
    };
    history::insert(conn, session.tenant, &told).await?;
    let action = Action::APPROVAL_EXPIRED;
    let entry = entry(session, Actor::System, action, present, request_id);
    audit::insert(conn, &[entry]).await?;
    Ok(())
}

fn entry(
    session: &Session,
    actor: Actor,
    action: Action,
    approval: &StoredApproval,
    request_id: &str,
) -> NewAuditEntry {
    NewAuditEntry::new(session.tenant, actor, action, "approval", approval.id)
        .with_request(Some(request_id))
        .with_detail(
            Detail::new()
                .name("type", &approval.kind)
                .count("version", approval.version)
                .id("proposed_by_job", approval.job),
        )
}
