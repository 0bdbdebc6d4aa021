//! Executing an approval: [`begin`] before the effects, [`end`] with the job's outcome, and [`abandon`] for approvals
//! whose job ended without either.

use crate::commands::audit::JobAudit;
use crate::domain::ResourceKind;
use crate::domain::history::HistoryVerb;
use crate::{
    commands::approvals::subject::{
        block::{self, EventChange},
        draft::{SyncError, sync_if_possible, sync_with_decision},
    },
    domain::{
        Actor, ApprovalId, AuditAction, Detail, EffectId, NewAuditEntry,
        action::canonical_sha256,
        approval::{Refused, Status, Step},
        draft::DraftStep,
        effect::EffectStatus,
    },
    store::{
        approvals::{self, StoredApproval},
        audit, effects,
        history::{self, NewHistoryEntry},
    },
};
use base::TenantId;
use queue::{Job, lease};
use sqlx::{PgConnection, PgPool};

/// The approval must not be executed.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// Another attempt holds the job: stop.
    #[error("the attempt no longer holds the job")]
    NotHeld,
    #[error("there is no such approval")]
    NotFound,
    /// It was revoked, edited or executed since the job was enqueued.
    #[error("the approval changed after it was approved")]
    Changed,
    #[error("could not read the approval")]
    Database(#[from] sqlx::Error),
}

/// Begins to execute the approval in this version, or resumes what an earlier attempt of this job began.
///
/// # Errors
/// [`BeginError::Changed`] if the approval is not the one that was decided on.
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
    match sync_with_decision(&mut tx, job.lease.tenant, id, DraftStep::Send).await {
        Ok(()) => {}
        // Discarded, or the person has replied with another program.
        Err(SyncError::Refused(_)) => return Err(BeginError::Changed),
        Err(SyncError::Database(error)) => return Err(error.into()),
    }
    if !block::may_begin(&mut tx, job.lease.tenant, id).await? {
        return Err(BeginError::Changed);
    }
    approvals::advance(&mut tx, job.lease.tenant, id, next, None).await?;
    let entry = entry(job, AuditAction::ApprovalBegun, &present);
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(present)
}

/// Returns the approval whose effects this job undoes.
///
/// # Errors
/// [`BeginError::Changed`] if this job is not, or no longer, the one that undoes it.
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
    // In the order of the commands that cancel the job of an approval: the approval first.
    let present = approvals::lock(&mut tx, job.lease.tenant, id).await?;
    if !lease::lock_if_held(&mut tx, job.lease).await? {
        return Err(BeginError::NotHeld);
    }
    Ok((tx, present.ok_or(BeginError::NotFound)?))
}

/// How execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionEnd {
    Executed,
    /// A code, and the message for the person.
    Failed(String, String),
    /// The effect may have happened; a code, and the message for the person.
    Unclear(String, String),
    Undone,
    /// The effect stands, for this reason.
    NotUndone(String, String),
}

impl ExecutionEnd {
    const fn step(&self) -> Step {
        match self {
            Self::Executed => Step::Succeed,
            Self::Failed(..) | Self::Unclear(..) => Step::Fail,
            Self::Undone => Step::Compensate,
            Self::NotUndone(..) => Step::FailUndo,
        }
    }

    /// The step of the draft that was sent, if there is one.
    const fn draft_step(&self) -> Option<DraftStep> {
        match self {
            Self::Executed => Some(DraftStep::Succeed),
            Self::Unclear(..) => Some(DraftStep::Lose),
            Self::Failed(..) => Some(DraftStep::Fail),
            Self::Undone | Self::NotUndone(..) => None,
        }
    }

    /// The change of the block's event, if there is one.
    const fn happened(&self) -> Option<EventChange> {
        match self {
            Self::Executed => Some(EventChange::Made),
            Self::Undone => Some(EventChange::Undone),
            Self::Failed(..) | Self::Unclear(..) | Self::NotUndone(..) => None,
        }
    }

    const fn verb(&self) -> HistoryVerb {
        match self {
            Self::Executed => HistoryVerb::Executed,
            Self::Failed(..) | Self::Unclear(..) => HistoryVerb::Failed,
            Self::Undone => HistoryVerb::Undone,
            Self::NotUndone(..) => HistoryVerb::NotUndone,
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

/// Writes how execution ended, in the transaction that settles the job. Writes nothing if the job no longer holds the
/// approval.
pub async fn end(
    conn: &mut PgConnection,
    job: &Job,
    id: ApprovalId,
    ending: &ExecutionEnd,
) -> Result<(), sqlx::Error> {
    let Some(present) = approvals::lock(conn, job.lease.tenant, id).await? else {
        return Ok(());
    };
    let next: Result<Status, Refused> = present.status.after(ending.step());
    let (Ok(next), true) = (next, present.execution_job == Some(job.lease.job)) else {
        return Ok(());
    };
    approvals::advance(conn, job.lease.tenant, id, next, ending.failure()).await?;
    if let Some(step) = ending.draft_step() {
        sync_if_possible(conn, job.lease.tenant, id, step).await?;
    }
    if let Some(happened) = ending.happened() {
        block::sync_with_decision(conn, job, id, happened).await?;
    }
    let history_entry = NewHistoryEntry {
        verb: ending.verb(),
        object_kind: ResourceKind::Approval,
        object: id.0,
        job: Some(job.lease.job),
        rationale: ending.failure().map_or(&*present.title, |(_, why)| why),
    };
    history::insert(conn, job.lease.tenant, &history_entry).await?;
    let mut entry = entry(job, AuditAction::ApprovalEnded, &present);
    if let Some((code, _)) = ending.failure() {
        entry = entry.failed(code);
    }
    audit::insert(conn, &[entry]).await
}

fn entry(job: &Job, action: AuditAction, approval: &StoredApproval) -> NewAuditEntry {
    job.audit(action, ResourceKind::Approval, approval.id)
        .with_detail(
            Detail::new()
                .name("type", &approval.kind)
                .count("version", approval.version),
        )
}

/// Ends up to `limit` approvals whose job ended without settling them, and returns their number; see
/// [`approvals::abandon`].
///
/// # Errors
/// If the database refuses; then none has ended.
pub async fn abandon(pool: &PgPool, limit: u32) -> Result<u64, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let abandoned = approvals::abandon(&mut tx, i64::from(limit)).await?;
    let mut entries = Vec::with_capacity(abandoned.len());
    for approval in &abandoned {
        let step = match approval.status {
            Status::Proposed => Some(DraftStep::Cancel),
            Status::Failed => {
                let effects = effects::of_approval(&mut tx, approval.tenant, approval.id).await?;
                Some(draft_step_after(effects.iter().map(|effect| effect.status)))
            }
            _ => None,
        };
        if let Some(step) = step {
            sync_if_possible(&mut tx, approval.tenant, approval.id, step).await?;
        }
        // It was undoing: what it had begun to undo can be undone again.
        if approval.status == Status::Executed {
            let failed = effects::fail_compensations(&mut tx, approval.tenant, approval.id).await?;
            entries.extend(failed.into_iter().map(|id| not_undone(approval.tenant, id)));
        }
        let history_entry = NewHistoryEntry {
            verb: HistoryVerb::Abandoned,
            object_kind: ResourceKind::Approval,
            object: approval.id.0,
            job: None,
            rationale: &approval.title,
        };
        history::insert(&mut tx, approval.tenant, &history_entry).await?;
        let action = AuditAction::ApprovalEnded;
        let id = approval.id;
        entries.push(
            NewAuditEntry::new(
                approval.tenant,
                Actor::System,
                action,
                ResourceKind::Approval,
                id,
            )
            .with_detail(Detail::new().word("status", approval.status.as_str()))
            .failed(approvals::JOB_ENDED),
        );
    }
    audit::insert(&mut tx, &entries).await?;
    tx.commit().await?;
    Ok(u64::try_from(abandoned.len()).unwrap_or(u64::MAX))
}

fn not_undone(tenant: TenantId, id: EffectId) -> NewAuditEntry {
    let (action, kind) = (AuditAction::EffectUndone, ResourceKind::Effect);
    NewAuditEntry::new(tenant, Actor::System, action, kind, id)
        .with_detail(Detail::new().word("status", EffectStatus::CompensationFailed.as_str()))
        .failed(approvals::JOB_ENDED)
}

/// Returns the step of a draft whose job ended in the middle: the ledger says how far sending came.
fn draft_step_after(effects: impl IntoIterator<Item = EffectStatus>) -> DraftStep {
    let mut step = DraftStep::Fail;
    for status in effects {
        step = match status {
            EffectStatus::Intent | EffectStatus::Retryable | EffectStatus::FailedPermanent => step,
            EffectStatus::Succeeded
            | EffectStatus::Bounced
            | EffectStatus::Compensating
            | EffectStatus::Compensated
            | EffectStatus::CompensationFailed => return DraftStep::Succeed,
            // Until it is resolved, the message may have been sent.
            EffectStatus::InFlight
            | EffectStatus::Unknown
            | EffectStatus::Reconciling
            | EffectStatus::NeedsHuman => DraftStep::Lose,
        };
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_of_an_ended_job_is_lost_only_if_its_message_may_have_been_sent() {
        use EffectStatus as Effect;
        for (effects, step) in [
            (vec![], DraftStep::Fail),
            (vec![Effect::Intent], DraftStep::Fail),
            (vec![Effect::Retryable], DraftStep::Fail),
            (vec![Effect::FailedPermanent], DraftStep::Fail),
            (
                vec![Effect::InFlight, Effect::FailedPermanent],
                DraftStep::Lose,
            ),
            (vec![Effect::Unknown], DraftStep::Lose),
            (vec![Effect::NeedsHuman], DraftStep::Lose),
            (vec![Effect::Unknown, Effect::Succeeded], DraftStep::Succeed),
            (vec![Effect::Bounced], DraftStep::Succeed),
        ] {
            assert_eq!(draft_step_after(effects.clone()), step, "{effects:?}");
        }
    }
}
