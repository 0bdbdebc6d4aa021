//! Many requests' keys with one statement each: [`claim`], then [`complete`] or [`release`].
//!
//! Keys are written in one order by everybody, so that two transactions that share keys do not wait crosswise.

use super::{RequestKey, StoredAnswer, StoredRequest};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Which keys the transaction has claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    keys: HashSet<(Uuid, Uuid, String, String)>,
    /// The transaction's time, that of everything it writes; `None` if no key was claimed.
    pub at: Option<DateTime<Utc>>,
}

impl Claimed {
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

/// As [`super::claim`], for keys of which no two are the same.
///
/// # Errors
/// When the wait was too long (`55P03`) or the database refuses.
pub async fn claim(
    conn: &mut PgConnection,
    requests: &[(RequestKey<'_>, [u8; 32])],
) -> Result<Claimed, sqlx::Error> {
    let mut sorted: Vec<_> = requests.iter().collect();
    sorted.sort_by_key(|(key, _)| (key.tenant.0, key.actor.0, key.operation, key.key));
    let columns = Columns::of(sorted.iter().map(|(key, _)| key));
    let rows = sqlx::query!(
        r#"insert into request_keys (tenant_id, actor_id, operation, key, fingerprint, expires_at)
           select tenant_id, actor_id, operation, key, fingerprint, now() + interval '7 days'
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[])
               as asked (tenant_id, actor_id, operation, key, fingerprint)
           on conflict (tenant_id, actor_id, operation, key) do update
               set fingerprint = excluded.fingerprint, status = null, location = null, body = null,
                   created_at = now(), expires_at = excluded.expires_at
               where request_keys.expires_at <= now()
           returning tenant_id, actor_id, operation, key, now() as "now!""#,
        &columns.tenants,
        &columns.actors,
        &columns.operations,
        &columns.keys,
        &sorted
            .iter()
            .map(|(_, fingerprint)| fingerprint.to_vec())
            .collect::<Vec<_>>(),
    )
    .fetch_all(conn)
    .await?;
    Ok(Claimed {
        at: rows.first().map(|row| row.now),
        keys: rows
            .into_iter()
            .map(|row| (row.tenant_id, row.actor_id, row.operation, row.key))
            .collect(),
    })
}

/// What taken keys were used for, by their places in `keys`.
///
/// # Errors
/// When the database does not answer, or a row has no answer, which no committed row is without.
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

/// Stores the answers under keys that this transaction claimed.
///
/// # Errors
/// When the database refuses.
pub async fn complete(
    conn: &mut PgConnection,
    answered: &[(RequestKey<'_>, &StoredAnswer)],
) -> Result<(), sqlx::Error> {
    let columns = Columns::of(answered.iter().map(|(key, _)| key));
    let statuses = answered
        .iter()
        .map(|(_, answer)| i16::try_from(answer.status))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
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
        &statuses,
        &answered.iter().map(|(_, answer)| answer.location.clone()).collect::<Vec<_>>() as &[Option<String>],
        &answered.iter().map(|(_, answer)| answer.body.clone()).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives keys back that this transaction claimed for requests which it refused.
///
/// # Errors
/// When the database refuses.
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
