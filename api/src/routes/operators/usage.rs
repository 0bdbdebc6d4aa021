//! What the tenants used language models for and what it cost: `GET /v1/admin/usage`.

use crate::{
    AppState,
    error::ApiError,
    extract::StrictQuery,
    route_table::{Access, Route},
    routes::usage::days,
};
use axum::{Json, extract::State, http::Method};
use base::TenantId;
use chrono::NaiveDate;
use jobs::{
    domain::{session::Scope, time::Day},
    store::llm_usage::{self, TenantUsage},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More tenants than one page shows; the most expensive come first.
const TENANTS: i64 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/admin/usage",
            "get_tenants_usage",
            Access::Operators(Scope::OperatorsRead),
            usage,
        )
        .summary("Get the usage and cost of language models by tenant, most expensive first")
        .query::<TenantsUsageQuery>()
        .answer::<TenantsUsageBody>(200, "The usage of the tenants that used any"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TenantsUsageQuery {
    /// The first day, in UTC; 30 days before `to` by default.
    from: Option<Day>,
    /// The last day, in UTC; today by default. At most 92 days after `from`.
    to: Option<Day>,
}

/// The usage of language models by all tenants.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TenantsUsage")]
struct TenantsUsageBody {
    from: NaiveDate,
    to: NaiveDate,
    /// At most 1000.
    tenants: Vec<TenantUsageBody>,
}

/// The usage of one tenant.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TenantUsage")]
struct TenantUsageBody {
    tenant_id: TenantId,
    /// The tenant's short name.
    slug: String,
    #[schemars(range(min = 0))]
    requests: i64,
    #[schemars(range(min = 0))]
    input_tokens: i64,
    #[schemars(range(min = 0))]
    output_tokens: i64,
    /// Millionths of a US dollar, without `unpriced_requests`.
    #[schemars(range(min = 0))]
    cost_micros: i64,
    #[schemars(range(min = 0))]
    possibly_billed_requests: i64,
    /// Requests of models whose price is not known.
    #[schemars(range(min = 0))]
    unpriced_requests: i64,
}

async fn usage(
    State(app): State<AppState>,
    StrictQuery(query): StrictQuery<TenantsUsageQuery>,
) -> Result<Json<TenantsUsageBody>, ApiError> {
    let days = days(&app, query.from, query.to)?;
    let mut conn = app.pool.acquire().await?;
    let tenants = llm_usage::by_tenant(&mut conn, days, TENANTS).await?;
    drop(conn);
    let tenants = tenants.into_iter().map(TenantUsageBody::from).collect();
    Ok(Json(TenantsUsageBody {
        from: days.from,
        to: days.to,
        tenants,
    }))
}

impl From<TenantUsage> for TenantUsageBody {
    fn from(usage: TenantUsage) -> Self {
        Self {
            tenant_id: usage.tenant,
            slug: usage.slug,
            requests: usage.requests,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cost_micros: usage.cost_micros,
            possibly_billed_requests: usage.possibly_billed_requests,
            unpriced_requests: usage.unpriced_requests,
        }
    }
}
