//! `POST /v1/jobs/triage:batch`: many mails as one job, which ends when all of them are judged.

use super::{Asked, Triage, answer_of, batch, count, respond};
use crate::{
    AppState,
    context::RequestContext,
    error::ApiError,
    extract::{CurrentSession, IdempotencyKey},
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
    commands::jobs::submit_triage::{FamilyError, SubmitMany, submit_family},
    domain::session::Scope,
    store::request_keys::RequestKey,
};
use std::sync::Arc;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/triage:batch",
        "submit_family",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Have up to 100 mails triaged as one job, which sums up their results")
    .idempotent()
    .body_limit(batch::BODY_BYTES)
    .body::<batch::BatchBody>(super::JSON)
    .answer::<JobBody>(202, "The job that waits for the mails' jobs, its children")
}

async fn submit(
    State(app): State<AppState>,
    Extension(operation): Extension<Arc<Operation>>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    key: IdempotencyKey,
    request: Request,
) -> Result<Response, ApiError> {
    let (items, fingerprint) = batch::read_items(&app, &operation, request).await?;
    let asked = Asked {
        session,
        operation,
        context,
        key,
    };
    let mut mails = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let submission = batch::understand(item, fingerprint);
        let mail = match submission {
            Ok(submission) => submission.into_request(&app, &asked).await,
            Err(error) => Err(error),
        };
        mails.push(mail.map_err(|error| at(index, error))?);
    }
    let request = SubmitMany {
        key: RequestKey {
            tenant: asked.session.tenant,
            actor: asked.session.user,
            operation: asked.operation.name,
            key: asked.key.as_str(),
        },
        fingerprint,
        items: &mails,
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
