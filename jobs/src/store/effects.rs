//! `effects`: the ledger of effects on the outside world. Rows are guarded by (job, attempt).

/// Selects the effects that meet `$rest`.
macro_rules! select_effects {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            StoredEffect,
            r#"
        select id as "id: EffectId", type as kind, rfc_message_id as message_id, approval_id as "approval: ApprovalId",
            connection_id as "connection: ConnectionId", status as "status: EffectStatus", job_id as "job: JobId", attempt,
            receipt, before_image, error_code, request_id, payload_hash, created_at, updated_at
        from effects
        where tenant_id = $1 and "# + $rest,
            $($argument),+
        )
    };
}

pub mod bounces;
pub mod by_key;
pub mod read;
mod sending;

pub use sending::{LockedConnection, begin, limited_until, lock_connection};

use crate::domain::{
    ApprovalId, ConnectionId, EffectId,
    effect::{EffectEnd, EffectStatus, NewEffect},
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// A stored effect, without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEffect {
    pub id: EffectId,
    pub kind: String,
    pub message_id: Option<String>,
    pub approval: Option<ApprovalId>,
    /// The connection of the last attempt, if the effect is external.
    pub connection: Option<ConnectionId>,
    pub status: EffectStatus,
    pub job: JobId,
    pub attempt: i32,
    pub receipt: Option<Value>,
    pub before_image: Option<Value>,
    pub error_code: Option<String>,
    pub request_id: Option<String>,
    /// sha256 over the payload.
    pub payload_hash: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The attempt that holds an effect; only it may write the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub tenant: TenantId,
    pub job: JobId,
    pub attempt: i32,
}

/// Inserts an intent; `None` if the key is taken. Waits for a transaction that is inserting the same key.
pub async fn insert(
    conn: &mut PgConnection,
    holder: Holder,
    effect: &NewEffect,
    request_id: Option<&str>,
) -> Result<Option<EffectId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into effects (tenant_id, id, effect_key, type, rendered, rfc_message_id, approval_id, job_id, attempt,
            request_id, payload_hash, message_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        on conflict on constraint effects_key do nothing
        returning id as "id: EffectId"
        "#,
        holder.tenant.0,
        EffectId::new().0,
        &effect.key,
        effect.kind.as_str(),
        effect.rendered.as_deref(),
        effect.message_id.as_deref(),
        effect.approval.map(|id| id.0),
        holder.job.0,
        holder.attempt,
        request_id,
        &effect.payload_hash,
        effect.message.map(|id| id.0),
    )
    .fetch_optional(conn)
    .await
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
) -> Result<Option<StoredEffect>, sqlx::Error> {
    select_effects!("id = $2", tenant.0, id.0)
        .fetch_optional(conn)
        .await
}

/// Like [`find`], and locks the row until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
) -> Result<Option<StoredEffect>, sqlx::Error> {
    select_effects!("id = $2 for update", tenant.0, id.0)
        .fetch_optional(conn)
        .await
}

/// Lists the effects of an approval, oldest first.
pub async fn of_approval(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<Vec<StoredEffect>, sqlx::Error> {
    select_effects!("approval_id = $2 order by id", tenant.0, approval.0)
        .fetch_all(conn)
        .await
}

/// Counts the unknown effects of all tenants that are not closed: in those nobody is left who could resolve them.
pub async fn count_unknown<'c>(executor: impl PgExecutor<'c>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from effects e
        join tenants t on t.id = e.tenant_id
        where e.status in ('unknown', 'reconciling', 'needs_human') and t.status <> 'closed'
        "#
    )
    .fetch_one(executor)
    .await
}

/// Locks the effect with this key until the transaction ends.
pub async fn lock_by_key(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<StoredEffect, sqlx::Error> {
    select_effects!("effect_key = $2 for update", tenant.0, key)
        .fetch_one(conn)
        .await
}

/// Moves an effect from `from` to `to` and gives it to `holder`. False if it is not `from` any more.
pub async fn take(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    (from, to): (EffectStatus, EffectStatus),
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update effects set status = $4, job_id = $5, attempt = $6, updated_at = now()
         where tenant_id = $1 and id = $2 and status = $3",
        holder.tenant.0,
        id.0,
        from.as_str(),
        to.as_str(),
        holder.job.0,
        holder.attempt,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives an intent that was certainly not executed to `holder`. A payload that was tried keeps its rendered bytes. One that
/// only waited is rendered anew, or its date and its account could be old; so is another payload under the same key.
pub async fn renew(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    effect: &NewEffect,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update effects set status = 'intent', job_id = $3, attempt = $4, error_code = null, updated_at = now(),
             rendered = case when known.is_same then coalesce(rendered, $6) else $6 end,
             rfc_message_id = case when known.is_same then rfc_message_id else $7 end,
             approval_id = $8, message_id = $9, payload_hash = $5
         from (select payload_hash = $5 and status <> 'failed_permanent'
                   and last_tried_at is not null and coalesce(connection_id = $10, true) as is_same
               from effects where tenant_id = $1 and id = $2) known
         where tenant_id = $1 and id = $2",
        holder.tenant.0,
        id.0,
        holder.job.0,
        holder.attempt,
        &effect.payload_hash,
        effect.rendered.as_deref(),
        effect.message_id.as_deref(),
        effect.approval.map(|id| id.0),
        effect.message.map(|id| id.0),
        effect.connection.map(|id| id.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets the status of an effect that the caller has locked.
pub async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
    status: EffectStatus,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update effects set status = $3, updated_at = now() where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes the outcome of an attempt. False, and nothing is written, if `holder` does not have it in flight any more.
pub async fn end(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    (to, end): (EffectStatus, &EffectEnd),
) -> Result<bool, sqlx::Error> {
    let (receipt, before_image) = match end {
        EffectEnd::Succeeded {
            receipt,
            before_image,
        } => (Some(receipt), before_image.as_ref()),
        EffectEnd::FailedPermanent { .. }
        | EffectEnd::Retryable { .. }
        | EffectEnd::Unknown { .. } => (None, None),
    };
    let done = sqlx::query!(
        "update effects
         set status = $5, receipt = $6, before_image = $7, error_code = $8, updated_at = now(),
             server_message_id = coalesce(nullif($6::jsonb ->> 'server_message_id', rfc_message_id), server_message_id)
         where tenant_id = $1 and id = $2 and status = 'in_flight' and job_id = $3 and attempt = $4",
        holder.tenant.0,
        id.0,
        holder.job.0,
        holder.attempt,
        to.as_str(),
        receipt,
        before_image,
        end.code(),
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the undoing of this approval's effects without an outcome: it may be tried again. Returns the effects.
pub async fn fail_compensations(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<Vec<EffectId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update effects set status = 'compensation_failed', updated_at = now()
           where tenant_id = $1 and approval_id = $2 and status = 'compensating'
           returning id as "id: EffectId""#,
        tenant.0,
        approval.0,
    )
    .fetch_all(conn)
    .await
}

/// Writes the provider's answer about an effect that the caller has locked.
pub async fn acknowledge(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    (receipt, before_image): (&Value, Option<&Value>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update effects set status = 'succeeded', job_id = $3, attempt = $4, receipt = $5, before_image = $6,
             error_code = null, updated_at = now()
         where tenant_id = $1 and id = $2",
        holder.tenant.0,
        id.0,
        holder.job.0,
        holder.attempt,
        receipt,
        before_image,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Finds the status of the effect with this key.
pub async fn status_of_key<'c>(
    executor: impl PgExecutor<'c>,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<Option<EffectStatus>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select status as "status: EffectStatus" from effects where tenant_id = $1 and effect_key = $2"#,
        tenant.0,
        key,
    )
    .fetch_optional(executor)
    .await
}

/// Finds the rendered bytes, if there are any.
pub async fn rendered<'c>(
    executor: impl PgExecutor<'c>,
    tenant: TenantId,
    id: EffectId,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select rendered from effects where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
    )
    .fetch_optional(executor)
    .await?;
    Ok(found.flatten())
}

/// Whether [`lose`] may find something.
pub async fn any_open<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(select from effects where status in ('intent', 'in_flight')) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// An effect whose holder is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub tenant: TenantId,
    pub id: EffectId,
    pub job: JobId,
    pub attempt: i32,
    pub kind: String,
    /// Its new status.
    pub status: EffectStatus,
    pub request_id: Option<String>,
}

/// Takes up to `limit` effects from holders that are gone. An effect in flight whose attempt no longer runs becomes
/// unknown; an intent whose job has ended was certainly not executed and becomes retryable.
pub async fn lose(conn: &mut PgConnection, limit: i64) -> Result<Vec<Lost>, sqlx::Error> {
    sqlx::query_as!(
        Lost,
        r#"
        with lost as (
            select tenant_id, id from effects
            where status in ('intent', 'in_flight') and not exists (
                select from jobs
                where jobs.tenant_id = effects.tenant_id and jobs.id = effects.job_id
                    and (effects.status = 'intent' or (jobs.attempt = effects.attempt and jobs.state = 'running')))
            order by updated_at
            limit $1
            for update skip locked
        )
        update effects set status = case status when 'intent' then 'retryable' else 'unknown' end,
            error_code = 'holder_lost', updated_at = now()
        from lost
        where effects.tenant_id = lost.tenant_id and effects.id = lost.id
        returning effects.tenant_id as "tenant: TenantId", effects.id as "id: EffectId", job_id as "job: JobId", attempt,
            type as kind, status as "status: EffectStatus", request_id
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}
