//! `llm_answers`: answers that are used again for the same question of the same tenant, as long as the tenant wants.

use base::TenantId;
use serde_json::Value;
use sqlx::PgConnection;

/// What a tenant has for a question.
#[derive(Clone, Debug)]
pub struct CachedAnswer {
    /// The tenant wants answers to be used again.
    pub is_on: bool,
    pub completion: Option<Value>,
}

/// Finds the answer to a question that is not too old.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    question_hash: [u8; 32],
) -> Result<CachedAnswer, sqlx::Error> {
    sqlx::query_as!(
        CachedAnswer,
        r#"
        select answer_cache_seconds is not null as "is_on!",
            (select completion from llm_answers
             where tenant_id = $1 and question_hash = $2
               and created_at > now() - make_interval(secs => answer_cache_seconds)) as completion
        from tenants where id = $1
        "#,
        tenant.0,
        &question_hash,
    )
    .fetch_one(conn)
    .await
}

/// Stores the answer to a question; a newer one takes the place of an older.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    question_hash: [u8; 32],
    completion: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into llm_answers (tenant_id, question_hash, completion) values ($1, $2, $3)
         on conflict (tenant_id, question_hash) do update set completion = excluded.completion, created_at = now()",
        tenant.0,
        &question_hash,
        completion,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes all answers of a tenant.
pub async fn delete_all(conn: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from llm_answers where tenant_id = $1", tenant.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes up to `limit` answers that are too old, in every tenant.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_answers where ctid = any(array(
             select answer.ctid from llm_answers answer
             join tenants on tenants.id = answer.tenant_id
             where answer.created_at <= now() - make_interval(secs => coalesce(answer_cache_seconds, 0))
             order by answer.created_at limit $1
             for update of answer skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
