//! The history as a user sees it: their own entries and those for all users of the tenant, but for drafts and approvals that they
//! may not read.

use crate::domain::{UserId, session::Reader};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub verb: String,
    pub object_kind: String,
    pub object: Uuid,
    pub job: Option<JobId>,
    pub rationale: String,
}

/// Filters for [`list`].
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    pub object_kind: Option<String>,
    pub object: Option<Uuid>,
    pub verb: Option<String>,
    /// At this time or later.
    pub since: Option<DateTime<Utc>>,
}

/// Lists the entries that this user may read, newest first, starting after `before`.
pub async fn list(
    conn: &mut PgConnection,
    (tenant, user, reader): (TenantId, UserId, Reader),
    filter: &HistoryFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<HistoryEntry>, sqlx::Error> {
    sqlx::query_as!(
        HistoryEntry,
        r#"
        select id, at, verb, object_kind, object_id as object, job_id as "job: JobId", rationale
        from history_entries
        where tenant_id = $1 and (user_id is null or user_id = $2)
            and ($3::text is null or object_kind = $3) and ($4::uuid is null or object_id = $4)
            and ($5::text is null or verb = $5) and ($6::timestamptz is null or at >= $6)
            and ($7::uuid is null or id < $7)
            and case object_kind
                when 'draft' then $9 or not exists (
                    select from drafts d
                    where d.tenant_id = $1 and d.id = object_id and d.user_id not in (select owners_decided_by($1, $10)))
                when 'approval' then ($9 or not exists (
                    select from approvals a
                    where a.tenant_id = $1 and a.id = object_id and a.owner_id not in (select owners_decided_by($1, $10))))
                    and not exists (
                        select from blocks b
                        where b.tenant_id = $1 and b.approval_id = object_id and b.user_id is distinct from $10)
                else true end
        order by id desc
        limit $8
        "#,
        tenant.0,
        user.0,
        filter.object_kind.as_deref(),
        filter.object,
        filter.verb.as_deref(),
        filter.since,
        before,
        limit,
        reader.reads_all,
        reader.person.map(|user| user.0),
    )
    .fetch_all(conn)
    .await
}
