//! Withdrawing proposals of a job whose result is replaced. Runs in the transaction that settles the replacing job.

use crate::commands::audit::JobAudit;
use crate::domain::{
    AuditAction, Detail, ResourceKind,
    approval::{Status, Step},
    history::HistoryVerb,
};
use crate::store::{
    approvals, audit,
    history::{self, NewHistoryEntry},
};
use base::JobId;
use queue::Job;
use sqlx::PgConnection;

/// Rejects the approvals that `replaced` proposed and that nobody has decided.
pub async fn withdraw_proposals(
    conn: &mut PgConnection,
    job: &Job,
    replaced: JobId,
) -> Result<(), sqlx::Error> {
    let tenant = job.lease.tenant;
    for id in approvals::undecided_of_job(conn, tenant, replaced).await? {
        let Some(approval) = approvals::lock(conn, tenant, id).await? else {
            continue;
        };
        // A person may have decided it since it was listed.
        if approval.status != Status::Proposed {
            continue;
        }
        let Ok(rejected) = approval.status.after(Step::Reject) else {
            continue;
        };
        let step = (rejected, approval.version + 1);
        approvals::set_status(conn, tenant, id, step, None).await?;
        let entry = NewHistoryEntry {
            verb: HistoryVerb::Superseded,
            object_kind: ResourceKind::Approval,
            object: id.0,
            job: Some(job.lease.job),
            rationale: "The email was judged again.",
        };
        history::insert(conn, tenant, &entry).await?;
        let entry = job
            .audit(AuditAction::ApprovalRejected, ResourceKind::Approval, id)
            .with_detail(Detail::new().id("proposed_by_job", replaced.0));
        audit::insert(conn, &[entry]).await?;
    }
    Ok(())
}
