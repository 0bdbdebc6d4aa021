//! `approvals`: proposals that a person decides, and the decisions. What a request may read of them is in [`read`].

/// Selects the rows of `$source`, which names `approvals`, that meet `$rest`.
macro_rules! select_approvals {
    ($source:literal, $rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            StoredApproval,
            r#"
        select approvals.id as "id: ApprovalId", kind, title, summary, actions as choices, source, payload, payload_hash,
            risk as "risk: Risk", status as "status: Status", version, rationale, confidence, job_id as "job: JobId",
            owner_id as "owner: UserId", requested_by as "requested_by: UserId", key_creator as "key_creator: UserId",
            edited_by as "edited_by: UserId",
            decided_by as "decided_by: UserId", decided_at, execution_job_id as "execution_job: JobId", executed_at,
            failure_code, failure_message, expires_at,
            expires_at <= now() as "expired!", created_at, about.message as "message: MessageId", sender as "sender?",
            subject as "subject?"
        "# + $source + r#"
        cross join lateral (select (payload #>> '{source_ids,email_message_id}')::uuid as message) about
        left join lateral (
            select sender, subject from triage_results
            where tenant_id = $1 and message_id = about.message
            order by triage_results.created_at desc, triage_results.job_id desc limit 1) email on true
        "# + $rest,
            $($argument),+
        )
    };
}

pub mod read;

use crate::domain::{
    ApprovalId, MessageId, UserId,
    approval::{NewApproval, Patched, Status},
    risk::Risk,
};
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};

pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
    approval: &NewApproval,
) -> Result<(), sqlx::Error> {
    let choices: Vec<String> = approval.choices.iter().map(ToString::to_string).collect();
    sqlx::query!(
        r#"
        with asked as (
            -- The job that proposes it is running, or in this transaction it was.
            select kind, args from jobs where tenant_id = $1 and id = $12
            union all
            select kind, args from finished_jobs where tenant_id = $1 and id = $12
            limit 1
        )
        insert into approvals (
            tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, rationale, confidence,
            job_id, expires_at, requested_by, key_creator)
        select $1, $2, $3, $4, $5, $6, $14, $7, $8, $9, $10, $11, $12, $13,
            -- Nobody asks for a reminder: its time has come.
            (select (args ->> 'user')::uuid from asked where args ->> 'follow_up' is null),
            (select k.created_by from asked join api_keys k on k.tenant_id = $1 and k.id = (args ->> 'api_key')::uuid
             -- Of a key that submitted an email, only the triage knows what follows.
             where case asked.kind
                 when 'action.execute' then args -> 'work' ? 'requested'
                 when 'draft.generate' then
                     args ->> 'mode' <> 'reply' or coalesce(args ->> 'instructions', args ->> 'intent') is not null
                 else false end)
        "#,
        tenant.0,
        approval.id.0,
        approval.kind,
        &approval.title,
        &approval.summary,
        &choices,
        &approval.payload,
        &approval.payload_hash,
        approval.risk.as_str(),
        approval.rationale.as_deref(),
        approval.confidence,
        job.0,
        approval.expires_at,
        approval.source,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A stored approval.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredApproval {
    pub id: ApprovalId,
    pub kind: String,
    pub title: String,
    pub summary: String,
    pub choices: Vec<String>,
    pub source: String,
    pub payload: Value,
    pub payload_hash: Vec<u8>,
    pub risk: Risk,
    pub status: Status,
    /// Incremented whenever it is proposed again.
    pub version: i32,
    pub rationale: Option<String>,
    pub confidence: f32,
    /// The job that proposed it.
    pub job: JobId,
    /// The person whose draft it sends; none if every user of the tenant decides it.
    pub owner: Option<UserId>,
    /// The user who asked for it; none if a triage or an API key did.
    pub requested_by: Option<UserId>,
    /// The user who created the API key that asked for it.
    pub key_creator: Option<UserId>,
    /// The user who last changed what it proposes, or whose API key did; none if nobody did.
    pub edited_by: Option<UserId>,
    pub decided_by: Option<UserId>,
    pub decided_at: Option<DateTime<Utc>>,
    /// The job that executes or undoes it.
    pub execution_job: Option<JobId>,
    pub executed_at: Option<DateTime<Utc>>,
    pub failure_code: Option<String>,
    pub failure_message: Option<String>,
    pub expires_at: DateTime<Utc>,
    /// Whether it has expired, by the database's clock.
    pub expired: bool,
    pub created_at: DateTime<Utc>,
    /// The email it is about; none if it is about none.
    pub message: Option<MessageId>,
    /// The sender and the subject of that email, as its latest triage read them.
    pub sender: Option<String>,
    pub subject: Option<String>,
}

pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
) -> Result<Option<StoredApproval>, sqlx::Error> {
    select_approvals!(
        "from approvals",
        "where tenant_id = $1 and approvals.id = $2",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Like [`find`], and locks the row until the transaction ends.
pub async fn lock(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
) -> Result<Option<StoredApproval>, sqlx::Error> {
    select_approvals!(
        "from approvals",
        "where tenant_id = $1 and approvals.id = $2 for update of approvals",
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the person whose draft the approval sends.
pub async fn owner_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
) -> Result<Option<UserId>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select owner_id as "owner: UserId" from approvals where tenant_id = $1 and id = $2"#,
        tenant.0,
        id.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.flatten())
}

/// Lists the approvals of a job that wait for a decision.
pub async fn undecided_of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Vec<ApprovalId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: ApprovalId" from approvals
           where tenant_id = $1 and job_id = $2 and status = 'proposed'
           order by created_at, id"#,
        tenant.0,
        job.0,
    )
    .fetch_all(conn)
    .await
}

/// Writes a decision, or its withdrawal if `by` is `None`. The caller holds [`lock`].
pub async fn set_status(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
    (status, version): (Status, i32),
    by: Option<UserId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update approvals
         set status = $3, version = $4, decided_by = $5, decided_at = case when $5::uuid is null then null else now() end
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
        version,
        by.map(|user| user.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes an edit by a user as this version. The caller holds [`lock`].
pub async fn set_payload(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
    version: i32,
    (patched, by): (&Patched, Option<UserId>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update approvals set payload = $3, payload_hash = $4, summary = $5, version = $6, edited_by = coalesce($7, edited_by)
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        patched.payload,
        &patched.payload_hash,
        patched.summary,
        version,
        by.map(|user| user.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts a proposal of what `former`, which has ended, proposed.
pub async fn insert_again(
    conn: &mut PgConnection,
    tenant: TenantId,
    former: ApprovalId,
    (id, expires_at): (ApprovalId, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into approvals (
             tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, rationale, confidence,
             job_id, expires_at, requested_by, key_creator, edited_by)
         select tenant_id, $3, kind, title, summary, actions, source, payload, payload_hash, risk, rationale, confidence,
             job_id, $4, requested_by, key_creator, edited_by
         from approvals where tenant_id = $1 and id = $2",
        tenant.0,
        former.0,
        id.0,
        expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether [`expire`] may find something.
pub async fn any_expired<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(
               select from approvals a join tenants t on t.id = a.tenant_id and t.status <> 'closed'
               where a.status = 'proposed' and a.expires_at <= now()) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// Whether [`abandon`] may find something.
pub async fn any_unsettled<'c>(executor: impl PgExecutor<'c>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(select from approvals where status in ('editing', 'approved', 'executing', 'undoing')) as "any!""#
    )
    .fetch_one(executor)
    .await
}

/// Sets the job that executes or undoes it. The caller holds [`lock`].
pub async fn assign(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
    job: Option<JobId>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update approvals set execution_job_id = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        job.map(|job| job.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes a worker's result, with the failure if it failed; who decided, and when, stays. The caller holds [`lock`].
pub async fn advance(
    conn: &mut PgConnection,
    tenant: TenantId,
    id: ApprovalId,
    status: Status,
    failure: Option<(&str, &str)>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update approvals set status = $3, failure_code = $4, failure_message = $5,
             executed_at = case when $3 in ('executed', 'failed') then coalesce(executed_at, now()) else executed_at end
         where tenant_id = $1 and id = $2",
        tenant.0,
        id.0,
        status.as_str(),
        failure.map(|(code, _)| code),
        failure.map(|(_, message)| message),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The failure of an approval whose job ended without settling it.
pub const JOB_ENDED: &str = "job_ended";

/// An approval whose job ended without settling it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    pub tenant: TenantId,
    pub id: ApprovalId,
    pub title: String,
    /// Its new status.
    pub status: Status,
}

/// Takes up to `limit` approvals from jobs that ended without settling them: one that was not begun is proposed again
/// as the next version, one that was executing has failed, and one that was undoing stays executed.
pub async fn abandon(conn: &mut PgConnection, limit: i64) -> Result<Vec<Abandoned>, sqlx::Error> {
    sqlx::query_as!(
        Abandoned,
        r#"
        with abandoned as (
            select tenant_id, id from approvals
            where status in ('editing', 'approved', 'executing', 'undoing') and not exists (
                select from jobs where jobs.tenant_id = approvals.tenant_id and jobs.id = approvals.execution_job_id)
            order by decided_at
            limit $1
            for update skip locked
        )
        update approvals set
            status = case when status in ('editing', 'approved') then 'proposed' when status = 'executing' then 'failed'
                else 'executed' end,
            version = case when status in ('editing', 'approved') then version + 1 else version end,
            decided_by = case when status in ('editing', 'approved') then null else decided_by end,
            decided_at = case when status in ('editing', 'approved') then null else decided_at end,
            executed_at = case status when 'executing' then now() else executed_at end,
            failure_code = case when status in ('editing', 'approved') then null else 'job_ended' end,
            failure_message = case when status in ('editing', 'approved') then null
                else 'The job ended before it could say what came of it. See its effects.' end
        from abandoned
        where approvals.tenant_id = abandoned.tenant_id and approvals.id = abandoned.id
        returning approvals.tenant_id as "tenant: TenantId", approvals.id as "id: ApprovalId", title,
            status as "status: Status"
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// An expired approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    pub tenant: TenantId,
    pub id: ApprovalId,
    pub title: String,
    pub job: JobId,
}

/// Expires up to `limit` undecided approvals, longest overdue first. Locked ones are skipped, and those of closed tenants,
/// which may be being erased.
pub async fn expire(conn: &mut PgConnection, limit: i64) -> Result<Vec<Expired>, sqlx::Error> {
    sqlx::query_as!(
        Expired,
        r#"
        with expired as (
            select a.tenant_id, a.id from approvals a
            join tenants t on t.id = a.tenant_id and t.status <> 'closed'
            where a.status = 'proposed' and a.expires_at <= now()
            order by a.expires_at
            limit $1
            for update of a skip locked
        )
        update approvals set status = 'expired'
        from expired
        where approvals.tenant_id = expired.tenant_id and approvals.id = expired.id
        returning approvals.tenant_id as "tenant: TenantId", approvals.id as "id: ApprovalId", title,
            job_id as "job: JobId"
        "#,
        limit,
    )
    .fetch_all(conn)
    .await
}
