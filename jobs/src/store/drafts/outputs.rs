//! Whose words the output of a job has that wrote a draft or sent one: [`is_hidden`].

use crate::domain::{ApiKeyId, session::Reader};
use base::{JobId, TenantId};
use sqlx::PgConnection;

/// Whether the output of this ended job is about a draft that the request may not read. A user or an API key reads what they
/// asked for. What was written without a draft, such as questions, is of the person who asked, else of the one whose mailbox
/// the email came to.
pub async fn is_hidden(
    conn: &mut PgConnection,
    (tenant, reader): (TenantId, Reader),
    key: Option<ApiKeyId>,
    job: JobId,
) -> Result<bool, sqlx::Error> {
    if reader.reads_all {
        return Ok(false);
    }
    sqlx::query_scalar!(
        r#"
        select exists (
            select from finished_jobs job
            left join drafts draft on draft.tenant_id = $1 and job.kind = 'draft.generate'
                and draft.id = coalesce(job.output->>'draft_id', job.args#>>'{base,draft_id}')::uuid
            cross join lateral (
                select case job.kind
                    when 'draft.generate' then case
                        when draft.id is not null then draft.user_id
                        else coalesce(
                            (job.args->>'user')::uuid,
                            (select owner_id from triage_results
                             where tenant_id = $1 and message_id = (job.args->>'message_id')::uuid
                             order by created_at desc, job_id desc limit 1)) end
                    when 'action.execute' then (
                        select owner_id from approvals
                        where tenant_id = $1 and id = (job.output->>'approval_id')::uuid)
                    end as owner
            ) whose
            where job.tenant_id = $1 and job.id = $2 and whose.owner not in (select owners_decided_by($1, $3))
                and ((job.args->>'user')::uuid = $3) is not true and ((job.args->>'api_key')::uuid = $4) is not true
        ) as "is_hidden!"
        "#,
        tenant.0,
        job.0,
        reader.person.map(|user| user.0),
        key.map(|key| key.0),
    )
    .fetch_one(conn)
    .await
}
