//! Sums of `llm_calls`: what models were used for, by day, kind, API key, model and tier, and by tenant.

use crate::domain::{ApiKeyId, llm::Tier};
use base::{JobId, TenantId};
use chrono::NaiveDate;
use sqlx::PgConnection;

/// The usage of a model on a day, by the jobs of a kind that one API key, or people, submitted.
#[derive(Clone, Debug)]
pub struct UsageRow {
    pub day: NaiveDate,
    pub kind: String,
    /// None for jobs that no API key submitted.
    pub api_key: Option<ApiKeyId>,
    pub provider: String,
    pub model: String,
    pub tier: Tier,
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

/// The usage of some days.
#[derive(Clone, Debug)]
pub struct Usage {
    pub rows: Vec<UsageRow>,
    /// Of all rows, also those that are left out.
    pub sum: UsageSum,
}

/// From a day to another, both included, in UTC.
#[derive(Clone, Copy, Debug)]
pub struct Days {
    pub from: NaiveDate,
    pub to: NaiveDate,
}

/// The usage of all days.
#[derive(Clone, Copy, Debug, Default)]
pub struct UsageSum {
    pub requests: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cost_micros: i64,
    pub possibly_billed_requests: i64,
    pub unpriced_requests: i64,
}

/// Sums a tenant's requests, or those of one of its API keys, by day (UTC), kind, key, model and tier. Lists up to
/// `limit` rows.
pub async fn by_day(
    conn: &mut PgConnection,
    tenant: TenantId,
    api_key: Option<ApiKeyId>,
    Days { from, to }: Days,
    limit: i64,
) -> Result<Usage, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        with rows as (
            select (created_at at time zone 'UTC')::date as day, kind, api_key_id, provider, model, tier,
                count(*) as requests, count(*) filter (where outcome not in ('ok', 'in_flight')) as failed_requests,
                sum(input_tokens)::bigint as input_tokens, sum(output_tokens)::bigint as output_tokens,
                sum(cached_tokens)::bigint as cached_tokens, coalesce(sum(cost_micros), 0)::bigint as cost_micros,
                count(*) filter (where billing = 'possibly_billed') as possibly_billed_requests,
                count(*) filter (where billing <> 'reserved' and input_tokens + output_tokens > 0 and cost_micros is null)
                    as unpriced_requests
            from llm_calls
            where tenant_id = $1 and created_at >= $2::date::timestamp at time zone 'UTC'
              and created_at < ($3::date + 1)::timestamp at time zone 'UTC'
              and ($5::uuid is null or api_key_id = $5)
            group by 1, kind, api_key_id, provider, model, tier
        )
        select day as "day!", kind, api_key_id as "api_key: ApiKeyId", provider, model, tier as "tier: Tier",
            requests as "requests!", failed_requests as "failed_requests!", input_tokens as "input_tokens!",
            output_tokens as "output_tokens!", cached_tokens as "cached_tokens!", cost_micros as "cost_micros!",
            possibly_billed_requests as "possibly_billed_requests!", unpriced_requests as "unpriced_requests!",
            (sum(requests) over ())::bigint as "all_requests!", (sum(input_tokens) over ())::bigint as "all_input_tokens!",
            (sum(output_tokens) over ())::bigint as "all_output_tokens!", (sum(cost_micros) over ())::bigint as "all_micros!",
            (sum(possibly_billed_requests) over ())::bigint as "all_possibly_billed!",
            (sum(unpriced_requests) over ())::bigint as "all_unpriced!"
        from rows
        order by day desc, kind, api_key_id nulls first, provider, model, tier
        limit $4
        "#,
        tenant.0,
        from,
        to,
        limit,
        api_key.map(|key| key.0),
    )
    .fetch_all(conn)
    .await?;
    let sum = rows.first().map(|first| UsageSum {
        requests: first.all_requests,
        input_tokens: first.all_input_tokens,
        output_tokens: first.all_output_tokens,
        cost_micros: first.all_micros,
        possibly_billed_requests: first.all_possibly_billed,
        unpriced_requests: first.all_unpriced,
    });
    let rows = rows.into_iter().map(|row| UsageRow {
        day: row.day,
        kind: row.kind,
        api_key: row.api_key,
        provider: row.provider,
        model: row.model,
        tier: row.tier,
        requests: row.requests,
        failed_requests: row.failed_requests,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        cached_tokens: row.cached_tokens,
        cost_micros: row.cost_micros,
        possibly_billed_requests: row.possibly_billed_requests,
        unpriced_requests: row.unpriced_requests,
    });
    Ok(Usage {
        rows: rows.collect(),
        sum: sum.unwrap_or_default(),
    })
}

/// The usage of a tenant.
#[derive(Clone, Debug)]
pub struct TenantUsage {
    pub tenant: TenantId,
    pub slug: String,
    pub requests: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    /// Millionths of a US dollar, of requests with a price.
    pub cost_micros: i64,
    pub possibly_billed_requests: i64,
    pub unpriced_requests: i64,
}

/// Sums the requests of each tenant that made any; the most expensive first.
pub async fn by_tenant(
    conn: &mut PgConnection,
    Days { from, to }: Days,
    limit: i64,
) -> Result<Vec<TenantUsage>, sqlx::Error> {
    // One range of the index per tenant: there is no index over the days of all tenants.
    sqlx::query_as!(
        TenantUsage,
        r#"
        select tenants.id as "tenant: TenantId", tenants.slug, usage.requests as "requests!",
            usage.input_tokens as "input_tokens!", usage.output_tokens as "output_tokens!", usage.cost_micros as "cost_micros!",
            usage.possibly_billed_requests as "possibly_billed_requests!", usage.unpriced_requests as "unpriced_requests!"
        from tenants, lateral (
            select count(*) as requests, coalesce(sum(input_tokens), 0)::bigint as input_tokens,
                coalesce(sum(output_tokens), 0)::bigint as output_tokens, coalesce(sum(cost_micros), 0)::bigint as cost_micros,
                count(*) filter (where billing = 'possibly_billed') as possibly_billed_requests,
                count(*) filter (where billing <> 'reserved' and input_tokens + output_tokens > 0 and cost_micros is null)
                    as unpriced_requests
            from llm_calls
            where tenant_id = tenants.id and created_at >= $1::date::timestamp at time zone 'UTC'
              and created_at < ($2::date + 1)::timestamp at time zone 'UTC'
        ) usage
        where usage.requests > 0
        order by usage.cost_micros desc, tenants.slug
        limit $3
        "#,
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
pub async fn of_job(
    conn: &mut PgConnection,
    tenant: TenantId,
    job: JobId,
) -> Result<JobCost, sqlx::Error> {
    sqlx::query_as!(
        JobCost,
        r#"
        select count(*) filter (where tier <> 'cache') as "requests!",
            coalesce(sum(input_tokens + output_tokens), 0)::bigint as "tokens!",
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
