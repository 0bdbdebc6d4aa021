//! Blocks in the calendar. To book one is a person's word on an event of exactly this time: an approval, given, whose job
//! makes the event. To cancel one that is booked takes the event back first.

use super::{Occasion, ScheduleError, Wish, decide::by, decide_block, find, step_block};
use crate::{
    commands::approvals::decide::{Asking, DecideError, Decision, Signal, decide, tell_decided},
    domain::{
        Action, ApprovalId, BlockId, Session,
        action::{ActionType, Params},
        approval::{self, Choice, NewApproval},
        connection::Settings,
        gate::Confirmation,
        proposal::Proposal,
        schedule::{Status, Step},
    },
    kinds::action::{ActionExecute, Args, OnError, Work},
    store::{
        approvals::{self, StoredApproval},
        connections,
        schedule_blocks::{self, StoredBlock},
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
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Decide(#[from] DecideError),
    #[error("the user has no calendar")]
    NoCalendar,
    /// Its event is being made or taken back just now.
    #[error("the block is being booked or taken back")]
    UnderWay,
}

impl From<sqlx::Error> for BookError {
    fn from(source: sqlx::Error) -> Self {
        Self::Schedule(source.into())
    }
}

/// Has a block that was agreed to put into the user's calendar; asked again, it goes on as before.
///
/// # Errors
/// If the block is not as the user has seen it or cannot be booked, or there is no calendar.
pub async fn book_block(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    which: (BlockId, i32),
    asking: Asking<'_>,
) -> Result<StoredBlock, BookError> {
    let mut tx = pool.begin().await?;
    let (block, approval) = match held(&mut tx, session, which).await {
        Err(BookError::UnderWay) => {
            // Somebody else has asked for the same a moment ago.
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
    block
        .status
        .after(Step::Book)
        .map_err(ScheduleError::from)?;
    if block.end_at <= asking.at {
        return Err(ScheduleError::Past.into());
    }
    let own = connections::of_user(&mut tx, session.tenant, session.user).await?;
    if !own
        .iter()
        .any(|found| matches!(found.settings, Settings::Calendar(_)))
    {
        return Err(BookError::NoCalendar);
    }
    if let Some(revoked) = approval.filter(|it| it.status == approval::Status::Proposed) {
        decide(&mut tx, session, &revoked, Decision::Skip, asking).await?;
    }
    agree(&mut tx, session, &block, asking).await?;
    let block = find(&mut tx, session.tenant, session.user, block.id).await?;
    tx.commit().await?;
    Signal::Available.send(notifier);
    Ok(block)
}

/// Gives the time of a block free. One that is in the calendar is cancelled when its event was taken out of it.
///
/// # Errors
/// If the block is not as the user has seen it, or just on its way into the calendar or out of it.
pub async fn cancel_block(
    pool: &PgPool,
    notifier: &Notifier,
    session: &Session,
    which: (BlockId, i32),
    asking: Asking<'_>,
) -> Result<StoredBlock, BookError> {
    let mut tx = pool.begin().await?;
    let (block, approval) = held(&mut tx, session, which).await?;
    let Some(approval) = approval else {
        drop(tx);
        let (request_id, at) = (asking.request_id, asking.at);
        return Ok(decide_block(pool, session, which, Wish::Cancel, request_id, at).await?);
    };
    let signal = match (block.status, approval.status) {
        (_, approval::Status::Executing | approval::Status::Undoing) => {
            return Err(BookError::UnderWay);
        }
        (Status::Booked, approval::Status::Executed) => {
            let (_, signal) = decide(&mut tx, session, &approval, Decision::Undo, asking).await?;
            signal
        }
        (_, approval::Status::Approved) => {
            let (open, signal) =
                decide(&mut tx, session, &approval, Decision::Revoke, asking).await?;
            decide(&mut tx, session, &open, Decision::Skip, asking).await?;
            step(&mut tx, session, &block, asking).await?;
            signal
        }
        (_, approval::Status::Proposed) => {
            decide(&mut tx, session, &approval, Decision::Skip, asking).await?;
            step(&mut tx, session, &block, asking).await?;
            Signal::None
        }
        _ => {
            step(&mut tx, session, &block, asking).await?;
            Signal::None
        }
    };
    let block = find(&mut tx, session.tenant, session.user, block.id).await?;
    tx.commit().await?;
    signal.send(notifier);
    Ok(block)
}

/// The block, and the approval that books it, both held: the approval first, as whoever carries it out does.
async fn held(
    conn: &mut PgConnection,
    session: &Session,
    (id, version): (BlockId, i32),
) -> Result<(StoredBlock, Option<StoredApproval>), BookError> {
    let (tenant, user) = (session.tenant, session.user);
    let seen = find(conn, tenant, user, id).await?;
    let approval = match seen.approval {
        Some(approval) => approvals::lock(conn, tenant, approval).await?,
        None => None,
    };
    schedule_blocks::lock(conn, tenant, user).await?;
    schedule_blocks::hold(conn, tenant, id).await?;
    let present = find(conn, tenant, user, id).await?;
    if present.version != version {
        return Err(ScheduleError::Stale.into());
    }
    if present.approval != seen.approval {
        return Err(BookError::UnderWay);
    }
    Ok((present, approval))
}

async fn step(
    conn: &mut PgConnection,
    session: &Session,
    block: &StoredBlock,
    asking: Asking<'_>,
) -> Result<(), ScheduleError> {
    let occasion = Occasion {
        actor: by(session),
        request_id: Some(asking.request_id),
        at: asking.at,
    };
    let whose = (session.tenant, session.user);
    step_block(conn, whose, block.id, None, Wish::Cancel, occasion).await?;
    Ok(())
}

/// Writes the approval down as given, and enqueues its job.
async fn agree(
    conn: &mut PgConnection,
    session: &Session,
    block: &StoredBlock,
    asking: Asking<'_>,
) -> Result<(), BookError> {
    let tenant = session.tenant;
    let new = event_of(block, asking)?;
    let job = job(session, new.id, asking)?;
    approvals::insert(conn, tenant, job.id, &new).await?;
    let given = (approval::Status::Approved, 1);
    approvals::set_status(conn, tenant, new.id, given, Some(session.user)).await?;
    approvals::assign(conn, tenant, new.id, Some(job.id)).await?;
    schedule_blocks::set_approval(conn, tenant, block.id, new.id).await?;
    enqueue::insert(conn, &job).await?;
    let told = (Action::APPROVAL_APPROVED, "approved");
    tell_decided(conn, session, new.id, told, asking.request_id).await?;
    Ok(())
}

fn job(session: &Session, approval: ApprovalId, asking: Asking<'_>) -> Result<NewJob, sqlx::Error> {
    let args = Args {
        work: Work::Approval {
            approval_id: approval,
            version: 1,
        },
        on_error: OnError::Stop,
        dry_run: false,
        trust: None,
        user: Some(session.user),
    };
    Ok(NewJob {
        id: JobId::new(),
        request_id: Some(asking.request_id.to_owned()),
        traceparent: Some(asking.traceparent.to_owned()),
        ..NewJob::of::<ActionExecute>(session.tenant, &args)
            .map_err(|error| sqlx::Error::Encode(Box::new(error)))?
    })
}

/// An event as long as the block, in whole minutes. Its name is the block's: however often it is booked, it is one event.
fn event_of(block: &StoredBlock, asking: Asking<'_>) -> Result<NewApproval, BookError> {
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
        None => return Err(ScheduleError::NotASpan.into()),
    };
    let proposal = Proposal {
        kind,
        params,
        confirmation: Confirmation::Required,
        confidence: 1.0,
        rationale: None,
    };
    let about = NewApproval::about(&proposal, None, "schedule", kind.spec().risk, asking.at);
    Ok(NewApproval {
        choices: vec![Choice::Approve, Choice::Skip],
        ..about.under(&format!("schedule_block:{}", block.id))
    })
}
