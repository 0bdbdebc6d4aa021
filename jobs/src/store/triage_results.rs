//! `triage_results`: the result for each message, with its rules and prompt version. A dry run writes nothing here, or
//! the run after it would find the message triaged.

use crate::domain::{
    MessageId, UserId,
    corrections::JudgedEmail,
    judgement::{Category, Disposition, Judgement, Priority, Sla, Source, ThreadStatus},
};
use base::{JobId, TenantId};
use sqlx::PgConnection;

/// A result to insert.
pub struct NewTriageResult<'a> {
    pub job: JobId,
    pub message: MessageId,
    pub content_hash: [u8; 32],
    /// Whose mailbox the email arrived in.
    pub owner: Option<UserId>,
    pub ruleset_version: i32,
    /// The means that were allowed to decide.
    pub mode: &'a str,
    /// Requested although the message had been triaged.
    pub forced: bool,
    /// The model was unavailable and the fallback decided: the message is triaged again.
    pub outage: bool,
    /// Set if a model was called.
    pub prompt_version: Option<&'a str>,
    pub judgement: &'a Judgement,
    pub email: JudgedEmail,
}

/// The result of an earlier job for the same message with the same rules.
pub struct FormerResult {
    pub job: JobId,
    pub judgement: Judgement,
}

/// Inserts a result. Waits for a concurrent job that triages the same message, and is then refused by
/// `triage_results_once_key`.
pub async fn insert(
    conn: &mut PgConnection,
    tenant: TenantId,
    result: &NewTriageResult<'_>,
) -> Result<(), sqlx::Error> {
    let judgement = result.judgement;
    sqlx::query!(
        r#"
        insert into triage_results (
            tenant_id, job_id, message_id, content_hash, ruleset_version, mode, forced, prompt_version, category,
            disposition, priority, sla, confidence, rationale, source, rules_applied, injection_suspected, degraded,
            thread_status, outage, sender, subject, owner_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
        "#,
        tenant.0,
        result.job.0,
        result.message.0,
        &result.content_hash,
        result.ruleset_version,
        result.mode,
        result.forced,
        result.prompt_version,
        judgement.category.as_str(),
        judgement.disposition.as_str(),
        judgement.priority.as_str(),
        judgement.sla.as_str(),
        judgement.confidence,
        &judgement.rationale,
        judgement.source.as_str(),
        &judgement.rules_applied,
        judgement.injection_suspected,
        judgement.degraded,
        judgement.thread_status.as_str(),
        result.outage,
        result.email.sender,
        result.email.subject,
        result.owner.map(|owner| owner.0),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Returns the email that a job judged, if the model judged it.
pub async fn judged_by_model(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<Option<JudgedEmail>, sqlx::Error> {
    sqlx::query_as!(
        JudgedEmail,
        "select sender, subject from triage_results where tenant_id = $1 and job_id = $2 and source = 'llm'",
        tenant.0,
        job.0,
    )
    .fetch_optional(conn)
    .await
}

/// Returns the email as its latest triage names it.
pub async fn email(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<Option<JudgedEmail>, sqlx::Error> {
    sqlx::query_as!(
        JudgedEmail,
        "select sender, subject from triage_results where tenant_id = $1 and message_id = $2
         order by created_at desc, job_id desc limit 1",
        tenant.0,
        message.0,
    )
    .fetch_optional(conn)
    .await
}

/// Finds the user whose mailbox the email arrived in, as its latest triage found it.
pub async fn owner_of(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<Option<UserId>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"
        select r.owner_id as "owner: UserId" from triage_results r
        join users u on u.tenant_id = r.tenant_id and u.id = r.owner_id and u.status = 'active'
        where r.tenant_id = $1 and r.message_id = $2
        order by r.created_at desc, r.job_id desc
        limit 1
        "#,
        tenant.0,
        message.0,
    );
    Ok(found.fetch_optional(conn).await?.flatten())
}

/// Finds the latest result for a message with this version of the rules and the same means, other than one that an outage of
/// the model left to a person.
pub async fn former(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
    ruleset_version: i32,
    mode: &str,
) -> Result<Option<FormerResult>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select job_id as "job: JobId", category as "category: Category", disposition as "disposition: Disposition",
            priority as "priority: Priority", sla as "sla: Sla", confidence, rationale, source as "source: Source",
            rules_applied, injection_suspected, degraded, thread_status as "thread_status: ThreadStatus"
        from triage_results
        where tenant_id = $1 and content_hash = $2 and ruleset_version = $3 and mode = $4 and not outage
        order by created_at desc, job_id desc
        limit 1
        "#,
        tenant.0,
        content_hash,
        ruleset_version,
        mode,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| FormerResult {
        job: row.job,
        judgement: Judgement {
            category: row.category,
            disposition: row.disposition,
            priority: row.priority,
            sla: row.sla,
            confidence: row.confidence,
            rationale: row.rationale,
            source: row.source,
            rules_applied: row.rules_applied,
            injection_suspected: row.injection_suspected,
            degraded: row.degraded,
            thread_status: row.thread_status,
        },
    }))
}

/// Lists the jobs that left a message to a person because the model was unavailable, oldest first.
pub async fn outage_jobs(
    conn: &mut PgConnection,
    tenant: TenantId,
    content_hash: &[u8; 32],
) -> Result<Vec<JobId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select job_id as "job: JobId" from triage_results
           where tenant_id = $1 and content_hash = $2 and outage
           order by created_at, job_id
           limit 10"#,
        tenant.0,
        content_hash,
    )
    .fetch_all(conn)
    .await
}

/// Whether any result of this message suspects an injection.
pub async fn injection_suspected(
    conn: &mut PgConnection,
    tenant: TenantId,
    message: MessageId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(bool_or(injection_suspected), false) as "suspected!"
           from triage_results where tenant_id = $1 and message_id = $2"#,
        tenant.0,
        message.0,
    )
    .fetch_one(conn)
    .await
}
