//! Replies of one user to one email: [`lock`] has two that begin at once wait for each other, [`has_other`] finds the other one.

use crate::domain::{DraftId, EffectId};
use base::TenantId;
use sqlx::PgConnection;

/// Locks the replies to the email that this effect answers until the transaction ends. Returns the draft that it sends; `None` if
/// it is no reply, or has a text of its own.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    effect: EffectId,
) -> Result<Option<DraftId>, sqlx::Error> {
    let found = sqlx::query!(
        r#"
        select pg_advisory_xact_lock(hashtextextended(
                'replies ' || $1::uuid::text || encode(m.content_hash, 'hex'), 0))::text as "locked",
            d.id as "draft?: DraftId"
        from effects e
        left join drafts d on d.tenant_id = e.tenant_id and d.approval_id = e.approval_id and d.mode in ('reply', 'reply_all')
        join messages m on m.tenant_id = e.tenant_id and m.id = coalesce(d.message_id, e.message_id)
        where e.tenant_id = $1 and e.id = $2 and (d.id is not null or e.type = 'reply')
        "#,
        tenant.0,
        effect.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.and_then(|found| found.draft))
}

/// Whether another reply of the same user to the draft's email, or to a copy of it, was sent, may have been or is being sent since
/// the draft's newest version was written: a draft, or an action's own text. Of two that are about to be sent, the one whose
/// effect begins first goes; the caller that begins one holds [`lock`].
pub async fn has_other(
    conn: &mut PgConnection,
    tenant: TenantId,
    draft: DraftId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from drafts d
            join draft_versions v on v.tenant_id = d.tenant_id and v.draft_id = d.id and v.version = d.version
            join messages m on m.tenant_id = d.tenant_id and m.id = d.message_id
            join messages copy on copy.tenant_id = m.tenant_id and copy.content_hash = m.content_hash
            where d.tenant_id = $1 and d.id = $2 and d.mode in ('reply', 'reply_all')
                and (exists (
                        select from drafts other
                        left join effects e on e.tenant_id = other.tenant_id and e.approval_id = other.approval_id
                        where other.tenant_id = $1 and other.message_id = copy.id and other.id <> d.id
                            and other.mode in ('reply', 'reply_all') and other.user_id is not distinct from d.user_id
                            and e.status is distinct from 'bounced'
                            and (other.status in ('sent', 'send_unknown') and other.updated_at > v.created_at
                                or other.status = 'sending' and e.last_tried_at > v.created_at
                                and e.status in ('in_flight', 'succeeded', 'unknown', 'reconciling', 'needs_human')))
                    or exists (
                        select from effects e
                        join connections c on c.tenant_id = e.tenant_id and c.id = e.connection_id
                        where e.tenant_id = $1 and e.message_id = copy.id and e.type = 'reply'
                            and e.rfc_message_id is not null and c.user_id = d.user_id and e.last_tried_at > v.created_at
                            and e.status in ('in_flight', 'succeeded', 'unknown', 'reconciling', 'needs_human')))
        ) as "replied!"
        "#,
        tenant.0,
        draft.0,
    )
    .fetch_one(conn)
    .await
}
