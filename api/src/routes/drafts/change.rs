//! Revising, discarding and proposing a draft again.

use super::{Draft, instructions, not_yours};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    etag::Versioned,
    extract::{CurrentSession, Id, Idempotent, IfMatch, if_match},
    route_table::{Access, ResponseHeader, Route},
    routes::jobs::{JobBody, submit},
};
use axum::{extract::State, http::Method, response::Response};
use jobs::{
    commands::{
        drafts::{
            discard::{DiscardError, discard_draft},
            lock::LockDraftError,
            propose::{ProposeError, propose_draft},
            revise::ReviseError,
        },
        jobs::submit_draft::{SubmitDraft, submit_draft},
    },
    domain::{DraftId, draft::Tone, session::Scope},
    kinds::draft::{Args, Base, DraftGenerate},
};
use schemars::JsonSchema;
use serde::Deserialize;

const JSON: &str = "application/json";
const PRIORITY: i16 = 3;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/v1/drafts/{id}/revise",
            "revise_draft",
            Access::Session(Scope::ApprovalsDecide),
            revise,
        )
        .summary("Revise a draft")
        .description("A job writes the next version; an approval of this version is withdrawn.")
        .idempotent()
        .body::<Revise>(JSON)
        .answer::<JobBody>(202, "The job that writes the next version")
        .headers(&[ResponseHeader::Location])
        .answer::<JobBody>(200, "The job that already does or did this work")
        .headers(&[ResponseHeader::Location])
        .errors(&[Code::Conflict, Code::NotYours]),
        Route::new(
            Method::POST,
            "/v1/drafts/{id}/discard",
            "discard_draft",
            Access::Session(Scope::ApprovalsDecide),
            discard,
        )
        .summary("Discard a draft, which is then never sent")
        .if_match()
        .versioned::<Draft>(200, "The draft as it is now")
        .errors(&[Code::Conflict, Code::NotYours]),
        Route::new(
            Method::POST,
            "/v1/drafts/{id}/propose",
            "propose_draft",
            Access::Session(Scope::ApprovalsDecide),
            propose,
        )
        .summary("Propose a draft again that could not be sent")
        .description("The same version gets another approval. Only a draft that is `send_failed`.")
        .if_match()
        .versioned::<Draft>(200, "The draft with its new approval")
        .errors(&[Code::Conflict, Code::NotYours]),
    ]
}

/// A revision of a draft.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReviseDraft")]
struct Revise {
    /// The version that you have read; 409 if it is not the newest.
    #[schemars(range(min = 1))]
    base_version: i32,
    /// What to change.
    #[schemars(length(min = 1, max = 2000))]
    instructions: String,
    #[serde(default)]
    tone: Option<Tone>,
}

async fn revise(
    State(app): State<AppState>,
    Id(draft_id): Id<DraftId>,
    Idempotent {
        request: keyed,
        fingerprint,
        body,
    }: Idempotent<Revise>,
) -> Result<Response, ApiError> {
    let base = Base {
        draft_id,
        version: body.base_version,
    };
    let instructions = instructions::instructions(&body.instructions)?;
    let request = SubmitDraft {
        session: &keyed.session,
        key: keyed.request_key(),
        fingerprint,
        args: Args {
            tone: body.tone,
            ..Args::revise(base, instructions, keyed.session.user)
        },
        external_id: None,
        run_at: None,
        priority: PRIORITY,
        request_id: &keyed.context.request_id,
        traceparent: &keyed.context.traceparent,
        answer_of: submit::answer_of,
    };
    let submitted = submit_draft(&app.pool, &app.notifier, request).await?;
    submit::count::<DraftGenerate>(&app, submitted.how);
    Ok(submit::respond(submitted))
}

async fn discard(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<DraftId>,
    IfMatch(seen): IfMatch,
) -> Result<Versioned<Draft>, ApiError> {
    let request_id = &context.request_id;
    let draft = discard_draft(&app.pool, &session, (id, &seen), request_id).await?;
    Ok(Versioned(draft.into()))
}

async fn propose(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<DraftId>,
    IfMatch(seen): IfMatch,
) -> Result<Versioned<Draft>, ApiError> {
    let (request_id, at) = (&context.request_id, app.clock.now());
    let draft = propose_draft(&app.pool, &session, (id, &seen), request_id, at).await?;
    Ok(Versioned(draft.into()))
}

impl From<LockDraftError> for ApiError {
    fn from(error: LockDraftError) -> Self {
        match error {
            LockDraftError::NotFound => Self::not_found(),
            LockDraftError::NotYours => not_yours(),
            LockDraftError::Stale { .. } => if_match::stale(),
            LockDraftError::Database(source) => source.into(),
        }
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Lock(error) => error.into(),
            ProposeError::Refused(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The draft is {}. Only a draft that is send_failed can be proposed again.",
                    refused.status
                ),
            ),
            ProposeError::Database(source) => source.into(),
        }
    }
}

impl From<ReviseError> for ApiError {
    fn from(error: ReviseError) -> Self {
        match error {
            ReviseError::Lock(LockDraftError::Stale { present, .. }) => Self::new(
                Code::Conflict,
                format!("Version {present} is the newest. Read it and revise that one."),
            ),
            ReviseError::Lock(error) => error.into(),
            ReviseError::NotReady(status) => Self::new(
                Code::Conflict,
                format!(
                    "The draft is {status}. Only a draft that is ready or send_failed can be revised."
                ),
            ),
            ReviseError::Decided(status) => Self::new(
                Code::Conflict,
                format!("The draft's approval is {status}, so the draft cannot be revised."),
            ),
            ReviseError::Database(source) => source.into(),
        }
    }
}

impl From<DiscardError> for ApiError {
    fn from(error: DiscardError) -> Self {
        match error {
            DiscardError::Lock(error) => error.into(),
            DiscardError::Refused(refused) => Self::new(
                Code::Conflict,
                format!(
                    "The draft is {}, so it cannot be discarded.",
                    refused.status
                ),
            ),
            DiscardError::Decided(status) => Self::new(
                Code::Conflict,
                format!("The draft's approval is {status}. Undo or revoke that first."),
            ),
            DiscardError::Database(source) => source.into(),
        }
    }
}
