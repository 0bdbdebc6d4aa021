//! What a person does with a draft, beside approving it: have it changed, or not want it.

use super::{Draft, parse_id, words};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, IdempotencyKey, IfMatch, StrictJson, if_match},
    fingerprint::{self, Content},
    route_table::{Access, Operation, Place, Route},
    routes::jobs::{JobBody, submit},
};
use axum::{
    Extension, Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderName, Method, header},
    response::Response,
};
use jobs::{
    commands::{
        drafts::{
            discard::{DiscardError, discard_draft},
            revise::ReviseError,
        },
        jobs::submit_draft::{SubmitDraft, submit_draft},
    },
    domain::{draft::Tone, session::Scope},
    kinds::draft::{Args, Base, DraftGenerate},
    store::request_keys::RequestKey,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
        .summary("Have the next version of a draft written")
        .idempotent()
        .body::<Revise>(JSON)
        .answer::<JobBody>(202, "The job that writes it"),
        Route::new(
            Method::POST,
            "/v1/drafts/{id}/discard",
            "discard_draft",
            Access::Session(Scope::ApprovalsDecide),
            discard,
        )
        .summary("Decide that a draft is never sent")
        .parameter::<String>(
            Place::Header,
            "If-Match",
            true,
            "The ETag of the draft as you have seen it",
        )
        .answer::<Draft>(200, "The draft as it is now"),
    ]
}

/// What is to be changed.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DraftRevise")]
struct Revise {
    /// The version you have seen: an older one than the newest is refused with 409.
    base_version: i32,
    /// 1 to 2,000 characters.
    instructions: String,
    #[serde(default)]
    tone: Option<Tone>,
}

async fn revise(
    State(app): State<AppState>,
    Extension(operation): Extension<Arc<Operation>>,
    CurrentSession(session): CurrentSession,
    (context, OriginalUri(uri)): (RequestContext, OriginalUri),
    Path(id): Path<String>,
    key: IdempotencyKey,
    StrictJson(body): StrictJson<Revise>,
) -> Result<Response, ApiError> {
    let draft_id = parse_id(&id)?;
    let value = serde_json::to_value(&body).map_err(ApiError::internal)?;
    let fingerprint = fingerprint::of_request(&operation, &uri, Content::Json(&value))
        .map_err(ApiError::internal)?;
    let base = Base {
        draft_id,
        version: body.base_version,
    };
    let instructions = words::instructions(&body.instructions)?;
    let request = SubmitDraft {
        session: &session,
        key: RequestKey {
            tenant: session.tenant,
            actor: session.user,
            operation: operation.name,
            key: key.as_str(),
        },
        fingerprint,
        args: Args {
            tone: body.tone,
            ..Args::revise(base, instructions, session.user)
        },
        external_id: None,
        run_at: None,
        priority: PRIORITY,
        request_id: &context.request_id,
        traceparent: &context.traceparent,
        at: app.clock.now(),
        answer_of: submit::answer_of,
    };
    let submitted = submit_draft(&app.pool, &app.notifier, request).await?;
    submit::count::<DraftGenerate>(&app, submitted.how);
    Ok(submit::respond(submitted))
}

type Versioned = ([(HeaderName, String); 1], Json<Draft>);

async fn discard(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<Versioned, ApiError> {
    let id = parse_id(&id)?;
    let request_id = &context.request_id;
    let draft = discard_draft(&app.pool, &session, id, version, request_id).await?;
    let etag = format!("\"{}\"", draft.version);
    Ok(([(header::ETAG, etag)], Json(draft.into())))
}

impl From<ReviseError> for ApiError {
    fn from(error: ReviseError) -> Self {
        match error {
            ReviseError::NotFound => Self::not_found(),
            ReviseError::Stale { present, .. } => Self::new(
                Code::Conflict,
                format!("Version {present} is the newest. Read it and say what to change in it."),
            ),
            ReviseError::NotReady(status) => Self::new(
                Code::Conflict,
                format!("The draft is {status}; only one that is ready can be revised."),
            ),
            ReviseError::Decided(status) => Self::new(
                Code::Conflict,
                format!("The draft's approval is {status}; one cannot revise it then."),
            ),
            ReviseError::Database(source) => source.into(),
        }
    }
}

impl From<DiscardError> for ApiError {
    fn from(error: DiscardError) -> Self {
        match error {
            DiscardError::NotFound => Self::not_found(),
            DiscardError::Stale { .. } => if_match::stale(),
            DiscardError::Refused(refused) => Self::new(
                Code::Conflict,
                format!("The draft is {}; it cannot be discarded.", refused.status),
            ),
            DiscardError::Decided(status) => Self::new(
                Code::Conflict,
                format!("The draft's approval is {status}: take that back first."),
            ),
            DiscardError::Database(source) => source.into(),
        }
    }
}
