//! Which keys of `CREDENTIAL_KEYS` the stored secrets need, in whatever table.

use sqlx::PgExecutor;

/// A key, and how many secrets it seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInUse {
    pub id: String,
    pub connections: i64,
    pub second_factors: i64,
    pub captures: i64,
}

/// Lists the keys that seal secrets, by their ids: a process that lacks one of them cannot work. A connection whose secret was
/// erased needs none.
pub async fn keys_in_use<'c>(executor: impl PgExecutor<'c>) -> Result<Vec<KeyInUse>, sqlx::Error> {
    sqlx::query_as!(
        KeyInUse,
        r#"
        select key_id as "id!", count(*) filter (where kind = 'connection') as "connections!",
            count(*) filter (where kind = 'second factor') as "second_factors!", count(*) filter (where kind = 'capture') as "captures!"
        from (
            select key_id, 'connection' as kind from connections where status <> 'revoked' and secret <> ''
            union all
            select key_id, 'second factor' from second_factors
            union all
            select key_id, 'capture' from llm_captures
        ) sealed
        group by key_id
        order by key_id
        "#
    )
    .fetch_all(executor)
    .await
}
