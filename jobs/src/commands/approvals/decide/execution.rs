//! Decisions that enqueue a job: executing an approval, or undoing what was executed.

use super::{DecideError, RequestMeta, offers, on_behalf};
use crate::{
    commands::{approvals::subject::draft::sync_with_decision, drafts::revise::StoppedSend},
    domain::{Session, action::ActionType, approval::Step, draft::DraftStep, effect::EffectStatus},
    kinds::{
        action::{ActionExecute, Args, OnError, Work},
        draft::DraftGenerate,
    },
    store::{
        approvals::{self, StoredApproval},
        effects,
    },
};
use base::JobId;
use chrono::{DateTime, TimeDelta, Utc};
use queue::{
    Enqueued, ExternalId, JobKind, NewJob,
    enqueue::enqueue,
    run::cancel::{Cancelled, cancel},
    signals::notifier::Notifier,
};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

/// How long an executed approval can be undone.
const UNDO_WINDOW: TimeDelta = TimeDelta::hours(24);

/// The signal to other processes, sent after the commit.
pub(in crate::commands) enum Signal {
    None,
    /// A revision was enqueued, and sending the present version was cancelled.
    Drafting {
        stopped: Option<StoppedSend>,
    },
    Available,
    Scheduled,
    Finished(JobId),
    Cancel(JobId),
}

impl Signal {
    pub(in crate::commands) fn send(self, notifier: &Notifier) {
        match self {
            Self::None => {}
            Self::Drafting { stopped } => {
                notifier.job_available(DraftGenerate::QUEUE);
                if let Some(stopped) = stopped {
                    stopped.notify(notifier);
                }
            }
            Self::Available => notifier.job_available(ActionExecute::QUEUE),
            Self::Scheduled => notifier.job_scheduled(ActionExecute::QUEUE),
            Self::Finished(job) => notifier.job_finished(job),
            Self::Cancel(job) => notifier.cancel_requested(job),
        }
    }
}

/// Enqueues the job named by (approval, version): repeating the request finds the same job.
pub(super) async fn approve(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    hold: TimeDelta,
    meta: RequestMeta<'_>,
) -> Result<Signal, DecideError> {
    let next = present.status.after(Step::Approve)?;
    offers(present, "approve", "approved")?;
    let kind = ActionType::parse(&present.kind);
    let Some(kind) = kind else {
        return Err(DecideError::NotOffered {
            what: "executed by this version of Postroom",
        });
    };
    let held_until =
        (kind.spec().executor.is_message() && hold > TimeDelta::zero()).then(|| meta.at + hold);
    let run_at = held_until.max(send_at(present));
    let work = Work::Approval {
        approval_id: present.id,
        version: present.version,
    };
    let name = format!("{}:{}", present.id, present.version);
    let job = follow_up(conn, (session, present), meta, work, name, run_at).await?;
    let step = (next, present.version);
    approvals::set_status(conn, session.tenant, present.id, step, Some(session.user)).await?;
    approvals::assign(conn, session.tenant, present.id, Some(job)).await?;
    let step = if send_at(present).is_some() {
        DraftStep::Schedule
    } else {
        DraftStep::Approve
    };
    sync_with_decision(conn, session.tenant, present.id, step).await?;
    Ok(if run_at.is_some() {
        Signal::Scheduled
    } else {
        Signal::Available
    })
}

/// Reads the time of sending from the payload.
fn send_at(present: &StoredApproval) -> Option<DateTime<Utc>> {
    present.payload["send_at"]
        .as_str()
        .and_then(|text| text.parse().ok())
}

/// Makes a new version, so that a decision on the former one cannot land in this one.
pub(super) async fn revoke(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
) -> Result<Signal, DecideError> {
    let next = present.status.after(Step::Revoke)?;
    let step = (next, present.version + 1);
    approvals::set_status(conn, session.tenant, present.id, step, None).await?;
    approvals::assign(conn, session.tenant, present.id, None).await?;
    sync_with_decision(conn, session.tenant, present.id, DraftStep::Cancel).await?;
    let Some(job) = present.execution_job else {
        return Ok(Signal::None);
    };
    // A worker that has the job but not yet the approval finds the approval changed.
    Ok(match cancel(conn, session.tenant, job).await? {
        Cancelled::Now => Signal::Finished(job),
        Cancelled::Requested => Signal::Cancel(job),
        Cancelled::AlreadyEnded(_) | Cancelled::NotFound => Signal::None,
    })
}

/// Refuses an undo that comes too late.
pub(super) fn in_time(present: &StoredApproval, at: DateTime<Utc>) -> Result<(), DecideError> {
    match present.executed_at {
        Some(done) if at <= done + UNDO_WINDOW => Ok(()),
        _ => Err(DecideError::Expired),
    }
}

/// Undoes only what is compensable.
pub(super) async fn undo(
    conn: &mut PgConnection,
    session: &Session,
    present: &StoredApproval,
    meta: RequestMeta<'_>,
) -> Result<Signal, DecideError> {
    let done = effects::of_approval(conn, session.tenant, present.id).await?;
    let compensable = done.iter().any(|effect| {
        matches!(
            effect.status,
            EffectStatus::Succeeded | EffectStatus::CompensationFailed
        ) && ActionType::parse(&effect.kind).is_some_and(|kind| kind.spec().compensable)
    });
    let next = present.status.after(Step::Undo { compensable })?;
    let work = Work::Undo {
        approval_id: present.id,
    };
    // Each undo is a job of its own: after one that failed another may succeed.
    let name = format!("{}:{}:undo:{}", present.id, present.version, JobId::new());
    let job = follow_up(conn, (session, present), meta, work, name, None).await?;
    approvals::advance(conn, session.tenant, present.id, next, None).await?;
    approvals::assign(conn, session.tenant, present.id, Some(job)).await?;
    Ok(Signal::Available)
}

async fn follow_up(
    conn: &mut PgConnection,
    (session, present): (&Session, &StoredApproval),
    meta: RequestMeta<'_>,
    work: Work,
    name: String,
    run_at: Option<DateTime<Utc>>,
) -> Result<JobId, DecideError> {
    let user = on_behalf::user_of(conn, session, present).await?;
    let args = Args {
        work,
        on_error: OnError::Stop,
        dry_run: false,
        trust: None,
        user: Some(user),
        api_key: None,
    };
    let new = NewJob::of::<ActionExecute>(session.tenant, &args)
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let job = NewJob {
        external: Some(ExternalId {
            fingerprint: Sha256::digest(&name).into(),
            id: name,
        }),
        run_at,
        request_id: Some(meta.request_id.to_owned()),
        client_request_id: session.client_request(),
        traceparent: Some(meta.traceparent.to_owned()),
        ..new
    };
    match enqueue(conn, &job).await.map_err(DecideError::Enqueue)? {
        Enqueued::Inserted(job) | Enqueued::Replacing { job, .. } | Enqueued::Existing(job) => {
            Ok(job)
        }
    }
}
