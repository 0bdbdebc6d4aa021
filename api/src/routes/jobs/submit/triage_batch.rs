//! Submitting many emails as one job that ends when all of them are triaged: `POST /v1/jobs/triage:batch`.

use super::{SUBMIT_ERRORS, Triage, answer_of, batch, count, respond};
use crate::{
    AppState,
    error::{ApiError, Code},
    extract::{KeyedRequest, NoQuery},
    route_table::{Access, ResponseHeader, Route},
    routes::jobs::JobBody,
};
use axum::{
    extract::{Request, State},
    http::Method,
    response::Response,
};
use jobs::{
    commands::jobs::submit_triage::{FamilyError, SubmitMany, submit_family},
    domain::session::Scope,
};

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/triage:batch",
        "submit_triage_batch",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Triage up to 100 emails as one job that summarizes their results")
    .idempotent()
    .body_limit(batch::BODY_BYTES)
    .query::<NoQuery>()
    .body::<batch::BatchBody>(super::JSON)
    .answer::<JobBody>(
        202,
        "The parent job, which waits for the jobs of the emails",
    )
    .headers(&[ResponseHeader::Location])
    .errors(SUBMIT_ERRORS)
    .errors(&[Code::DedupeKeyInFlight, Code::Gone, Code::NotAnEmail])
}

async fn submit(
    State(app): State<AppState>,
    keyed: KeyedRequest,
    request: Request,
) -> Result<Response, ApiError> {
    let (items, fingerprint) = batch::read_items(&app, &keyed.operation, request).await?;
    let mut emails = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let submission = batch::parse_item(item, fingerprint);
        let email = match submission {
            Ok(submission) => submission.into_request(&app, &keyed).await,
            Err(error) => Err(error),
        };
        emails.push(email.map_err(|error| at(index, error))?);
    }
    let request = SubmitMany {
        key: keyed.request_key(),
        fingerprint,
        items: &emails,
        answer_of,
    };
    let submitted = submit_family(&app.pool, &app.notifier, request)
        .await
        .map_err(|error| match error {
            FamilyError::Item { index, source } => at(index, source.into()),
            FamilyError::Request(source) => source.into(),
        })?;
    count::<Triage>(&app, submitted.how);
    Ok(respond(submitted))
}

fn at(index: usize, error: ApiError) -> ApiError {
    error.below(&format!("/items/{index}"))
}
