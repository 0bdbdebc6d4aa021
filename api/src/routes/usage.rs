//! What language models were used for and what it cost: `/v1/usage`.

use crate::{
    AppState,
    error::{ApiError, Code},
    extract::{CurrentSession, StrictQuery},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use chrono::{NaiveDate, TimeDelta};
use jobs::{
    domain::{ApiKeyId, llm::Tier, session::Scope, time::Day},
    store::llm_usage::{self, Days, UsageRow, UsageSum},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest time that one request reads.
const LONGEST: TimeDelta = TimeDelta::days(92);
/// The time that a request reads if it names none.
const DEFAULT: TimeDelta = TimeDelta::days(30);
/// The most rows of one answer.
const ROWS: i64 = 10_000;

pub fn routes() -> Vec<Route> {
    let read = Access::Session(Scope::RulesRead);
    vec![
        Route::new(Method::GET, "/v1/usage", "get_usage", read, usage)
            .summary(
                "Get the usage and cost of language models by day, kind and API key, newest first",
            )
            .query::<UsageQuery>()
            .answer::<UsageBody>(200, "The usage of your tenant"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// The first day, in UTC; 30 days before `to` by default.
    from: Option<Day>,
    /// The last day, in UTC; today by default. At most 92 days after `from`.
    to: Option<Day>,
    /// Only the jobs that this API key submitted, directly or through another job.
    api_key: Option<ApiKeyId>,
}

/// The usage of language models.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
struct UsageBody {
    from: NaiveDate,
    to: NaiveDate,
    total: UsageTotal,
    /// At most 10,000; the newest.
    #[schemars(length(max = 10_000))]
    days: Vec<UsageDay>,
}

/// The sum over all days, also those that `days` leaves out.
#[derive(Serialize, JsonSchema)]
struct UsageTotal {
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
    #[schemars(range(min = 0))]
    unpriced_requests: i64,
}

/// The usage of one model and tier on one day by the jobs of one kind that one API key, or people, submitted.
#[derive(Serialize, JsonSchema)]
struct UsageDay {
    day: NaiveDate,
    /// The kind of job.
    kind: String,
    /// The API key that submitted the jobs, directly or through another job; null for people and watched mailboxes.
    api_key: Option<ApiKeyId>,
    provider: String,
    model: String,
    /// How the provider served the requests.
    tier: Tier,
    #[schemars(range(min = 0))]
    requests: i64,
    /// Requests without a usable answer.
    #[schemars(range(min = 0))]
    failed_requests: i64,
    #[schemars(range(min = 0))]
    input_tokens: i64,
    #[schemars(range(min = 0))]
    output_tokens: i64,
    /// Part of `input_tokens`.
    #[schemars(range(min = 0))]
    cached_tokens: i64,
    /// Millionths of a US dollar, without `unpriced_requests`.
    #[schemars(range(min = 0))]
    cost_micros: i64,
    /// Requests that timed out or whose worker died. The provider may bill them; `cost_micros` has the most that they cost.
    #[schemars(range(min = 0))]
    possibly_billed_requests: i64,
    /// Requests of models whose price is not known.
    #[schemars(range(min = 0))]
    unpriced_requests: i64,
}

/// Returns the days of a request.
pub(super) fn days(app: &AppState, from: Option<Day>, to: Option<Day>) -> Result<Days, ApiError> {
    let today = || app.clock.now().date_naive();
    let to = to.map_or_else(today, Day::date);
    let from = from
        .map(Day::date)
        .or_else(|| to.checked_sub_signed(DEFAULT))
        .unwrap_or(to);
    if from > to || to - from > LONGEST {
        return Err(ApiError::new(
            Code::InvalidParameter,
            "Give a `from` that is at most 92 days before `to`.",
        ));
    }
    Ok(Days { from, to })
}

async fn usage(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    StrictQuery(query): StrictQuery<UsageQuery>,
) -> Result<Json<UsageBody>, ApiError> {
    let days = days(&app, query.from, query.to)?;
    let mut conn = app.pool.acquire().await?;
    let usage = llm_usage::by_day(&mut conn, session.tenant, query.api_key, days, ROWS).await?;
    Ok(Json(UsageBody {
        from: days.from,
        to: days.to,
        total: usage.sum.into(),
        days: usage.rows.into_iter().map(UsageDay::from).collect(),
    }))
}

impl From<UsageSum> for UsageTotal {
    fn from(sum: UsageSum) -> Self {
        Self {
            requests: sum.requests,
            input_tokens: sum.input_tokens,
            output_tokens: sum.output_tokens,
            cost_micros: sum.cost_micros,
            possibly_billed_requests: sum.possibly_billed_requests,
            unpriced_requests: sum.unpriced_requests,
        }
    }
}

impl From<UsageRow> for UsageDay {
    fn from(row: UsageRow) -> Self {
        Self {
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
        }
    }
}
