//! The drafts that a request may read: see [`Reader`].

use super::StoredDraft;
use crate::domain::{
    ApprovalId, DraftId, MessageId, UserId,
    draft::{DraftMode, DraftStatus},
    session::Reader,
};
use base::TenantId;
use sqlx::PgConnection;
use uuid::Uuid;

/// Filters for [`list`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DraftFilter {
    pub status: Option<DraftStatus>,
    pub message: Option<MessageId>,
}

/// Finds a draft.
pub async fn find(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    id: DraftId,
) -> Result<Option<StoredDraft>, sqlx::Error> {
    select_drafts!(
        "from drafts
        where tenant_id = $1 and id = $2
            and ($3 or coalesce(user_id, '00000000-0000-0000-0000-000000000000') in (select owners_decided_by($1, $4)))",
        tenant.0,
        id.0,
        reader.reads_all,
        reader.person.map(|user| user.0)
    )
    .fetch_optional(conn)
    .await
}

/// Lists drafts, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    filter: DraftFilter,
    before: Option<DraftId>,
    limit: i64,
) -> Result<Vec<StoredDraft>, sqlx::Error> {
    let before = before.map_or(Uuid::max(), |id| id.0);
    if reader.reads_all {
        return select_drafts!(
            "from drafts
            where tenant_id = $1 and ($2::text is null or status = $2) and ($3::uuid is null or message_id = $3) and id < $4
            order by id desc
            limit $5",
            tenant.0,
            filter.status.map(DraftStatus::as_str),
            filter.message.map(|id| id.0),
            before,
            limit
        )
        .fetch_all(conn)
        .await;
    }
    // As the list of approvals.
    select_drafts!(
        "from (
            select theirs.id
            from owners_decided_by($1, $6) readable (owner)
            cross join lateral (
                select d.id from drafts d
                where d.tenant_id = $1 and ($2::text is null or d.status = $2) and ($3::uuid is null or d.message_id = $3)
                    and coalesce(d.user_id, '00000000-0000-0000-0000-000000000000') >= readable.owner
                    and (coalesce(d.user_id, '00000000-0000-0000-0000-000000000000'), d.id) < (readable.owner, $4)
                order by coalesce(d.user_id, '00000000-0000-0000-0000-000000000000') desc, d.id desc
                limit $5) theirs
            order by theirs.id desc
            limit $5) page
        join drafts on drafts.tenant_id = $1 and drafts.id = page.id
        order by drafts.id desc",
        tenant.0,
        filter.status.map(DraftStatus::as_str),
        filter.message.map(|id| id.0),
        before,
        limit,
        reader.person.map(|user| user.0)
    )
    .fetch_all(conn)
    .await
}
