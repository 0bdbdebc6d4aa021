//! Submitting many emails with one request, one key and one transaction, each with its own result: `POST /v1/jobs:batch`.

use super::{JSON, Submission, Triage, TriageBody, answer_of, count, respond};
use crate::{
    AppState,
    error::{ApiError, Code, Problem, success},
    extract::{KeyedRequest, NoQuery, StrictQuery, idempotent, json},
    route_table::{Access, Operation, Route},
    routes::jobs::JobBody,
};
use axum::{
    extract::{Request, State},
    http::Method,
    response::Response,
};
use jobs::{
    commands::jobs::submit_triage::{
        SubmitError, SubmitMany, SubmitOutcome, Submitted, submit_many,
    },
    domain::session::Scope,
    store::request_keys::StoredAnswer,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

const PATH: &str = "/v1/jobs:batch";
/// 40 KiB for each of a hundred emails.
pub(super) const BODY_BYTES: usize = 4 * 1024 * 1024;
const MAX_ITEMS: usize = 100;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        PATH,
        "submit_batch",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Triage up to 100 emails, each as a job of its own")
    .description("An invalid item does not affect the others: each has its own status and body.")
    .idempotent()
    .body_limit(BODY_BYTES)
    .query::<NoQuery>()
    .body::<BatchBody>(JSON)
    .answer::<BatchResult>(207, "The result of each item, in their order")
    .errors(&[Code::DedupeKeyInFlight])
}

/// Up to 100 emails. The request's `Idempotency-Key` covers them all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TriageBatch")]
pub(super) struct BatchBody {
    /// Each as for `POST /v1/jobs/triage`.
    #[schemars(with = "Vec<TriageBody>", length(min = 1, max = 100))]
    items: Vec<Value>,
}

/// The result of a batch.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TriageBatchResult")]
struct BatchResult {
    items: Vec<ItemResult>,
}

/// The result of one item: either `job` or `problem`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(
    rename = "TriageBatchItem",
    extend("oneOf" = [{ "required": ["job"] }, { "required": ["problem"] }])
)]
struct ItemResult {
    /// Its place in the request, from 0.
    index: usize,
    /// The status that the item alone would have had.
    #[schemars(range(min = 200, max = 599))]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "JobBody")]
    job: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Problem")]
    problem: Option<Box<RawValue>>,
}

async fn submit(
    State(app): State<AppState>,
    keyed: KeyedRequest,
    request: Request,
) -> Result<Response, ApiError> {
    let (items, fingerprint) = read_items(&app, &keyed.operation, request).await?;
    let mut valid = Vec::with_capacity(items.len());
    let mut checks: Vec<Result<(), ApiError>> = Vec::with_capacity(items.len());
    for item in items {
        let submission = parse_item(item, fingerprint);
        let request = match submission {
            Ok(submission) => submission.into_request(&app, &keyed).await,
            Err(error) => Err(error),
        };
        checks.push(request.map(|request| valid.push(request)));
    }
    let request = SubmitMany {
        key: keyed.request_key(),
        fingerprint,
        items: &valid,
        answer_of,
    };
    let mut hows = Vec::new();
    let compose = |done: Vec<Result<Submitted, SubmitError>>| {
        hows.extend(done.iter().flatten().map(|submitted| submitted.how));
        compose(checks, done, &keyed.context.request_id)
    };
    let submitted = submit_many(&app.pool, &app.notifier, request, compose).await?;
    if submitted.how == SubmitOutcome::Replayed {
        hows.push(SubmitOutcome::Replayed);
    }
    for how in hows {
        count::<Triage>(&app, how);
    }
    Ok(respond(submitted))
}

/// Reads the items and the fingerprint of the request.
pub(super) async fn read_items(
    app: &AppState,
    operation: &Operation,
    request: Request,
) -> Result<(Vec<Value>, [u8; 32]), ApiError> {
    StrictQuery::<NoQuery>::parse(request.uri())?;
    let (value, fingerprint) = idempotent::read_json(app, operation, request).await?;
    let BatchBody { items } = json::into_type(value)?;
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(ApiError::new(Code::InvalidBody, "Send 1 to 100 items.").at(
            "/items",
            "INVALID_VALUE",
            "Must contain 1 to 100 items.",
        ));
    }
    Ok((items, fingerprint))
}

pub(super) fn parse_item(item: Value, fingerprint: [u8; 32]) -> Result<Submission, ApiError> {
    let body: TriageBody = json::into_type(item)?;
    let submission = Submission::of_body(&body, fingerprint)?;
    submission.options.check()?;
    Ok(submission)
}

/// Combines the results of all items; `done` holds those of the valid ones, in their order.
fn compose(
    checks: Vec<Result<(), ApiError>>,
    done: Vec<Result<Submitted, SubmitError>>,
    request_id: &str,
) -> StoredAnswer {
    let mut done = done.into_iter();
    let items = checks.into_iter().enumerate().map(|(index, check)| {
        let result = check.and_then(|()| match done.next() {
            Some(done) => done.map_err(ApiError::from),
            None => Err(ApiError::internal("an item has no result")),
        });
        match result {
            Ok(Submitted { answer, .. }) => ItemResult {
                index,
                status: answer.status,
                job: serde_json::from_slice(&answer.body).ok(),
                problem: None,
            },
            Err(error) => {
                let problem = error
                    .below(&format!("/items/{index}"))
                    .problem(request_id, PATH);
                ItemResult {
                    index,
                    status: problem.status,
                    job: None,
                    problem: to_raw_value(&problem).ok(),
                }
            }
        }
    });
    let result = BatchResult {
        items: items.collect(),
    };
    StoredAnswer {
        status: success::MULTI_STATUS.as_u16(),
        location: None,
        body: serde_json::to_vec(&result).expect("a result has only string keys"),
    }
}
