//! The keys of many requests, one statement each: [`claim`], then [`complete`] or [`release`] for requests that ended
//! differently than expected.
//!
//! All keys are written in one order, so that two transactions that share keys cannot deadlock.

use super::{RequestKey, StoredAnswer, StoredRequest};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The keys that the transaction claimed.
#[derive(Debug, Default)]
pub struct ClaimedKeys {
    keys: HashSet<(Uuid, Uuid, String, String)>,
}

impl ClaimedKeys {
    pub fn contains(&self, key: &RequestKey<'_>) -> bool {
        let (operation, name) = (key.operation.to_owned(), key.key.to_owned());
        self.keys
            .contains(&(key.tenant.0, key.actor.0, operation, name))
    }
}

struct Columns {
    tenants: Vec<Uuid>,
    actors: Vec<Uuid>,
    operations: Vec<String>,
    keys: Vec<String>,
}

impl Columns {
    fn of<'a>(keys: impl Iterator<Item = &'a RequestKey<'a>> + Clone) -> Self {
        Self {
            tenants: keys.clone().map(|key| key.tenant.0).collect(),
            actors: keys.clone().map(|key| key.actor.0).collect(),
            operations: keys.clone().map(|key| key.operation.to_owned()).collect(),
            keys: keys.map(|key| key.key.to_owned()).collect(),
        }
    }
}

/// Answers as columns.
struct Answers {
    statuses: Vec<i16>,
    locations: Vec<Option<String>>,
    bodies: Vec<Vec<u8>>,
}

impl Answers {
    fn of<'a>(
        answers: impl Iterator<Item = &'a StoredAnswer> + Clone,
    ) -> Result<Self, sqlx::Error> {
        let statuses = answers.clone().map(|answer| i16::try_from(answer.status));
        Ok(Self {
            statuses: statuses
                .collect::<Result<_, _>>()
                .map_err(|error| sqlx::Error::Encode(Box::new(error)))?,
            locations: answers
                .clone()
                .map(|answer| answer.location.clone())
                .collect(),
            bodies: answers.map(|answer| answer.body.clone()).collect(),
        })
    }
}

/// Like [`super::claim`], for distinct keys, with the answer that each request gets if nothing goes wrong: most keys
/// are written once.
///
/// # Errors
/// When the lock timeout passed (`55P03`) or the database refuses.
pub async fn claim(
    conn: &mut PgConnection,
    requests: &[(RequestKey<'_>, [u8; 32], &StoredAnswer)],
) -> Result<ClaimedKeys, sqlx::Error> {
    let mut sorted: Vec<_> = requests.iter().collect();
    sorted.sort_by_key(|(key, ..)| (key.tenant.0, key.actor.0, key.operation, key.key));
    let columns = Columns::of(sorted.iter().map(|(key, ..)| key));
    let answers = Answers::of(sorted.iter().map(|(.., answer)| *answer))?;
    let rows = sqlx::query!(
        r#"insert into request_keys (tenant_id, actor_id, operation, key, fingerprint, expires_at, status, location, body)
           select tenant_id, actor_id, operation, key, fingerprint, now() + interval '7 days', status, location, body
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::smallint[], $7::text[], $8::bytea[])
               as asked (tenant_id, actor_id, operation, key, fingerprint, status, location, body)
           on conflict (tenant_id, actor_id, operation, key) do update
               set fingerprint = excluded.fingerprint, status = excluded.status, location = excluded.location,
                   body = excluded.body, created_at = now(), expires_at = excluded.expires_at
               where request_keys.expires_at <= now()
           returning tenant_id, actor_id, operation, key"#,
        &columns.tenants,
        &columns.actors,
        &columns.operations,
        &columns.keys,
        &sorted
            .iter()
            .map(|(_, fingerprint, _)| fingerprint.to_vec())
            .collect::<Vec<_>>(),
        &answers.statuses,
        &answers.locations as &[Option<String>],
        &answers.bodies,
    )
    .fetch_all(conn)
    .await?;
    Ok(ClaimedKeys {
        keys: rows
            .into_iter()
            .map(|row| (row.tenant_id, row.actor_id, row.operation, row.key))
            .collect(),
    })
}

/// Finds the former uses of taken keys, by their positions in `keys`.
///
/// # Errors
/// When the database does not answer, or a row has no answer, which every committed row has.
pub async fn find(
    conn: &mut PgConnection,
    keys: &[RequestKey<'_>],
) -> Result<HashMap<usize, StoredRequest>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let columns = Columns::of(keys.iter());
    let rows = sqlx::query!(
        r#"select asked.place as "place!", fingerprint, status as "status!", location, body as "body!"
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) with ordinality
               as asked (tenant_id, actor_id, operation, key, place)
           join request_keys using (tenant_id, actor_id, operation, key)"#,
        &columns.tenants,
        &columns.actors,
        &columns.operations,
        &columns.keys,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let decode = |error| sqlx::Error::Decode(Box::new(error));
            // Postgres counts from 1.
            let place = usize::try_from(row.place - 1).map_err(decode)?;
            let answer = StoredAnswer {
                status: u16::try_from(row.status).map_err(decode)?,
                location: row.location,
                body: row.body,
            };
            let fingerprint = row.fingerprint;
            Ok((
                place,
                StoredRequest {
                    fingerprint,
                    answer,
                },
            ))
        })
        .collect()
}

/// Replaces the answers of keys that this transaction claimed.
pub async fn complete(
    conn: &mut PgConnection,
    answered: &[(RequestKey<'_>, &StoredAnswer)],
) -> Result<(), sqlx::Error> {
    if answered.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(answered.iter().map(|(key, _)| key));
    let answers = Answers::of(answered.iter().map(|(_, answer)| *answer))?;
    sqlx::query!(
        "update request_keys k set status = answer.status, location = answer.location, body = answer.body
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::bytea[])
             as answer (tenant_id, actor_id, operation, key, status, location, body)
         where k.tenant_id = answer.tenant_id and k.actor_id = answer.actor_id
             and k.operation = answer.operation and k.key = answer.key",
        &columns.tenants,
        &columns.actors,
        &columns.operations,
        &columns.keys,
        &answers.statuses,
        &answers.locations as &[Option<String>],
        &answers.bodies,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Releases keys that this transaction claimed for requests that it refused.
pub async fn release(conn: &mut PgConnection, keys: &[RequestKey<'_>]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(keys.iter());
    sqlx::query!(
        "delete from request_keys k
         using unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) as refused (tenant_id, actor_id, operation, key)
         where k.tenant_id = refused.tenant_id and k.actor_id = refused.actor_id
             and k.operation = refused.operation and k.key = refused.key",
        &columns.tenants,
        &columns.actors,
        &columns.operations,
        &columns.keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}
