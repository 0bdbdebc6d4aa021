//! Submitting actions: `POST /v1/jobs/action`. Actions that need a person become approvals in the job; an approved one
//! already has its job.

use super::{SUBMIT_ERRORS, count, options, respond};
use crate::{
    AppState,
    error::{ApiError, Code},
    extract::{Idempotent, json},
    route_table::{Access, ResponseHeader, Route},
    routes::jobs::JobBody,
};
use axum::{extract::State, http::Method, response::Response};
use jobs::{
    commands::jobs::submit_action::{SubmitAction, SubmitActionError, submit_action},
    domain::{
        ApprovalId, MessageId,
        action::{ActionType, OpenTo, Params},
        gate::TrustMode,
        session::Scope,
        time::Moment,
    },
    kinds::action::{ActionExecute, Args, OnError, RequestedAction, Work},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

const BODY_BYTES: usize = 256 * 1024;
const MAX_ACTIONS: usize = 50;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/action",
        "submit_action",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Execute actions")
    .description("With `approval_id`, finds the job that executes an approval.")
    .idempotent()
    .body_limit(BODY_BYTES)
    .body::<ActionBody>(super::JSON)
    .answer::<JobBody>(202, "A new job")
    .headers(&[ResponseHeader::Location])
    .answer::<JobBody>(200, "The job that executes the approval")
    .headers(&[ResponseHeader::Location])
    .errors(SUBMIT_ERRORS)
    .errors(&[Code::NotFound, Code::Gone])
}

/// Actions to execute: either `actions`, or `approval_id` with `version`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "SubmitAction",
    extend("oneOf" = [
        { "required": ["actions"], "properties": { "approval_id": false, "version": false } },
        {
            "required": ["approval_id", "version"],
            "properties": { "actions": false, "dry_run": { "type": "boolean", "not": { "const": true } } },
        },
    ])
)]
pub(super) struct ActionBody {
    /// Executed in this order.
    #[serde(default)]
    #[schemars(with = "Vec<ActionItemBody>", length(min = 1, max = 50))]
    actions: Option<Vec<ActionItemBody>>,
    /// An approved approval.
    #[serde(default)]
    #[schemars(with = "ApprovalId")]
    approval_id: Option<ApprovalId>,
    /// The version of the approval.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 1))]
    version: Option<i32>,
    /// Reports what would happen, without effects. Only with `actions`.
    #[serde(default)]
    dry_run: bool,
    /// Whether a failed action stops the later ones; `stop` by default.
    #[serde(default)]
    on_error: Option<OnError>,
    /// Lowers the trust mode of your settings for these actions; it cannot raise it.
    #[serde(default)]
    trust_mode: Option<TrustMode>,
    /// 3 by default.
    #[serde(default)]
    priority: Option<options::Priority>,
    /// The earliest start, at most a year from now.
    #[serde(default)]
    run_at: Option<Moment>,
}

/// One action.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Action")]
struct ActionItemBody {
    r#type: ActionType,
    /// Its parameters, by its type.
    #[serde(default)]
    payload: Map<String, Value>,
    /// The email it is about: the id in the output of its triage.
    #[serde(default)]
    message_id: Option<MessageId>,
    /// Your name for this action, without control characters: an action with a used name is not executed again. Without
    /// it, the same type and payload about the same email count as the same action.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    external_id: Option<String>,
}

async fn submit(
    State(app): State<AppState>,
    Idempotent {
        request: keyed,
        fingerprint,
        body,
    }: Idempotent<ActionBody>,
) -> Result<Response, ApiError> {
    let priority = options::priority(body.priority)?;
    let run_at = options::run_at(body.run_at, app.clock.now())?;
    let args = Args {
        on_error: body.on_error.unwrap_or(OnError::Stop),
        dry_run: body.dry_run,
        trust: body.trust_mode,
        user: keyed.session.person(),
        api_key: keyed.session.api_key(),
        work: parse_work(body)?,
    };
    let request = SubmitAction {
        key: keyed.request_key(),
        session: &keyed.session,
        fingerprint,
        args,
        run_at,
        priority,
        request_id: &keyed.context.request_id,
        traceparent: &keyed.context.traceparent,
        answer_of: super::answer_of,
    };
    let submitted = submit_action(&app.pool, &app.notifier, request).await?;
    count::<ActionExecute>(&app, submitted.how);
    Ok(respond(submitted))
}

fn parse_work(body: ActionBody) -> Result<Work, ApiError> {
    match (body.actions, body.approval_id, body.version) {
        (None, Some(approval_id), Some(version)) if !body.dry_run => Ok(Work::Approval {
            approval_id,
            version,
        }),
        (Some(actions), None, None) if (1..=MAX_ACTIONS).contains(&actions.len()) => {
            let actions = actions.into_iter().enumerate();
            let parsed: Result<_, _> = actions
                .map(|(index, action)| parse_action(index, action))
                .collect();
            Ok(Work::Requested(parsed?))
        }
        (Some(_), None, None) => Err(
            ApiError::new(Code::InvalidBody, "Send 1 to 50 actions.").at(
                "/actions",
                "INVALID_VALUE",
                "Must contain 1 to 50 actions.",
            ),
        ),
        _ => Err(ApiError::new(
            Code::InvalidBody,
            "Send either `actions`, or `approval_id` with its `version` and without `dry_run`.",
        )
        .at(
            "",
            "INVALID_VALUE",
            "Must have exactly one of the two forms.",
        )),
    }
}

fn parse_action(index: usize, action: ActionItemBody) -> Result<RequestedAction, ApiError> {
    let at = format!("/actions/{index}");
    if !action.r#type.is_open_to(OpenTo::Requests) {
        let detail =
            "A draft is sent by approving its approval. Use POST /v1/approvals/{id}/approve.";
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
            "Use an external_id of 1 to 255 characters without control characters.",
        )
        .below(&at));
    }
    let params = Params::read(action.r#type, &action.payload).map_err(|faults| {
        faults.into_iter().fold(
            ApiError::new(
                Code::InvalidBody,
                "Nothing was executed. Correct the fields that `errors` lists.",
            ),
            |refusal, fault| {
                let mut pointer = format!("{at}/payload");
                json::push(&mut pointer, &fault.field);
                refusal.at(pointer, fault.code, fault.message)
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
            SubmitActionError::NoMessage { action } => {
                super::no_message(format!("/actions/{action}/message_id"))
            }
            SubmitActionError::NotApproved { status, version } => Self::new(
                Code::Conflict,
                format!(
                    "The approval is {status}, in version {version}. A person must approve it first."
                ),
            ),
            SubmitActionError::Submit(error) => error.into(),
        }
    }
}
