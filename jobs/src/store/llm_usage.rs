//! Sums of `llm_calls`: what models were used for, by day, kind and model.

use base::{JobId, TenantId};
use chrono::NaiveDate;
use sqlx::PgConnection;

/// The usage of a model on a day, by the jobs of a kind.
#[derive(Clone, Debug)]
pub struct UsageRow {
    pub day: NaiveDate,
    pub kind: String,
    pub provider: String,
    pub model: String,
    pub requests: i64,
    /// Requests without a usable answer.
    pub failed_requests: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_tokens: i64,
    /// Millionths of a US dollar, of requests with a price.
    pub cost_micros: i64,
    /// Requests that the provider may bill although their usage is not known; `cost_micros` holds the most that they cost.
    pub possibly_billed_requests: i64,
    /// Requests of models without a price.
    pub unpriced_requests: i64,
}

/// Sums a tenant's requests by day (UTC), kind and model, from `from` to `to`, both included.
///
/// # Errors
/// When the database does not answer.
pub async fn by_day(
    conn: &mut PgConnection,
    tenant: TenantId,
    (from, to): (NaiveDate, NaiveDate),
    limit: i64,
) -> Result<Vec<UsageRow>, sqlx::Error> {
    sqlx::query_as!(
        UsageRow,
        r#"
        select (created_at at time zone 'UTC')::date as "day!", kind, provider, model, count(*) as "requests!",
            count(*) filter (where outcome not in ('ok', 'in_flight')) as "failed_requests!",
            sum(input_tokens)::bigint as "input_tokens!", sum(output_tokens)::bigint as "output_tokens!",
            sum(cached_tokens)::bigint as "cached_tokens!", coalesce(sum(cost_micros), 0)::bigint as "cost_micros!",
            count(*) filter (where billing = 'possibly_billed') as "possibly_billed_requests!",
            count(*) filter (where billing <> 'reserved' and input_tokens + output_tokens > 0 and cost_micros is null)
                as "unpriced_requests!"
        from llm_calls
        where tenant_id = $1 and created_at >= $2::date::timestamp at time zone 'UTC'
          and created_at < ($3::date + 1)::timestamp at time zone 'UTC'
        group by 1, kind, provider, model
        order by 1 desc, kind, provider, model
        limit $4
        "#,
        tenant.0,
        from,
        to,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// The cost of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobCost {
    pub requests: i64,
    pub tokens: i64,
    /// Millionths of a US dollar; none if a request has no price.
    pub micros: Option<i64>,
    /// The provider and model that answered last; none if no request has an answer.
    pub provider: Option<String>,
    pub model: Option<String>,
}

/// Sums the requests of a job.
///
/// # Errors
/// When the database does not answer.
pub async fn of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<JobCost, sqlx::Error> {
    sqlx::query_as!(
        JobCost,
        r#"
        select count(*) as "requests!", coalesce(sum(input_tokens + output_tokens), 0)::bigint as "tokens!",
            case when count(*) filter (where input_tokens + output_tokens > 0 and cost_micros is null) = 0
                then coalesce(sum(cost_micros), 0)::bigint end as micros,
            (array_agg(provider order by created_at desc) filter (where outcome = 'ok'))[1] as provider,
            (array_agg(model order by created_at desc) filter (where outcome = 'ok'))[1] as model
        from llm_calls where tenant_id = $1 and job_id = $2
        "#,
        tenant.0,
        job.0,
    )
    .fetch_one(conn)
    .await
}
