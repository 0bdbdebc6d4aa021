//! `POST /v1/jobs/action`: actions become a job. What needs a person becomes an approval there; what a person has agreed to
//! has its job already.

use super::{count, options, respond};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, IdempotencyKey, body, json},
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
use chrono::{DateTime, Utc};
use jobs::{
    commands::jobs::submit_action::{SubmitAction, SubmitActionError, submit_action},
    domain::{
        ApprovalId, MessageId,
        action::{ActionType, OpenTo, Params},
        gate::TrustMode,
        session::Scope,
    },
    kinds::action::{ActionExecute, Args, OnError, RequestedAction, Work},
    store::request_keys::RequestKey,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

const BODY_BYTES: usize = 256 * 1024;
const MOST_ACTIONS: usize = 50;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/action",
        "submit_action",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Have actions done, or find the job of an approval")
    .idempotent()
    .body_limit(BODY_BYTES)
    .body::<ActionBody>(super::JSON)
    .answer::<JobBody>(202, "A new job")
    .answer::<JobBody>(200, "The job that carries out the approval")
}

/// Either `actions`, or `approval_id` with `version`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionBody {
    /// 1 to 50, done in this order.
    #[serde(default)]
    actions: Option<Vec<ActionItemBody>>,
    /// An approval that a person has agreed to.
    #[serde(default)]
    approval_id: Option<ApprovalId>,
    #[serde(default)]
    version: Option<i32>,
    /// Say what would happen, and touch nothing.
    #[serde(default)]
    dry_run: bool,
    /// Whether an action that fails keeps the later ones from being done; `stop` if it is left out.
    #[serde(default)]
    on_error: Option<OnError>,
    /// May only lower the trust that your account has set.
    #[serde(default)]
    trust_mode: Option<TrustMode>,
    /// 3 if it is left out.
    #[serde(default)]
    priority: Option<options::Priority>,
    /// Not before then, at most a year from now.
    #[serde(default)]
    run_at: Option<DateTime<Utc>>,
}

/// One action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Action")]
struct ActionItemBody {
    r#type: ActionType,
    /// What it needs, by its type: see the README.
    #[serde(default)]
    payload: Map<String, Value>,
    /// The mail it is about.
    #[serde(default)]
    message_id: Option<MessageId>,
    /// Your name for what is done, 1 to 255 characters: used again, it is not done again. If it is left out, the same
    /// type and payload about the same mail is the same.
    #[serde(default)]
    external_id: Option<String>,
}

async fn submit(
    State(app): State<AppState>,
    Extension(operation): Extension<Arc<Operation>>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    key: IdempotencyKey,
    request: Request,
) -> Result<Response, ApiError> {
    let uri = request.uri().clone();
    if body::media_type(request.headers()) != super::JSON {
        return Err(body::unsupported(super::JSON));
    }
    let value = json::parse(&body::read(&app, request).await?)?;
    let fingerprint = fingerprint::of_request(&operation, &uri, Content::Json(&value))
        .map_err(ApiError::internal)?;
    let body: ActionBody = json::into_type(value)?;
    let now = app.clock.now();
    let priority = options::priority(body.priority)?;
    let run_at = options::run_at(body.run_at, now)?;
    let args = Args {
        on_error: body.on_error.unwrap_or(OnError::Stop),
        dry_run: body.dry_run,
        trust: body.trust_mode,
        user: Some(session.user),
        work: work(body)?,
    };
    let request = SubmitAction {
        key: RequestKey {
            tenant: session.tenant,
            actor: session.user,
            operation: operation.name,
            key: key.as_str(),
        },
        session: &session,
        fingerprint,
        args,
        run_at,
        priority,
        request_id: &context.request_id,
        traceparent: &context.traceparent,
        at: now,
        answer_of: super::answer_of,
    };
    let submitted = submit_action(&app.pool, &app.notifier, request).await?;
    count::<ActionExecute>(&app, submitted.how);
    Ok(respond(submitted))
}

fn work(body: ActionBody) -> Result<Work, ApiError> {
    match (body.actions, body.approval_id, body.version) {
        (None, Some(approval_id), Some(version)) if !body.dry_run => Ok(Work::Approval {
            approval_id,
            version,
        }),
        (Some(actions), None, None) if (1..=MOST_ACTIONS).contains(&actions.len()) => {
            let mut read = Vec::with_capacity(actions.len());
            for (index, action) in actions.into_iter().enumerate() {
                read.push(understand(index, action)?);
            }
            Ok(Work::Requested(read))
        }
        (Some(_), None, None) => Err(
            ApiError::new(Code::InvalidBody, "Send 1 to 50 actions.").at(
                "/actions",
                "INVALID_VALUE",
                "It holds none, or too many.",
            ),
        ),
        _ => Err(ApiError::new(
            Code::InvalidBody,
            "Send either `actions`, or `approval_id` with its `version` and without `dry_run`.",
        )
        .at("", "INVALID_VALUE", "The fields do not go together.")),
    }
}

fn understand(index: usize, action: ActionItemBody) -> Result<RequestedAction, ApiError> {
    let at = format!("/actions/{index}");
    if !action.r#type.is_open_to(OpenTo::Requests) {
        let detail = "A draft is sent by approving its approval.";
        return Err(ApiError::new(Code::InvalidBody, detail).at(
            format!("{at}/type"),
            "NOT_EXECUTABLE",
            detail,
        ));
    }
    if action
        .external_id
        .as_deref()
        .is_some_and(|id| !options::is_name(id))
    {
        return Err(options::invalid(
            "/external_id",
            "Use an external_id of 1 to 255 characters, none of them a control character.",
        )
        .below(&at));
    }
    let params = Params::read(action.r#type, &action.payload).map_err(|faults| {
        faults.into_iter().fold(
            ApiError::new(
                Code::InvalidBody,
                "Nothing was done: correct what is listed in `errors`.",
            ),
            |refusal, fault| {
                let mut pointer = format!("{at}/payload");
                json::push(&mut pointer, &fault.field);
                refusal.at(pointer, fault.code.to_uppercase(), fault.message)
            },
        )
    })?;
    Ok(RequestedAction {
        kind: action.r#type,
        params,
        message_id: action.message_id,
        external_id: action.external_id,
    })
}

impl From<SubmitActionError> for ApiError {
    fn from(error: SubmitActionError) -> Self {
        match error {
            SubmitActionError::NoApproval => Self::not_found(),
            SubmitActionError::NotApproved { status, version } => Self::new(
                Code::Conflict,
                format!(
                    "The approval is {status}, in version {version}: a person must approve it first."
                ),
            ),
            SubmitActionError::Submit(error) => error.into(),
        }
    }
}
