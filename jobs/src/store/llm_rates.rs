//! `llm_rates` and `llm_rate_turns`: how often a provider with a model is asked, by all workers together. [`take`] belongs into
//! the transaction that records a request, [`queue_up`] is for a job that was refused, and `commands::llm::turns` assigns turns.

use crate::domain::llm::rate::{Buckets, LimitsLeft, Rate};
use base::{JobId, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use queue::operate::release::DueJob;
use sqlx::{PgConnection, PgPool};

/// A job with an assigned turn keeps it from others for this long after its time; then its place is given away.
const TURN_SECONDS: f64 = 5.0;

/// A request that a rate must admit.
#[derive(Clone, Copy, Debug)]
pub struct RatedRequest<'a> {
    pub provider: &'a str,
    pub model: &'a str,
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
///
/// # Errors
/// When the database refuses.
pub async fn take(
    conn: &mut PgConnection,
    request: &RatedRequest<'_>,
) -> Result<RateDecision, sqlx::Error> {
    let RatedRequest {
        provider, model, ..
    } = *request;
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
    store_buckets(&mut *conn, (provider, model), after).await?;
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
        request.provider,
        request.model,
        request.rate.requests.map(i64::from),
        request.rate.tokens.map(i64::from),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues a job that the rate refused, behind those of its tenant; one that was refused before keeps its place. Returns when
/// it tries again if no turn is assigned to it.
///
/// Not for the transaction that was refused: that one is rolled back.
///
/// # Errors
/// When the database refuses.
pub async fn queue_up(
    conn: &mut PgConnection,
    request: &RatedRequest<'_>,
) -> Result<DateTime<Utc>, sqlx::Error> {
    // Two statements: in one, the lock of the rate might come after that of the turn, and turns are assigned in the other order.
    configure(conn, request).await?;
    let row = sqlx::query!(
        r#"
        with turn as (
            insert into llm_rate_turns (tenant_id, job_id, provider, model, tokens) values ($3, $4, $1, $2, $5)
            on conflict (tenant_id, job_id, provider, model)
            do update set turn_at = null, taken_at = null, tokens = excluded.tokens
        )
        select now() as "now!", count(*) as "waiting!" from llm_rate_turns
        where provider = $1 and model = $2 and taken_at is null
        "#,
        request.provider,
        request.model,
        request.tenant.0,
        request.job.0,
        request.tokens,
    )
    .fetch_one(conn)
    .await?;
    let waiting = i32::try_from(row.waiting).unwrap_or(i32::MAX);
    Ok(row.now + request.rate.longest_wait(request.tokens, waiting))
}

/// Replaces what a request counted by the tokens that it used: `more` of them, or fewer if it is negative.
///
/// # Errors
/// When the database refuses.
pub async fn correct(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
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
///
/// # Errors
/// When the database refuses.
pub async fn lower(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
    left: LimitsLeft,
) -> Result<(), sqlx::Error> {
    let locked = lock(&mut *conn, (provider, model)).await?;
    let lowered = locked.buckets.lowered(locked.rate, left, locked.now);
    if lowered != locked.buckets {
        store_buckets(conn, (provider, model), lowered).await?;
    }
    Ok(())
}

async fn store_buckets(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
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

/// Lists the models with jobs that wait for a turn. Those whose lane is open are left out: nobody asks them.
///
/// # Errors
/// When the database does not answer.
pub async fn awaited(conn: &mut PgConnection) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select provider, model from llm_rates rate
         where exists (select from llm_rate_turns turn
                 where turn.provider = rate.provider and turn.model = rate.model
                   and turn.taken_at is null and turn.turn_at is null)
           and not exists (select from llm_lanes lane
                 where lane.provider = rate.provider and lane.model = rate.model and lane.reason is not null)
         order by provider, model"
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.provider, row.model))
        .collect())
}

/// A model's rate and buckets, locked.
#[derive(Clone, Copy, Debug)]
pub struct LockedRate {
    pub rate: Rate,
    pub buckets: Buckets,
    pub now: DateTime<Utc>,
}

/// Locks a model's buckets, so that no request is admitted meanwhile.
///
/// # Errors
/// When the database refuses.
pub async fn lock(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
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

/// Lists the assigned turns that were not taken yet, with what their requests count.
///
/// # Errors
/// When the database does not answer.
pub async fn assigned(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
) -> Result<Vec<(DateTime<Utc>, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select turn_at as "turn_at!", tokens from llm_rate_turns
           where provider = $1 and model = $2 and taken_at is null and turn_at > now() - make_interval(secs => $3)
           order by turn_at"#,
        provider,
        model,
        TURN_SECONDS,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.turn_at, row.tokens))
        .collect())
}

/// A job that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub struct WaitingJob {
    pub tenant: TenantId,
    pub job: JobId,
    pub tokens: i64,
}

/// Lists the jobs whose turn is next: the tenants in turn, the one whose turn is longest ago first, and the jobs of each by
/// priority and age.
///
/// # Errors
/// When the database does not answer.
pub async fn next(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
    limit: i64,
) -> Result<Vec<WaitingJob>, sqlx::Error> {
    sqlx::query_as!(
        WaitingJob,
        r#"
        with waiting as (
            select turn.tenant_id, turn.job_id, turn.tokens, turn.queued_at,
                row_number() over (partition by turn.tenant_id order by job.priority, turn.queued_at, turn.job_id) as place
            from llm_rate_turns turn
            join jobs job on job.tenant_id = turn.tenant_id and job.id = turn.job_id and job.state = 'scheduled'
            where turn.provider = $1 and turn.model = $2 and turn.turn_at is null and turn.taken_at is null
        ), served as (
            select tenant_id, max(turn_at) as last_at from llm_rate_turns
            where provider = $1 and model = $2 and turn_at is not null
            group by tenant_id
        )
        select tenant_id as "tenant: TenantId", job_id as "job: JobId", tokens
        from waiting left join served using (tenant_id)
        order by place, last_at nulls first, queued_at, job_id
        limit $3
        "#,
        provider,
        model,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Assigns turns.
///
/// # Errors
/// When the database refuses.
pub async fn assign(
    conn: &mut PgConnection,
    (provider, model): (&str, &str),
    turns: &[DueJob],
) -> Result<(), sqlx::Error> {
    let tenants: Vec<_> = turns.iter().map(|turn| turn.tenant.0).collect();
    let jobs: Vec<_> = turns.iter().map(|turn| turn.job.0).collect();
    let times: Vec<_> = turns.iter().map(|turn| turn.at).collect();
    sqlx::query!(
        "update llm_rate_turns turn set turn_at = given.at
         from unnest($3::uuid[], $4::uuid[], $5::timestamptz[]) as given (tenant_id, job_id, at)
         where turn.provider = $1 and turn.model = $2
           and turn.tenant_id = given.tenant_id and turn.job_id = given.job_id and turn.taken_at is null",
        provider,
        model,
        &tenants,
        &jobs,
        &times,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to `limit` turns, in every tenant, that are over for ten minutes or whose job has ended.
///
/// # Errors
/// When the database refuses.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from llm_rate_turns where ctid = any(array(
             select ctid from llm_rate_turns turn
             where turn_at < now() - interval '10 minutes'
                or (taken_at is null and not exists (
                    select from jobs where jobs.tenant_id = turn.tenant_id and jobs.id = turn.job_id))
             limit $1 for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
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
///
/// # Errors
/// When the database does not answer.
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
