//! An approval in the hands of a worker: [`begin`] before anything is done, [`end`] with the job's outcome, and
//! [`abandon`] for those whose job ended without either.

use crate::{
    commands::approvals::subject::{
        block::{self, Happened},
        draft::{FollowError, follow, follow_if_it_may},
    },
    domain::{
        Action, Actor, ApprovalId, Detail, NewAuditEntry,
        action::canonical_sha256,
        approval::{Refused, Status, Step},
        draft::DraftStep,
    },
    store::{
        approvals::{self, StoredApproval},
        audit,
        history::{self, NewHistoryEntry},
    },
};
use queue::{Job, lease};
use sqlx::{PgConnection, PgPool};

/// Nothing may be done.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another attempt has the job: stop.
    #[error("the attempt does not hold the job any more")]
    NotHeld,
    #[error("there is no such approval")]
    NotFound,
    /// It was revoked, edited or carried out since the job was enqueued.
    #[error("the approval does not stand as it was agreed to")]
    Changed,
    #[error("could not read the approval")]
    Database(#[from] sqlx::Error),
}

/// Takes the approval that was agreed to in this version, or goes on with one that this job took before.
///
/// # Errors
/// [`BeginError::Changed`] if what a person agreed to is not what stands there.
pub async fn begin(
    pool: &PgPool,
    job: &Job,
    id: ApprovalId,
    version: i32,
) -> Result<StoredApproval, BeginError> {
    let (mut tx, present) = held(pool, job, id).await?;
    let intact = canonical_sha256(&present.payload) == present.payload_hash[..];
    let ours = present.execution_job == Some(job.lease.job);
    if present.version != version || !intact || !ours {
        return Err(BeginError::Changed);
    }
    if present.status == Status::Executing {
        return Ok(present);
    }
    let next = present
        .status
        .after(Step::Claim)
        .map_err(|_| BeginError::Changed)?;
    match follow(&mut tx, job.tenant, id, DraftStep::Send).await {
        Ok(()) => {}
        // Discarded, or answered by the person with another program.
        Err(FollowError::Refused(_)) => return Err(BeginError::Changed),
        Err(FollowError::Database(error)) => return Err(error.into()),
    }
    if !block::may_begin(&mut tx, job.tenant, id).await? {
        return Err(BeginError::Changed);
    }
    approvals::advance(&mut tx, job.tenant, id, next, None).await?;
    let entry = entry(job, Action::APPROVAL_BEGUN, &present);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(present)
}

/// The approval whose effects this job is to take back.
///
/// # Errors
/// [`BeginError::Changed`] if that is not asked of this job, or not any more.
pub async fn begin_undo(
    pool: &PgPool,
    job: &Job,
    id: ApprovalId,
) -> Result<StoredApproval, BeginError> {
    let (_, present) = held(pool, job, id).await?;
    if present.status == Status::Undoing && present.execution_job == Some(job.lease.job) {
        Ok(present)
    } else {
        Err(BeginError::Changed)
    }
}

async fn held(
    pool: &PgPool,
    job: &Job,
    id: ApprovalId,
) -> Result<(sqlx::Transaction<'static, sqlx::Postgres>, StoredApproval), BeginError> {
    let mut tx = pool.begin().await?;
    if !lease::hold(&mut tx, job.lease).await? {
        return Err(BeginError::NotHeld);
    }
    let present = approvals::lock(&mut tx, job.tenant, id)
        .await?
        .ok_or(BeginError::NotFound)?;
    Ok((tx, present))
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Executed,
    /// With a code, and what the person is told.
    Failed(String, String),
    /// It may have been done; with a code, and what the person is told.
    Unclear(String, String),
    Undone,
    /// What was done stands, for the reason given.
    NotUndone(String, String),
}

impl Ending {
    const fn step(&self) -> Step {
        match self {
            Self::Executed => Step::Succeed,
            Self::Failed(..) | Self::Unclear(..) => Step::Fail,
            Self::Undone => Step::Compensate,
            Self::NotUndone(..) => Step::FailUndo,
        }
    }

    /// What becomes of the draft that was sent, if one was.
    const fn draft_step(&self) -> Option<DraftStep> {
        match self {
            Self::Executed => Some(DraftStep::Succeed),
            Self::Unclear(..) => Some(DraftStep::Lose),
            Self::Failed(..) => Some(DraftStep::Fail),
            Self::Undone | Self::NotUndone(..) => None,
        }
    }

    /// What became of the event of a block, if it was for one.
    const fn happened(&self) -> Option<Happened> {
        match self {
            Self::Executed => Some(Happened::Made),
            Self::Undone => Some(Happened::TakenBack),
            Self::Failed(..) | Self::Unclear(..) | Self::NotUndone(..) => None,
        }
    }

    const fn verb(&self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Failed(..) | Self::Unclear(..) => "failed",
            Self::Undone => "undone",
            Self::NotUndone(..) => "not_undone",
        }
    }

    const fn failure(&self) -> Option<(&str, &str)> {
        match self {
            Self::Executed | Self::Undone => None,
            Self::Failed(code, message)
            | Self::Unclear(code, message)
            | Self::NotUndone(code, message) => Some((code.as_str(), message.as_str())),
        }
    }
}

/// Writes how it went, in the transaction that settles the job. Nothing is written for an approval that is not in this
/// job's hands any more.
///
/// # Errors
/// When the database refuses.
pub async fn end(
    conn: &mut PgConnection,
    job: &Job,
    id: ApprovalId,
    ending: &Ending,
) -> Result<(), sqlx::Error> {
    let Some(present) = approvals::lock(conn, job.tenant, id).await? else {
        return Ok(());
    };
    let next: Result<Status, Refused> = present.status.after(ending.step());
    let (Ok(next), true) = (next, present.execution_job == Some(job.lease.job)) else {
        return Ok(());
    };
    approvals::advance(conn, job.tenant, id, next, ending.failure()).await?;
    if let Some(step) = ending.draft_step() {
        follow_if_it_may(conn, job.tenant, id, step).await?;
    }
    if let Some(happened) = ending.happened() {
        block::follow(conn, job, id, happened).await?;
    }
    let told = NewHistoryEntry {
        verb: ending.verb(),
        object_kind: "approval",
        object: id.0,
        job: Some(job.lease.job),
        rationale: ending.failure().map_or(&*present.title, |(_, why)| why),
    };
    history::insert(conn, job.tenant, &told).await?;
    let mut entry = entry(job, Action::APPROVAL_ENDED, &present);
    if let Some((code, _)) = ending.failure() {
        entry = entry.failed(code);
    }
    audit::insert(conn, &[entry]).await
}

fn entry(job: &Job, action: Action, approval: &StoredApproval) -> NewAuditEntry {
    let actor = Actor::Worker(job.lease.worker);
    NewAuditEntry::new(job.tenant, actor, action, "approval", approval.id)
        .with_request(job.request_id.as_deref())
        .with_attempt(job.lease.job, job.lease.attempt)
        .with_detail(
            Detail::new()
                .name("type", &approval.kind)
                .count("version", approval.version),
        )
}

/// Takes up to `limit` approvals from jobs that ended without a word, and says how many they were: see
/// [`approvals::abandon`].
///
/// # Errors
/// If the database refuses; then none of them was taken.
pub async fn abandon(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let abandoned = approvals::abandon(&mut tx, i64::from(limit)).await?;
    let mut entries = Vec::with_capacity(abandoned.len());
    for approval in &abandoned {
        let step = match Status::parse(&approval.status) {
            Some(Status::Proposed) => Some(DraftStep::Cancel),
            // Its effect tells more; until somebody has looked it may have been sent.
            Some(Status::Failed) => Some(DraftStep::Lose),
            _ => None,
        };
        if let Some(step) = step {
            follow_if_it_may(&mut tx, approval.tenant, approval.id, step).await?;
        }
        let told = NewHistoryEntry {
            verb: "abandoned",
            object_kind: "approval",
            object: approval.id.0,
            job: None,
            rationale: &approval.title,
        };
        history::insert(&mut tx, approval.tenant, &told).await?;
        let action = Action::APPROVAL_ENDED;
        let id = approval.id;
        entries.push(
            NewAuditEntry::new(approval.tenant, Actor::System, action, "approval", id)
                .with_detail(Detail::new().name("status", &approval.status))
                .failed("job_ended"),
        );
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(u64::try_from(abandoned.len()).unwrap_or(u64::MAX))
}
