//! `POST /v1/jobs:batch`: many mails with one request, one key and one transaction, answered one by one.

use super::{Asked, JSON, NoParameters, Submission, Triage, TriageBody, answer_of, count, respond};
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, Problem, success},
    extract::{CurrentSession, IdempotencyKey, StrictQuery, body, json},
    fingerprint::{self, Content},
    route_table::{Access, Operation, Route},
    routes::jobs::JobBody,
};
use axum::{
    Extension,
    extract::{Request, State},
    http::Method,
    response::Response,
};
use jobs::{
    commands::jobs::submit_triage::{
        SubmitError, SubmitMany, SubmitOutcome, Submitted, submit_many,
    },
    domain::session::Scope,
    store::request_keys::{RequestKey, StoredAnswer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use std::sync::Arc;

const PATH: &str = "/v1/jobs:batch";
/// Forty kilobytes for each of a hundred mails.
pub(super) const BODY_BYTES: usize = 4 * 1024 * 1024;
const MOST_ITEMS: usize = 100;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        PATH,
        "submit_batch",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Have up to 100 mails triaged; each is answered for itself")
    .idempotent()
    .body_limit(BODY_BYTES)
    .body::<BatchBody>(JSON)
    .answer::<BatchAnswer>(207, "What became of each item, in their order")
}

/// Up to 100 mails. The request's `Idempotency-Key` covers them all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Batch")]
pub(super) struct BatchBody {
    /// Each as for `POST /v1/jobs/triage`. One that cannot be used does not keep the others back.
    #[schemars(with = "Vec<TriageBody>", length(min = 1, max = 100))]
    items: Vec<Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BatchResult")]
struct BatchAnswer {
    items: Vec<ItemAnswer>,
}

/// What became of one item.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BatchItem")]
struct ItemAnswer {
    /// Its place in the request, from 0.
    index: usize,
    /// What the item alone would have been answered with.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<JobBody>")]
    job: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Problem>")]
    problem: Option<Box<RawValue>>,
}

async fn submit(
    State(app): State<AppState>,
    Extension(operation): Extension<Arc<Operation>>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    key: IdempotencyKey,
    request: Request,
) -> Result<Response, ApiError> {
    let (items, fingerprint) = read_items(&app, &operation, request).await?;
    let asked = Asked {
        session,
        operation,
        context,
        key,
    };
    let mut usable = Vec::with_capacity(items.len());
    let mut places: Vec<Result<(), ApiError>> = Vec::with_capacity(items.len());
    for item in items {
        let submission = understand(item, fingerprint);
        let request = match submission {
            Ok(submission) => submission.into_request(&app, &asked).await,
            Err(error) => Err(error),
        };
        places.push(request.map(|request| usable.push(request)));
    }
    let request = SubmitMany {
        key: RequestKey {
            tenant: asked.session.tenant,
            actor: asked.session.user,
            operation: asked.operation.name,
            key: asked.key.as_str(),
        },
        fingerprint,
        items: &usable,
        answer_of,
    };
    let mut hows = Vec::new();
    let compose = |done: Vec<Result<Submitted, SubmitError>>| {
        hows.extend(done.iter().flatten().map(|submitted| submitted.how));
        compose(places, done, &asked.context.request_id)
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

/// The items, with the fingerprint of the request.
pub(super) async fn read_items(
    app: &App,
    operation: &Operation,
    request: Request,
) -> Result<(Vec<Value>, [u8; 32]), ApiError> {
    let uri = request.uri().clone();
    if body::media_type(request.headers()) != JSON {
        return Err(body::unsupported(JSON));
    }
    StrictQuery::<NoParameters>::parse(&uri)?;
    let value = json::parse(&body::read(app, request).await?)?;
    let fingerprint = fingerprint::of_request(operation, &uri, Content::Json(&value))
        .map_err(ApiError::internal)?;
    let BatchBody { items } = json::into_type(value)?;
    if !(1..=MOST_ITEMS).contains(&items.len()) {
        return Err(
            ApiError::new(Code::InvalidBody, "Send 1 to 100 items with one request.").at(
                "/items",
                "INVALID_VALUE",
                "There are too few or too many.",
            ),
        );
    }
    Ok((items, fingerprint))
}

pub(super) fn understand(item: Value, fingerprint: [u8; 32]) -> Result<Submission, ApiError> {
    let body: TriageBody = json::into_type(item)?;
    let submission = Submission::of_body(&body, fingerprint)?;
    submission.options.check()?;
    Ok(submission)
}

/// The answers of all items: of those that could be used, in their order, `done`.
fn compose(
    places: Vec<Result<(), ApiError>>,
    done: Vec<Result<Submitted, SubmitError>>,
    request_id: &str,
) -> StoredAnswer {
    let mut done = done.into_iter();
    let items = places.into_iter().enumerate().map(|(index, place)| {
        let answered = place.and_then(|()| match done.next() {
            Some(done) => done.map_err(ApiError::from),
            None => Err(ApiError::internal("an item was not answered")),
        });
        match answered {
            Ok(Submitted { answer, .. }) => ItemAnswer {
                index,
                status: answer.status,
                job: serde_json::from_slice(&answer.body).ok(),
                problem: None,
            },
            Err(error) => {
                let problem = error
                    .below(&format!("/items/{index}"))
                    .problem(request_id, PATH);
                ItemAnswer {
                    index,
                    status: problem.status,
                    job: None,
                    problem: to_raw_value(&problem).ok(),
                }
            }
        }
    });
    let answer = BatchAnswer {
        items: items.collect(),
    };
    StoredAnswer {
        status: success::MULTI_STATUS.as_u16(),
        location: None,
        body: serde_json::to_vec(&answer).expect("an answer has only string keys"),
    }
}
