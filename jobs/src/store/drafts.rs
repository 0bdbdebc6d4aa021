//! `drafts`: messages that are written for users. Their content is in `draft_versions`. What a request may read of them is in
//! [`read`].

/// Selects the rows of `$from`, which names `drafts`.
macro_rules! select_drafts {
    ($from:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            StoredDraft,
            r#"
        select drafts.id as "id: DraftId", mode as "mode: DraftMode", message_id as "message: MessageId",
            user_id as "user: UserId", status as "status: DraftStatus", version,
            approval_id as "approval: ApprovalId", created_at, updated_at
        "# + $from,
            $($argument),+
        )
    };
}

pub mod outputs;
pub mod read;
pub mod replies;

use super::own_messages::SupersededDraft;
use crate::domain::{
    ApprovalId, DraftId, MessageId, UserId,
    draft::{DraftMode, DraftStatus},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A draft to insert, before its first version.
#[derive(Clone, Copy, Debug)]
pub struct NewDraft {
    pub id: DraftId,
    pub mode: DraftMode,
    pub message: Option<MessageId>,
    pub user: Option<UserId>,
    pub approval: ApprovalId,
    /// When the original message was sent, if known.
    pub original_sent_at: Option<DateTime<Utc>>,
    /// After how many days without an answer its writer is reminded: 0 never, `None` as the writer usually wants it.
    pub follow_up_days: Option<i16>,
}

/// A stored draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDraft {
    pub id: DraftId,
    pub mode: DraftMode,
    pub message: Option<MessageId>,
    pub user: Option<UserId>,
    pub status: DraftStatus,
    /// The newest version.
    pub version: i32,
    /// The approval of the newest version.
    pub approval: ApprovalId,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Inserts a draft; its approval must exist.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    draft: &NewDraft,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into drafts (tenant_id, id, mode, message_id, user_id, version, approval_id, original_sent_at,
             follow_up_days)
         values ($1, $2, $3, $4, $5, 1, $6, $7, $8)",
        tenant.0,
        draft.id.0,
        draft.mode.as_str(),
        draft.message.map(|id| id.0),
        draft.user.map(|id| id.0),
        draft.approval.0,
        draft.original_sent_at,
        draft.follow_up_days,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DraftId,
) -> Result<Option<StoredDraft>, sqlx::Error> {
    select_drafts!(
        "from drafts where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Like [`find`], and locks the row until the transaction ends. A caller that locks the approval as well locks it
/// first.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DraftId,
) -> Result<Option<StoredDraft>, sqlx::Error> {
    select_drafts!(
        "from drafts where tenant_id = $1 and id = $2 for no key update",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the draft whose newest version this approval is about.
pub async fn of_approval(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<Option<DraftId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: DraftId" from drafts where tenant_id = $1 and approval_id = $2"#,
        tenant.0,
        approval.0,
    )
    .fetch_optional(conn)
    .await
}

/// Sets the next version of a draft that is ready or could not be sent, which makes it ready; `false` if it is neither, or
/// not at version `base` with the approval `former`.
pub async fn supersede(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DraftId,
    (base, former): (i32, ApprovalId),
    approval: ApprovalId,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update drafts set version = version + 1, approval_id = $4, status = 'ready', updated_at = now()
         where tenant_id = $1 and id = $2 and version = $3 and approval_id = $5
             and status in ('ready', 'send_failed')",
        tenant.0,
        id.0,
        base,
        approval.0,
        former.0,
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Sets the status. The caller holds [`lock`] and has called [`DraftStatus::after`].
pub async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DraftId,
    status: DraftStatus,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update drafts set status = $3, updated_at = now() where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets another approval of the newest version. The caller holds [`lock`].
pub async fn set_approval(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: DraftId,
    approval: ApprovalId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update drafts set approval_id = $3, updated_at = now() where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        approval.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists the unsent drafts that follow up this message, in the order in which their approvals are locked.
pub async fn unsent_reminders(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<Vec<SupersededDraft>, sqlx::Error> {
    sqlx::query_as!(
        SupersededDraft,
        r#"
        select id as "draft: DraftId", approval_id as "approval: ApprovalId"
        from drafts
        where tenant_id = $1 and message_id = $2 and mode = 'follow_up'
            and status in ('ready', 'approved', 'scheduled', 'sending', 'send_failed')
        order by approval_id
        "#,
        tenant.0,
        message.0,
    )
    .fetch_all(conn)
    .await
}

/// Whether a reply to this message, or to a copy of it, was sent or may have been: a draft, or an action's own text.
pub async fn answered(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from messages m
            join messages copy on copy.tenant_id = m.tenant_id and copy.content_hash = m.content_hash
            where m.tenant_id = $1 and m.id = $2
                and (exists (
                        select from drafts d
                        where d.tenant_id = $1 and d.message_id = copy.id and d.mode in ('reply', 'reply_all')
                            and d.status in ('sending', 'sent', 'send_unknown')
                            and not exists (
                                select from effects e
                                where e.tenant_id = $1 and e.approval_id = d.approval_id and e.status = 'bounced'))
                    or exists (
                        select from effects e
                        where e.tenant_id = $1 and e.message_id = copy.id and e.type = 'reply'
                            and e.rfc_message_id is not null
                            and e.status in ('in_flight', 'succeeded', 'unknown', 'reconciling', 'needs_human')))
        ) as "answered!"
        "#,
        tenant.0,
        message.0,
    )
    .fetch_one(conn)
    .await
}
