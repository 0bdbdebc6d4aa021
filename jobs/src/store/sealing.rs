//! Which keys of `CREDENTIAL_KEYS` the stored secrets need, in whatever table.

use sqlx::PgExecutor;

/// Lists the ids of the keys that seal secrets: a process that lacks one of them cannot work.
///
/// # Errors
/// When the database does not answer.
pub async fn key_ids<'c>(executor: impl PgExecutor<'c>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select key_id as "key_id!" from connections where status <> 'revoked'
        union
        select key_id from second_factors
        order by 1
        "#
    )
    .fetch_all(executor)
    .await
}
