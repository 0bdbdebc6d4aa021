//! Booking blocks in the calendar. Booking creates an approval that is approved already, and its job creates the event.
//! Cancelling a booked block undoes the event first.

use super::{BlockCommand, BlockError, Cause, decide_block, find, step_block};
use crate::domain::history::HistoryVerb;
use crate::{
    commands::approvals::decide::{
        DecideError, Decision, RequestMeta, Signal, decide, record_decision,
    },
    domain::{
        ApprovalId, AuditAction, BlockId, SeenVersions, Session,
        action::{ActionType, Params},
        approval::{self, Choice, NewApproval},
        blocks::{Status, Step},
        connection::Settings,
        gate::Confirmation,
        proposal::Proposal,
    },
    kinds::action::{ActionExecute, Args, OnError, Work},
    store::{
        approvals::{self, JOB_ENDED, StoredApproval},
        blocks::{self, StoredBlock},
        connections,
    },
};
use base::JobId;
use chrono::{SecondsFormat, TimeDelta};
use queue::{NewJob, enqueue, signals::notifier::Notifier};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Decide(#[from] DecideError),
    #[error("the user has no calendar")]
    NoCalendar,
    /// Its event is being created or removed right now.
    #[error("the block is being booked or removed")]
    UnderWay,
}

impl From<sqlx::Error> for BookError {
    fn from(source: sqlx::Error) -> Self {
        Self::Block(source.into())
    }
}

/// Books an approved block in the user's calendar. Idempotent.
///
/// # Errors
/// If the version is stale, the block cannot be booked, or the user has no calendar.
pub async fn book_block(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    which: (BlockId, &SeenVersions),
    meta: RequestMeta<'_>,
) -> Result<StoredBlock, BookError> {
    let mut tx = pool.begin().await?;
    let (block, approval) = match held(&mut tx, session, which).await {
        Err(BookError::UnderWay) => {
            // Another request booked it a moment ago.
            return Ok(find(&mut tx, session.tenant, session.user, which.0).await?);
        }
        held => held?,
    };
    let under_way = |status| {
        matches!(
            status,
            approval::Status::Approved | approval::Status::Executing | approval::Status::Executed
        )
    };
    if approval.as_ref().is_some_and(|it| under_way(it.status)) {
        return Ok(block);
    }
    block.status.after(Step::Book).map_err(BlockError::from)?;
    if block.end_at <= meta.at {
        return Err(BlockError::Past.into());
    }
    let own = connections::of_user(&mut tx, session.tenant, session.user).await?;
    if !own
        .iter()
        .any(|found| matches!(found.settings, Settings::Calendar(_)))
    {
        return Err(BookError::NoCalendar);
    }
    if let Some(revoked) = approval.filter(|it| it.status == approval::Status::Proposed) {
        decide(&mut tx, session, &revoked, Decision::Reject, meta).await?;
    }
    agree(&mut tx, session, &block, meta).await?;
    let block = find(&mut tx, session.tenant, session.user, block.id).await?;
    tx.commit().await?;
    Signal::Available.send(notifier);
    Ok(block)
}

/// Cancels an approved block and removes its calendar event. A booked block is cancelled once its event is removed; if that
/// has failed, at once, and the event stays.
///
/// # Errors
/// If the version is stale, or the event is being created or removed.
pub async fn cancel_block(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    which: (BlockId, &SeenVersions),
    meta: RequestMeta<'_>,
) -> Result<StoredBlock, BookError> {
    let mut tx = pool.begin().await?;
    let (block, approval) = held(&mut tx, session, which).await?;
    let Some(approval) = approval else {
        drop(tx);
        let (request_id, at) = (meta.request_id, meta.at);
        return Ok(decide_block(pool, session, which, BlockCommand::Cancel, request_id, at).await?);
    };
    let signal = match (block.status, approval.status) {
        (_, approval::Status::Executing | approval::Status::Undoing) => {
            return Err(BookError::UnderWay);
        }
        // An undo that failed, since the event was changed or its calendar is gone, would fail again: the second cancel gives
        // the time free and leaves the event to the user. One whose job ended halfway has not failed yet.
        (Status::Booked, approval::Status::Executed)
            if matches!(approval.failure_code.as_deref(), None | Some(JOB_ENDED)) =>
        {
            let (_, signal) = decide(&mut tx, session, &approval, Decision::Undo, meta).await?;
            signal
        }
        (_, approval::Status::Approved) => {
            let (open, signal) =
                decide(&mut tx, session, &approval, Decision::Revoke, meta).await?;
            decide(&mut tx, session, &open, Decision::Reject, meta).await?;
            step(&mut tx, session, &block, meta).await?;
            signal
        }
        (_, approval::Status::Proposed) => {
            decide(&mut tx, session, &approval, Decision::Reject, meta).await?;
            step(&mut tx, session, &block, meta).await?;
            Signal::None
        }
        _ => {
            step(&mut tx, session, &block, meta).await?;
            Signal::None
        }
    };
    let block = find(&mut tx, session.tenant, session.user, block.id).await?;
    tx.commit().await?;
    signal.send(notifier);
    Ok(block)
}

/// Locks the block and the approval that books it; the approval first, in the order of execution.
async fn held(
    conn: &mut PgConnection,
    session: &Session,
    (id, seen): (BlockId, &SeenVersions),
) -> Result<(StoredBlock, Option<StoredApproval>), BookError> {
    let (tenant, user) = (session.tenant, session.user);
    let found = find(conn, tenant, user, id).await?;
    let approval = match found.approval {
        Some(approval) => approvals::lock(conn, tenant, approval).await?,
        None => None,
    };
    blocks::lock(conn, tenant, user).await?;
    blocks::hold(conn, tenant, id).await?;
    let present = find(conn, tenant, user, id).await?;
    if !seen.include(present.version) {
        return Err(BlockError::Stale.into());
    }
    if present.approval != found.approval {
        return Err(BookError::UnderWay);
    }
    Ok((present, approval))
}

async fn step(
    conn: &mut PgConnection,
    session: &Session,
    block: &StoredBlock,
    meta: RequestMeta<'_>,
) -> Result<(), BlockError> {
    let cause = Cause {
        actor: session.actor(),
        request_id: Some(meta.request_id),
        client_request_id: session.client_request_id.as_deref(),
        at: meta.at,
    };
    let whose = (session.tenant, session.user);
    step_block(conn, whose, block.id, None, BlockCommand::Cancel, cause).await?;
    Ok(())
}

/// Inserts the approval as approved and enqueues its job.
async fn agree(
    conn: &mut PgConnection,
    session: &Session,
    block: &StoredBlock,
    meta: RequestMeta<'_>,
) -> Result<(), BookError> {
    let tenant = session.tenant;
    let new = event_of(block, meta)?;
    let job = job(session, new.id, meta)?;
    approvals::insert(conn, tenant, job.id, &new).await?;
    let given = (approval::Status::Approved, 1);
    approvals::set_status(conn, tenant, new.id, given, Some(session.user)).await?;
    approvals::assign(conn, tenant, new.id, Some(job.id)).await?;
    blocks::set_approval(conn, tenant, block.id, new.id).await?;
    enqueue::insert(conn, &job).await?;
    let record = (AuditAction::ApprovalApproved, HistoryVerb::Approved);
    record_decision(conn, session, new.id, record, meta.request_id).await?;
    Ok(())
}

fn job(
    session: &Session,
    approval: ApprovalId,
    meta: RequestMeta<'_>,
) -> Result<NewJob, sqlx::Error> {
    let args = Args {
        work: Work::Approval {
            approval_id: approval,
            version: 1,
        },
        on_error: OnError::Stop,
        dry_run: false,
        trust: None,
        user: Some(session.user),
        api_key: None,
    };
    Ok(NewJob {
        id: JobId::new(),
        request_id: Some(meta.request_id.to_owned()),
        client_request_id: session.client_request(),
        traceparent: Some(meta.traceparent.to_owned()),
        ..NewJob::of::<ActionExecute>(session.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    })
}

/// Builds an event as long as the block, in whole minutes. Its external id is the block's, so booking twice makes one
/// event.
fn event_of(block: &StoredBlock, meta: RequestMeta<'_>) -> Result<NewApproval, BookError> {
    let seconds = (block.end_at - block.start_at).num_seconds();
    let minutes = (seconds + 59) / TimeDelta::minutes(1).num_seconds();
    let raw = json!({
        "title": block.title,
        "start": block.start_at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "minutes": minutes.to_string(),
    });
    let kind = ActionType::CreateEvent;
    let params = raw.as_object().map(|raw| Params::read(kind, raw));
    let params = match params {
        Some(Ok(params)) => params,
        Some(Err(faults)) => return Err(DecideError::Faulty(faults).into()),
        None => return Err(BlockError::NotASpan.into()),
    };
    let proposal = Proposal {
        kind,
        params,
        confirmation: Confirmation::Required,
        confidence: 1.0,
        rationale: None,
    };
    let about = NewApproval::about(&proposal, None, "block", kind.spec().risk, meta.at);
    Ok(NewApproval {
        choices: vec![Choice::Approve, Choice::Reject],
        ..about.with_external_id(&format!("block:{}", block.id))
    })
}
