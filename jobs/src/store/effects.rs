//! `effects`: what was meant to be done to the outside world, and what came of it. Rows are guarded by (job, attempt).

mod line;

pub use line::{Line, full_until, lock_line, take_off};

use crate::domain::{
    ApprovalId, ConnectionId, EffectId,
    effect::{EffectEnd, EffectStatus, NewEffect},
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

/// An effect as it is, without the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEffect {
    pub id: EffectId,
    pub kind: String,
    pub message_id: Option<String>,
    pub approval: Option<ApprovalId>,
    /// By which it was begun, if it leaves the house.
    pub connection: Option<ConnectionId>,
    pub status: EffectStatus,
    pub job: JobId,
    pub attempt: i32,
    pub receipt: Option<Value>,
    pub before_image: Option<Value>,
    pub error_code: Option<String>,
    pub request_id: Option<String>,
    /// What was to be done, as sha256.
    pub payload_hash: Option<Vec<u8>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The attempt that holds an effect, and nobody else may write its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub tenant: TenantId,
    pub job: JobId,
    pub attempt: i32,
}

struct Row {
    id: EffectId,
    kind: String,
    message_id: Option<String>,
    approval: Option<ApprovalId>,
    connection: Option<ConnectionId>,
    status: String,
    job: JobId,
    attempt: i32,
    receipt: Option<Value>,
    before_image: Option<Value>,
    error_code: Option<String>,
    request_id: Option<String>,
    payload_hash: Option<Vec<u8>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for StoredEffect {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let status = EffectStatus::parse(&row.status)
            .ok_or_else(|| sqlx::Error::Decode(format!("status {}", row.status).into()))?;
        Ok(Self {
            id: row.id,
            kind: row.kind,
            message_id: row.message_id,
            approval: row.approval,
            connection: row.connection,
            status,
            job: row.job,
            attempt: row.attempt,
            receipt: row.receipt,
            before_image: row.before_image,
            error_code: row.error_code,
            payload_hash: row.payload_hash,
            request_id: row.request_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Writes the intent down; `None` if the key is taken. Waits for whoever is writing the same key at the moment.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    holder: Holder,
    effect: &NewEffect,
    request_id: Option<&str>,
) -> Result<Option<EffectId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into effects (tenant_id, id, effect_key, type, rendered, message_id, approval_id, job_id, attempt, request_id,
            payload_hash, about)
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
        effect.about.map(|id| id.0),
    )
    .fetch_optional(conn)
    .await
}

/// # Errors
/// When the database does not answer.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
) -> Result<Option<StoredEffect>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: EffectId", type as kind, message_id, approval_id as "approval: ApprovalId",
            connection_id as "connection: ConnectionId", status, job_id as "job: JobId", attempt, receipt, before_image, error_code,
            request_id, payload_hash, created_at, updated_at
        from effects
        where tenant_id = $1 and id = $2
        "#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(StoredEffect::try_from).transpose()
}

/// As [`find`]; whoever else wants to change it waits until the transaction ends.
///
/// # Errors
/// When the database does not answer in time.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: EffectId,
) -> Result<Option<StoredEffect>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"
        select id as "id: EffectId", type as kind, message_id, approval_id as "approval: ApprovalId",
            connection_id as "connection: ConnectionId", status, job_id as "job: JobId", attempt, receipt, before_image, error_code,
            request_id, payload_hash, created_at, updated_at
        from effects
        where tenant_id = $1 and id = $2
        for update
        "#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    row.map(StoredEffect::try_from).transpose()
}

/// What was done, or tried, for an approval, in that order.
///
/// # Errors
/// When the database does not answer.
pub async fn of_approval(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<Vec<StoredEffect>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select id as "id: EffectId", type as kind, message_id, approval_id as "approval: ApprovalId",
            connection_id as "connection: ConnectionId", status, job_id as "job: JobId", attempt, receipt, before_image, error_code,
            request_id, payload_hash, created_at, updated_at
        from effects
        where tenant_id = $1 and approval_id = $2
        order by id
        "#,
        tenant.0,
        approval.0,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(StoredEffect::try_from).collect()
}

/// How many may have been done and wait to be found out, of all tenants.
///
/// # Errors
/// When the database does not answer.
pub async fn count_unknown<'c>(executor: impl PgExecutor<'c>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from effects where status in ('unknown', 'reconciling', 'needs_human')"#
    )
    .fetch_one(executor)
    .await
}

/// The effect of this key, held until the transaction ends.
///
/// # Errors
/// When the database does not answer in time.
pub async fn lock_by_key(
    conn: &mut PgConnection,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<StoredEffect, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"
        select id as "id: EffectId", type as kind, message_id, approval_id as "approval: ApprovalId",
            connection_id as "connection: ConnectionId", status, job_id as "job: JobId", attempt, receipt, before_image, error_code,
            request_id, payload_hash, created_at, updated_at
        from effects
        where tenant_id = $1 and effect_key = $2
        for update
        "#,
        tenant.0,
        key,
    )
    .fetch_one(conn)
    .await?
    .try_into()
}

/// Moves an effect that is `from` to `to`, into the hands of `holder`. False when it is not `from` any more.
///
/// # Errors
/// When the database refuses.
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

/// Puts an intent that was certainly not carried out into the hands of `holder`. What is asked for under the same name
/// may be something else by now; the same is sent as it was rendered first.
///
/// # Errors
/// When the database refuses.
pub async fn renew(
    conn: &mut PgConnection,
    holder: Holder,
    id: EffectId,
    effect: &NewEffect,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update effects set status = 'intent', job_id = $3, attempt = $4, error_code = null, updated_at = now(),
             rendered = case when payload_hash = $5 then coalesce(rendered, $6) else $6 end,
             message_id = case when payload_hash = $5 then message_id else $7 end,
             approval_id = $8, about = $9, payload_hash = $5
         where tenant_id = $1 and id = $2",
        holder.tenant.0,
        id.0,
        holder.job.0,
        holder.attempt,
        &effect.payload_hash,
        effect.rendered.as_deref(),
        effect.message_id.as_deref(),
        effect.approval.map(|id| id.0),
        effect.about.map(|id| id.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets the status of an effect that the caller has locked.
///
/// # Errors
/// When the database refuses.
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

/// Writes how a try ended. False when `holder` does not have it in flight any more: then nothing is written.
///
/// # Errors
/// When the database refuses.
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
         set status = $5, receipt = $6, before_image = $7, error_code = $8, updated_at = now()
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

/// Writes what the other side knows of an effect that the caller has locked.
///
/// # Errors
/// When the database refuses.
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

/// The effect of this key, if there is one.
///
/// # Errors
/// When the database does not answer.
pub async fn status_of_key<'c>(
    executor: impl PgExecutor<'c>,
    tenant: TenantId,
    key: &[u8; 32],
) -> Result<Option<EffectStatus>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select status from effects where tenant_id = $1 and effect_key = $2",
        tenant.0,
        key,
    )
    .fetch_optional(executor)
    .await?;
    found
        .map(|status| {
            EffectStatus::parse(&status)
                .ok_or_else(|| sqlx::Error::Decode(format!("status {status}").into()))
        })
        .transpose()
}

/// The bytes that were to go out, if there were any.
///
/// # Errors
/// When the database does not answer.
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
///
/// # Errors
/// When the database does not answer.
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
    /// What it is now.
    pub status: String,
    pub request_id: Option<String>,
}

/// Takes up to `limit` effects from holders that are gone. What is in flight although its attempt does not run any more
/// may have been done and is unknown; an intent whose job has ended was certainly not done and may be asked for again.
///
/// # Errors
/// When the database refuses.
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
            type as kind, status, request_id
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}
