//! Which keys of `CREDENTIAL_KEYS` the stored secrets need, in whatever table.

use sqlx::PgExecutor;

/// A key, and how many secrets it seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInUse {
    pub id: String,
    pub connections: i64,
    pub second_factors: i64,
}

/// Lists the keys that seal secrets, by their ids: a process that lacks one of them cannot work. A connection whose secret was
/// erased needs none.
pub async fn keys_in_use<'c>(executor: impl PgExecutor<'c>) -> Result<Vec<KeyInUse>, sqlx::Error> {
    sqlx::query_as!(
        KeyInUse,
        r#"
        select key_id as "id!", count(*) filter (where is_connection) as "connections!",
            count(*) filter (where not is_connection) as "second_factors!"
        from (
            select key_id, true as is_connection from connections where status <> 'revoked' and secret <> ''
            union all
            select key_id, false from second_factors
        ) sealed
        group by key_id
        order by key_id
        "#
    )
    .fetch_all(executor)
    .await
}
