//! The budgets that limit what language models are used for: `/v1/budgets`.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, List, StrictJson},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use jobs::{
    commands::llm::{PutBudgetsError, put_budgets},
    domain::{ApiKeyId, llm::BudgetPeriod, session::Scope},
    kinds,
    store::llm_budgets::{self, EVERY_KIND, NewBudget, StoredBudget},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two periods for each kind, and for all kinds together, and as many for some keys.
const BUDGETS: usize = 100;

pub fn routes() -> Vec<Route> {
    let read = Access::Session(Scope::RulesRead);
    vec![
        Route::new(Method::GET, "/v1/budgets", "list_budgets", read, budgets)
            .summary("List the budgets for language models")
            .answer::<List<BudgetBody>>(200, "All budgets, and what was used of them"),
        Route::new(
            Method::PUT,
            "/v1/budgets",
            "put_budgets",
            Access::Session(Scope::SettingsWrite),
            put,
        )
        .summary("Replace the budgets for language models")
        .body::<NewBudgets>("application/json")
        .answer::<List<BudgetBody>>(200, "All budgets, and what was used of them"),
    ]
}

/// A budget, and what was used of it in the current period.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Budget")]
struct BudgetBody {
    /// The API key whose jobs it covers; null if it covers all jobs.
    api_key: Option<ApiKeyId>,
    /// A kind of job, or `*` for all kinds together.
    kind: String,
    period: BudgetPeriod,
    #[schemars(range(min = 0))]
    max_tokens: Option<i64>,
    /// Millionths of a US dollar.
    #[schemars(range(min = 0))]
    max_cost_micros: Option<i64>,
    #[schemars(range(min = 0))]
    spent_tokens: i64,
    #[schemars(range(min = 0))]
    spent_cost_micros: i64,
    /// The most that requests in flight may use.
    #[schemars(range(min = 0))]
    reserved_tokens: i64,
    #[schemars(range(min = 0))]
    reserved_cost_micros: i64,
}

/// All budgets of the tenant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewBudgets {
    /// At most 100; none lifts all limits.
    #[schemars(length(max = 100))]
    budgets: Vec<NewBudgetBody>,
}

/// A budget. Jobs that it does not cover wait until it is renewed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewBudget")]
struct NewBudgetBody {
    /// Covers only the jobs that this API key submits, directly or through another job. Budgets without a key cover them too.
    api_key: Option<ApiKeyId>,
    /// A kind of job, or `*` for all kinds together.
    kind: String,
    /// A day or month of UTC.
    period: BudgetPeriod,
    /// Input and output tokens together.
    #[schemars(range(min = 0))]
    max_tokens: Option<i64>,
    /// Millionths of a US dollar.
    #[schemars(range(min = 0))]
    max_cost_micros: Option<i64>,
}

async fn budgets(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<List<BudgetBody>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    Ok(List::of(
        llm_budgets::list(&mut conn, session.tenant).await?,
    ))
}

async fn put(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewBudgets>,
) -> Result<Json<List<BudgetBody>>, ApiError> {
    let budgets = checked(body)?;
    let stored = put_budgets(&app.pool, &session, &budgets, &context.request_id).await?;
    Ok(List::of(stored))
}

fn invalid(pointer: String, code: &'static str, detail: &'static str) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "A budget is invalid. Correct what `errors` lists.",
    )
    .at(pointer, code, detail)
}

impl From<PutBudgetsError> for ApiError {
    fn from(error: PutBudgetsError) -> Self {
        match error {
            PutBudgetsError::NoKey(place) => invalid(
                format!("/budgets/{place}/api_key"),
                "INVALID_VALUE",
                "Must be the id of an API key of your tenant.",
            ),
            PutBudgetsError::Database(error) => error.into(),
        }
    }
}

/// Checks what the table would refuse.
fn checked(body: NewBudgets) -> Result<Vec<NewBudget>, ApiError> {
    if body.budgets.len() > BUDGETS {
        let detail = "Give at most 100 budgets.";
        return Err(invalid("/budgets".into(), "OUT_OF_RANGE", detail));
    }
    let known = kinds::names();
    let mut budgets: Vec<NewBudget> = Vec::with_capacity(body.budgets.len());
    for (index, budget) in body.budgets.into_iter().enumerate() {
        let at = |field: &str| format!("/budgets/{index}{field}");
        if budget.kind != EVERY_KIND && !known.contains(&budget.kind.as_str()) {
            let detail = "Must be a kind of job, or `*`.";
            return Err(invalid(at("/kind"), "INVALID_VALUE", detail));
        }
        for (field, amount) in [
            ("/max_tokens", budget.max_tokens),
            ("/max_cost_micros", budget.max_cost_micros),
        ] {
            if amount.is_some_and(|amount| amount < 0) {
                return Err(invalid(at(field), "OUT_OF_RANGE", "Must not be negative."));
            }
        }
        if budget.max_tokens.is_none() && budget.max_cost_micros.is_none() {
            let detail = "Give `max_tokens`, `max_cost_micros` or both.";
            return Err(invalid(at(""), "MISSING_FIELD", detail));
        }
        let twice = budgets.iter().any(|other| {
            (other.api_key, other.kind.as_str(), other.period)
                == (budget.api_key, budget.kind.as_str(), budget.period)
        });
        if twice {
            let detail = "Give one budget for each API key, kind and period.";
            return Err(invalid(at(""), "INVALID_VALUE", detail));
        }
        budgets.push(NewBudget {
            api_key: budget.api_key,
            kind: budget.kind,
            period: budget.period,
            max_tokens: budget.max_tokens,
            max_micros: budget.max_cost_micros,
        });
    }
    Ok(budgets)
}

impl From<StoredBudget> for BudgetBody {
    fn from(budget: StoredBudget) -> Self {
        Self {
            api_key: budget.api_key,
            kind: budget.kind,
            period: budget.period,
            max_tokens: budget.max_tokens,
            max_cost_micros: budget.max_micros,
            spent_tokens: budget.spent.tokens,
            spent_cost_micros: budget.spent.micros.unwrap_or_default(),
            reserved_tokens: budget.reserved.tokens,
            reserved_cost_micros: budget.reserved.micros.unwrap_or_default(),
        }
    }
}
