//! `thread_answers`: which stored emails refer to which Message-IDs; those of users and of everybody else.

use super::own_messages::NewOwnMessage;
use crate::domain::UserId;
use base::TenantId;
use sqlx::PgConnection;

/// Inserts what these emails refer to, in one statement.
///
/// # Errors
/// When the database refuses.
pub async fn insert(
    conn: &mut PgConnection,
    messages: &[NewOwnMessage<'_>],
) -> Result<(), sqlx::Error> {
    let rows: Vec<(&NewOwnMessage<'_>, &String)> = messages
        .iter()
        .flat_map(|mail| {
            let refers = mail.own_answer;
            let ids = refers.answers.iter().chain(&refers.thread);
            ids.map(move |id| (mail, id))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into thread_answers (tenant_id, refers_to, message_id)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[])
         on conflict do nothing",
        &rows
            .iter()
            .map(|(mail, _)| mail.tenant.0)
            .collect::<Vec<_>>(),
        &rows.iter().map(|(_, id)| (*id).clone()).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|(mail, _)| mail.message.0)
            .collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether somebody else than this user wrote in the thread after the email with this Message-ID, in angle brackets.
///
/// # Errors
/// When the database does not answer.
pub async fn answered_by_others(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    message_id: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from thread_answers a
            where a.tenant_id = $1 and a.refers_to = $3
                and not exists (
                    select from own_messages own
                    where own.tenant_id = $1 and own.message_id = a.message_id and own.user_id = $2)
        ) as "answered!"
        "#,
        tenant.0,
        user.0,
        message_id,
    )
    .fetch_one(conn)
    .await
}
