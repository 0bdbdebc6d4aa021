//! All that is a person's, in whatever table: listed for an export and deleted by an erasure.
//!
//! The functions `emails_of_user`, `approvals_of_user`, `jobs_of_user`, `effects_of_user` and `history_of_user` know what is a
//! person's, for both.

use crate::domain::UserId;
use base::TenantId;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::PgConnection;

/// Counts the jobs with the person's words that wait or run.
pub async fn unfinished_jobs(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from jobs_of_user($1, $2)
        where state not in ('succeeded', 'discarded', 'cancelled')
        "#,
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Deletes what is the person's; returns how many emails were.
///
/// # Errors
/// When the database refuses, for example a role that does not own the tables.
pub async fn erase(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<i64, sqlx::Error> {
    let emails = sqlx::query_scalar!(
        r#"select erase_user($1, $2) as "emails!""#,
        tenant.0,
        user.0
    )
    .fetch_one(&mut *conn)
    .await?;
    // They have no words any more.
    sqlx::query!(
        "update approvals set owner_id = null where tenant_id = $1 and owner_id = $2",
        tenant.0,
        user.0
    )
    .execute(conn)
    .await?;
    Ok(emails)
}

/// Reads what [`erase`] would delete, as the names of the tables and JSON without secrets; bytes are `\x` and hex digits.
pub fn rows(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> BoxStream<'_, Result<(String, String), sqlx::Error>> {
    sqlx::query!(
        r#"
        with emails as materialized (
            select message_id from emails_of_user($1, $2)
        ), decided as materialized (
            select approval_id from approvals_of_user($1, $2)
        ), work as materialized (
            select job_id from jobs_of_user($1, $2)
        ), accounts as materialized (
            select id as connection_id from connections where tenant_id = $1 and user_id = $2
        )
        select 'users' as "table!", (to_jsonb(t) - 'password_hash')::text as "row!"
        from users t where t.tenant_id = $1 and t.id = $2
        union all
        select 'sessions', to_jsonb(t)::text from sessions t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'delegations', to_jsonb(t)::text from delegations t where t.tenant_id = $1 and $2 in (t.user_id, t.delegate_id)
        union all
        select 'connections', (to_jsonb(t) - array['secret', 'key_id'])::text
        from connections t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'messages', to_jsonb(t)::text from messages t join emails on t.id = emails.message_id where t.tenant_id = $1
        union all
        select 'triage_results', to_jsonb(t)::text from triage_results t join emails using (message_id) where t.tenant_id = $1
        union all
        select 'proposed_actions', to_jsonb(t)::text
        from proposed_actions t join emails using (message_id) where t.tenant_id = $1
        union all
        select 'task_messages', to_jsonb(t)::text from task_messages t join emails using (message_id) where t.tenant_id = $1
        union all
        select 'thread_answers', to_jsonb(t)::text from thread_answers t join emails using (message_id) where t.tenant_id = $1
        union all
        select 'own_messages', to_jsonb(t)::text
        from own_messages t
        where t.tenant_id = $1 and (t.user_id = $2 or t.message_id in (select message_id from emails))
        union all
        select 'drafts', to_jsonb(t)::text from drafts t join decided using (approval_id) where t.tenant_id = $1
        union all
        select 'draft_versions', to_jsonb(t)::text
        from draft_versions t
        join drafts d on d.tenant_id = t.tenant_id and d.id = t.draft_id
        join decided using (approval_id)
        where t.tenant_id = $1
        union all
        select 'approvals', to_jsonb(t)::text
        from approvals t join decided on t.id = decided.approval_id where t.tenant_id = $1
        union all
        select 'judgement_corrections', to_jsonb(t)::text
        from judgement_corrections t
        where t.tenant_id = $1 and (t.user_id = $2 or t.approval_id in (select approval_id from decided))
        union all
        select 'effects', to_jsonb(t)::text
        from effects t join effects_of_user($1, $2) mine on t.id = mine.effect_id where t.tenant_id = $1
        union all
        select 'history_entries', to_jsonb(t)::text
        from history_entries t join history_of_user($1, $2) mine on t.id = mine.entry_id where t.tenant_id = $1
        union all
        select 'inbox_items', to_jsonb(t)::text
        from inbox_items t
        where t.tenant_id = $1 and (t.owner_id = $2 or t.message_id in (select message_id from emails))
        union all
        select 'blocks', to_jsonb(t)::text
        from blocks t
        left join inbox_items i on i.tenant_id = t.tenant_id and i.id = t.inbox_item_id
        where t.tenant_id = $1
            and (t.user_id = $2 or i.owner_id = $2 or i.message_id in (select message_id from emails))
        union all
        select 'follow_ups', to_jsonb(t)::text from follow_ups t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'digests', to_jsonb(t)::text from digests t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'digest_entries', to_jsonb(t)::text from digest_entries t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'client_request_ids', to_jsonb(t)::text from client_request_ids t where t.tenant_id = $1 and t.actor_id = $2
        union all
        select 'memory_items', to_jsonb(t)::text from memory_items t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'mailbox_watches', to_jsonb(t)::text
        from mailbox_watches t join accounts using (connection_id) where t.tenant_id = $1
        union all
        select 'watched_folders', to_jsonb(t)::text
        from watched_folders t join accounts using (connection_id) where t.tenant_id = $1
        union all
        select 'fetched_emails', to_jsonb(t)::text
        from fetched_emails t join accounts using (connection_id) where t.tenant_id = $1
        union all
        select 'subscriptions', to_jsonb(t)::text
        from subscriptions t join accounts using (connection_id) where t.tenant_id = $1
        union all
        select 'job_attempts', to_jsonb(t)::text from job_attempts t join work using (job_id) where t.tenant_id = $1
        union all
        select 'job_events', to_jsonb(t)::text from job_events t join work using (job_id) where t.tenant_id = $1
        union all
        select 'finished_jobs', to_jsonb(t)::text
        from finished_jobs t join work on t.id = work.job_id where t.tenant_id = $1
        "#,
        tenant.0,
        user.0,
    )
    .fetch(conn)
    .map_ok(|row| (row.table, row.row))
    .boxed()
}
