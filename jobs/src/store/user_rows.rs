//! All that is a person's, in whatever table: listed for an export and deleted by an erasure.
//!
//! The functions `emails_of_user`, `approvals_of_user` and `jobs_of_user` know which emails, approvals and jobs are a person's.

use crate::domain::UserId;
use base::TenantId;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::PgConnection;

/// Counts the jobs with the person's words that wait or run.
///
/// # Errors
/// When the database does not answer.
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
    sqlx::query_scalar!(
        r#"select erase_user($1, $2) as "emails!""#,
        tenant.0,
        user.0
    )
    .fetch_one(conn)
    .await
}

/// Reads what [`erase`] would delete, as the names of the tables and JSON without secrets; bytes are `\x` and hex digits.
pub fn rows(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> BoxStream<'_, Result<(String, String), sqlx::Error>> {
    sqlx::query!(
        r#"
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
        select 'messages', to_jsonb(t)::text
        from messages t where t.tenant_id = $1 and t.id in (select message_id from emails_of_user($1, $2))
        union all
        select 'triage_results', to_jsonb(t)::text
        from triage_results t where t.tenant_id = $1 and t.message_id in (select message_id from emails_of_user($1, $2))
        union all
        select 'drafts', to_jsonb(t)::text from drafts t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'draft_versions', to_jsonb(t)::text
        from draft_versions t
        join drafts d on d.tenant_id = t.tenant_id and d.id = t.draft_id
        where d.tenant_id = $1 and d.user_id = $2
        union all
        select 'approvals', to_jsonb(t)::text
        from approvals t where t.tenant_id = $1 and t.id in (select approval_id from approvals_of_user($1, $2))
        union all
        select 'inbox_items', to_jsonb(t)::text from inbox_items t where t.tenant_id = $1 and t.owner_id = $2
        union all
        select 'follow_ups', to_jsonb(t)::text from follow_ups t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'digests', to_jsonb(t)::text from digests t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'digest_entries', to_jsonb(t)::text from digest_entries t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'blocks', to_jsonb(t)::text from blocks t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'memory_items', to_jsonb(t)::text from memory_items t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'judgement_corrections', to_jsonb(t)::text
        from judgement_corrections t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'history_entries', to_jsonb(t)::text from history_entries t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'proposed_actions', to_jsonb(t)::text
        from proposed_actions t where t.tenant_id = $1 and t.message_id in (select message_id from emails_of_user($1, $2))
        union all
        select 'own_messages', to_jsonb(t)::text from own_messages t where t.tenant_id = $1 and t.user_id = $2
        union all
        select 'effects', to_jsonb(t)::text
        from effects t
        where t.tenant_id = $1 and (
            t.connection_id in (
                select id from connections c where c.tenant_id = $1 and c.user_id = $2 and c.provider <> 'webhook')
            or t.approval_id in (select approval_id from approvals_of_user($1, $2))
            or t.job_id in (select job_id from jobs_of_user($1, $2)))
        union all
        select 'mailbox_watches', to_jsonb(t)::text
        from mailbox_watches t
        join connections c on c.tenant_id = t.tenant_id and c.id = t.connection_id
        where t.tenant_id = $1 and c.user_id = $2
        union all
        select 'fetched_emails', to_jsonb(t)::text
        from fetched_emails t
        join connections c on c.tenant_id = t.tenant_id and c.id = t.connection_id
        where t.tenant_id = $1 and c.user_id = $2
        union all
        select 'subscriptions', to_jsonb(t)::text
        from subscriptions t
        join connections c on c.tenant_id = t.tenant_id and c.id = t.connection_id
        where t.tenant_id = $1 and c.user_id = $2
        union all
        select 'job_attempts', to_jsonb(t)::text
        from job_attempts t where t.tenant_id = $1 and t.job_id in (select job_id from jobs_of_user($1, $2))
        union all
        select 'job_events', to_jsonb(t)::text
        from job_events t where t.tenant_id = $1 and t.job_id in (select job_id from jobs_of_user($1, $2))
        union all
        select 'finished_jobs', to_jsonb(t)::text
        from finished_jobs t where t.tenant_id = $1 and t.id in (select job_id from jobs_of_user($1, $2))
        "#,
        tenant.0,
        user.0,
    )
    .fetch(conn)
    .map_ok(|row| (row.table, row.row))
    .boxed()
}
