//! `llm_rates`: how often a provider with a model is asked, by all workers together. [`take`] belongs into the transaction that
//! records a request; a job that it refuses waits for one of the [`turns`].

pub mod turns;

use crate::domain::llm::{
    ModelName,
    rate::{Buckets, LimitsLeft, Rate},
};
use base::{JobId, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};

/// A job with an assigned turn keeps it from others for this long after its time; then its place is given away.
const TURN_SECONDS: f64 = 5.0;

/// A request that a rate must admit.
#[derive(Clone, Copy, Debug)]
pub struct RatedRequest<'a> {
    pub name: ModelName<'a>,
    pub tenant: TenantId,
    pub job: JobId,
    /// What it counts.
    pub tokens: i64,
    pub rate: Rate,
}

/// Whether the rate admits a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateDecision {
    /// It does. A job that was refused before waited since then.
    Admitted {
        waited: Option<TimeDelta>,
    },
    Refused,
}

/// Takes a request from the buckets, unless they do not hold it or other jobs wait for their turn.
pub async fn take(
    conn: &mut PgConnection,
    request: &RatedRequest<'_>,
) -> Result<RateDecision, sqlx::Error> {
    let ModelName { provider, model } = request.name;
    configure(conn, request).await?;
    // clock_timestamp, because the wait for the lock may have taken a while.
    let row = sqlx::query!(
        r#"
        select requests_full_at, tokens_full_at, clock_timestamp() as "now!",
            exists (select from llm_rate_turns
                where provider = $1 and model = $2 and tenant_id = $3 and job_id = $4) as "has_turn!",
            exists (select from llm_rate_turns
                where provider = $1 and model = $2 and taken_at is null
                  and (turn_at is null or turn_at > now() - make_interval(secs => $5))) as "is_queue!"
        from llm_rates where provider = $1 and model = $2 for update
        "#,
        provider,
        model,
        request.tenant.0,
        request.job.0,
        TURN_SECONDS,
    )
    .fetch_one(&mut *conn)
    .await?;
    let buckets = Buckets {
        requests_full_at: row.requests_full_at,
        tokens_full_at: row.tokens_full_at,
    };
    let fits_at = buckets.fits_at(request.rate, request.tokens, row.now);
    if fits_at > row.now || (row.is_queue && !row.has_turn) {
        return Ok(RateDecision::Refused);
    }
    let after = buckets.after(request.rate, request.tokens, row.now);
    store_buckets(&mut *conn, request.name, after).await?;
    if !row.has_turn {
        return Ok(RateDecision::Admitted { waited: None });
    }
    let queued_at = sqlx::query_scalar!(
        "update llm_rate_turns set taken_at = $5, turn_at = coalesce(turn_at, $5)
         where provider = $1 and model = $2 and tenant_id = $3 and job_id = $4 and taken_at is null
         returning queued_at",
        provider,
        model,
        request.tenant.0,
        request.job.0,
        row.now,
    )
    .fetch_optional(conn)
    .await?;
    Ok(RateDecision::Admitted {
        waited: queued_at.map(|since| row.now - since),
    })
}

/// Stores the rate that this worker is configured with, for those that assign turns.
async fn configure(conn: &mut PgConnection, request: &RatedRequest<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into llm_rates as rate (provider, model, requests_per_minute, tokens_per_minute) values ($1, $2, $3, $4)
         on conflict (provider, model)
         do update set requests_per_minute = $3, tokens_per_minute = $4
         where (rate.requests_per_minute, rate.tokens_per_minute) is distinct from ($3::bigint, $4::bigint)",
        request.name.provider,
        request.name.model,
        request.rate.requests.map(i64::from),
        request.rate.tokens.map(i64::from),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Replaces what a request counted by the tokens that it used: `more` of them, or fewer if it is negative.
pub async fn correct(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    more: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update llm_rates
         set tokens_full_at = tokens_full_at + interval '1 minute' * ($3::bigint::float8 / tokens_per_minute)
         where provider = $1 and model = $2 and tokens_per_minute is not null",
        provider,
        model,
        more,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lowers the buckets to what the provider says is left of its limits.
pub async fn lower(
    conn: &mut PgConnection,
    name: ModelName<'_>,
    left: LimitsLeft,
) -> Result<(), sqlx::Error> {
    let locked = lock(&mut *conn, name).await?;
    let lowered = locked.buckets.lowered(locked.rate, left, locked.now);
    if lowered != locked.buckets {
        store_buckets(conn, name, lowered).await?;
    }
    Ok(())
}

async fn store_buckets(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
    buckets: Buckets,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update llm_rates set requests_full_at = $3, tokens_full_at = $4 where provider = $1 and model = $2",
        provider,
        model,
        buckets.requests_full_at,
        buckets.tokens_full_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A model's rate and buckets, locked.
#[derive(Clone, Copy, Debug)]
pub struct LockedRate {
    pub rate: Rate,
    pub buckets: Buckets,
    pub now: DateTime<Utc>,
}

/// Locks a model's buckets, so that no request is admitted meanwhile.
pub async fn lock(
    conn: &mut PgConnection,
    ModelName { provider, model }: ModelName<'_>,
) -> Result<LockedRate, sqlx::Error> {
    let row = sqlx::query!(
        r#"select requests_per_minute, tokens_per_minute, requests_full_at, tokens_full_at, clock_timestamp() as "now!"
           from llm_rates where provider = $1 and model = $2 for update"#,
        provider,
        model,
    )
    .fetch_one(conn)
    .await?;
    let limit = |stored: Option<i64>| stored.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    Ok(LockedRate {
        rate: Rate {
            requests: limit(row.requests_per_minute),
            tokens: limit(row.tokens_per_minute),
        },
        buckets: Buckets {
            requests_full_at: row.requests_full_at,
            tokens_full_at: row.tokens_full_at,
        },
        now: row.now,
    })
}

/// A model's rate and the jobs that wait for it.
#[derive(Clone, Debug)]
pub struct StoredRate {
    pub provider: String,
    pub model: String,
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub waiting: i64,
    /// For how long the first of them has waited.
    pub oldest_seconds: i64,
}

/// Lists all models that were ever asked under a rate.
pub async fn list(pool: &PgPool) -> Result<Vec<StoredRate>, sqlx::Error> {
    sqlx::query_as!(
        StoredRate,
        r#"select provider, model, requests_per_minute, tokens_per_minute, waiting as "waiting!",
               coalesce(extract(epoch from now() - oldest), 0)::bigint as "oldest_seconds!"
           from llm_rates rate, lateral (
               select count(*) as waiting, min(queued_at) as oldest from llm_rate_turns turn
               where turn.provider = rate.provider and turn.model = rate.model and taken_at is null
           ) turns
           order by provider, model"#,
    )
    .fetch_all(pool)
    .await
}
