//! The approvals that a request may read: see [`Reader`]. Those that book a block are their block's user's alone.

use super::StoredApproval;
use crate::domain::{ApprovalId, MessageId, UserId, approval::Status, risk::Risk, session::Reader};
use base::{JobId, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Filters for [`list`].
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    pub kind: Option<String>,
    pub status: Option<Status>,
}

/// Finds an approval.
pub async fn find(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    id: ApprovalId,
) -> Result<Option<StoredApproval>, sqlx::Error> {
    select_approvals!(
        "from approvals",
        "where tenant_id = $1 and approvals.id = $2
            and ($3 or coalesce(owner_id, '00000000-0000-0000-0000-000000000000') in (select owners_decided_by($1, $4)))
            and not exists (
                select from blocks b
                where b.tenant_id = $1 and b.approval_id = approvals.id and b.user_id is distinct from $4)",
        tenant.0,
        id.0,
        reader.reads_all,
        reader.person.map(|user| user.0)
    )
    .fetch_optional(conn)
    .await
}

/// Lists approvals, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    filter: &ApprovalFilter,
    before: Option<ApprovalId>,
    limit: i64,
) -> Result<Vec<StoredApproval>, sqlx::Error> {
    let before = before.map_or(Uuid::max(), |id| id.0);
    if reader.reads_all {
        return select_approvals!(
            "from approvals",
            "where tenant_id = $1 and ($2::text is null or kind = $2) and ($3::text is null or status = $3)
                and approvals.id < $4
                and not exists (
                    select from blocks b
                    where b.tenant_id = $1 and b.approval_id = approvals.id and b.user_id is distinct from $6)
            order by approvals.id desc
            limit $5",
            tenant.0,
            filter.kind.as_deref(),
            filter.status.map(Status::as_str),
            before,
            limit,
            reader.person.map(|user| user.0)
        )
        .fetch_all(conn)
        .await;
    }
    // The newest of each owner, so that no more rows of one are read than the page has, and those of others are not passed. As a
    // range, not as an equality, because Postgres would then walk through the tenant's newest instead.
    select_approvals!(
        "from (
            select theirs.id
            from owners_decided_by($1, $6) readable (owner)
            cross join lateral (
                select a.id from approvals a
                where a.tenant_id = $1 and ($2::text is null or a.kind = $2) and ($3::text is null or a.status = $3)
                    and coalesce(a.owner_id, '00000000-0000-0000-0000-000000000000') >= readable.owner
                    and (coalesce(a.owner_id, '00000000-0000-0000-0000-000000000000'), a.id) < (readable.owner, $4)
                    and not exists (
                        select from blocks b
                        where b.tenant_id = $1 and b.approval_id = a.id and b.user_id is distinct from $6)
                order by coalesce(a.owner_id, '00000000-0000-0000-0000-000000000000') desc, a.id desc
                limit $5) theirs
            order by theirs.id desc
            limit $5) page
        join approvals on approvals.tenant_id = $1 and approvals.id = page.id",
        "order by approvals.id desc",
        tenant.0,
        filter.kind.as_deref(),
        filter.status.map(Status::as_str),
        before,
        limit,
        reader.person.map(|user| user.0)
    )
    .fetch_all(conn)
    .await
}
