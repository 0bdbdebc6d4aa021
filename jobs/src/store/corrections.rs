//! `judgement_corrections`: what people corrected, at most [`KEPT`] per person and for [`RETENTION_DAYS`].

use crate::domain::{
    ApprovalId, UserId,
    corrections::{CorrectionKind, JudgedEmail, KEPT, NewCorrection, RETENTION_DAYS},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A correction for a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCorrection {
    pub kind: CorrectionKind,
    pub action_type: String,
    pub email: JudgedEmail,
    pub proposed: String,
    pub chosen: Option<String>,
}

/// Stores a correction in place of an earlier one of the same approval, and deletes the person's oldest beyond the limit.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    correction: &NewCorrection,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into judgement_corrections
             (tenant_id, approval_id, user_id, kind, action_type, sender, subject, proposed, chosen)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (tenant_id, approval_id) do update set
             user_id = excluded.user_id, kind = excluded.kind, chosen = excluded.chosen, created_at = now(),
             -- After an edit, what was proposed is the person's own text.
             proposed = case judgement_corrections.kind when 'changed' then judgement_corrections.proposed
                 else excluded.proposed end",
        tenant.0,
        correction.approval.0,
        correction.user.0,
        correction.kind.as_str(),
        correction.action.as_str(),
        correction.email.sender,
        correction.email.subject,
        correction.proposed,
        correction.chosen,
    )
    .execute(&mut *conn)
    .await?;
    // Rows that another transaction deletes are skipped: two corrections of one person must not wait for each other.
    sqlx::query!(
        "delete from judgement_corrections where ctid = any(array(
             select ctid from judgement_corrections where tenant_id = $1 and user_id = $2
             order by created_at desc, approval_id offset $3 for update skip locked))",
        tenant.0,
        correction.user.0,
        KEPT,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the correction of an approval, because the person took it back.
pub async fn delete(
    conn: &mut PgConnection,
    tenant: TenantId,
    approval: ApprovalId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from judgement_corrections where tenant_id = $1 and approval_id = $2",
        tenant.0,
        approval.0,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists up to `limit` corrections of a person from before `until`: those about the same sender first, then the same domain,
/// then the newest.
///
/// # Errors
/// When the database does not answer, or holds a kind that this version does not know.
pub async fn for_prompt(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    kinds: &[CorrectionKind],
    sender: Option<&str>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<StoredCorrection>, sqlx::Error> {
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        r#"
        select kind as "kind: CorrectionKind", action_type, sender, subject, proposed, chosen
        from judgement_corrections
        where tenant_id = $1 and user_id = $2 and kind = any($3) and created_at < $5
            and created_at > now() - make_interval(days => $7)
        order by coalesce(sender = $4, false) desc,
            coalesce(split_part(sender, '@', 2) = split_part($4, '@', 2), false) desc, created_at desc, approval_id
        limit $6
        "#,
        tenant.0,
        user.0,
        &kinds,
        sender,
        until,
        limit,
        RETENTION_DAYS,
    )
    .fetch_all(conn)
    .await?;
    let corrections = rows.into_iter().map(|row| StoredCorrection {
        kind: row.kind,
        action_type: row.action_type,
        email: JudgedEmail {
            sender: row.sender,
            subject: row.subject,
        },
        proposed: row.proposed,
        chosen: row.chosen,
    });
    Ok(corrections.collect())
}

/// Deletes up to `limit` corrections after their retention, in every tenant.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from judgement_corrections where ctid = any(array(
             select ctid from judgement_corrections where created_at < now() - make_interval(days => $2)
             order by created_at limit $1 for update skip locked))",
        limit,
        RETENTION_DAYS,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
