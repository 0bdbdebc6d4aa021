//! `POST /v1/jobs/draft`: a mail to be written becomes a job. Whether it is sent is decided with the approval of its version.

use super::{count, options, respond};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
    extract::{CurrentSession, IdempotencyKey, body, json},
    fingerprint::{self, Content},
    route_table::{Access, Operation, Route},
    routes::{drafts::words, jobs::JobBody},
};
use axum::{
    Extension,
    extract::{Request, State},
    http::Method,
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::jobs::submit_draft::{SubmitDraft, SubmitDraftError, submit_draft},
    domain::{
        DraftId, MessageId, Session,
        draft::{
            DraftMode, Tone,
            headers::{Recipients, is_address},
            send_at::SendAt,
        },
        session::Scope,
    },
    kinds::draft::{Args, Base, DraftGenerate, MAX_WORDS},
    store::request_keys::RequestKey,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const BODY_BYTES: usize = 64 * 1024;
const MOST_RECIPIENTS: usize = 50;
const FURTHEST_DAYS: i64 = 366;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/draft",
        "submit_draft",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Have a mail written, or the next version of a draft")
    .idempotent()
    .body_limit(BODY_BYTES)
    .body::<DraftBody>(super::JSON)
    .answer::<JobBody>(202, "A new job")
    .answer::<JobBody>(200, "The job that already does or did this work")
}

/// What is to be written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftBody {
    mode: DraftMode,
    /// The mail to answer, to forward or to remind of: the id that the result of its triage gives.
    #[serde(default)]
    message_id: Option<MessageId>,
    /// Addresses, without names: of a new mail and of a forward, and of nothing else.
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    #[serde(default)]
    bcc: Vec<String>,
    /// What the mail is to achieve, at most 2,000 characters; of a new mail it must be there.
    #[serde(default)]
    intent: Option<String>,
    /// How it is to be written, or what is to be changed, at most 2,000 characters.
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    tone: Option<Tone>,
    /// 10 to 2,000; 200 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 10, max = 2000))]
    max_words: Option<u16>,
    /// RFC 3339, `tomorrow 09:00` or `monday 09:00` in your time zone: it goes then, once it is approved.
    #[serde(default)]
    send_at: Option<String>,
    /// What is revised, with `base_version`.
    #[serde(default)]
    draft_id: Option<DraftId>,
    /// The version you have seen: an older one than the newest is refused with 409.
    #[serde(default)]
    base_version: Option<i32>,
    /// Write nothing but the job's output.
    #[serde(default)]
    dry_run: bool,
    /// Your name for this work, 1 to 255 characters: the same name with the same wish is the same job.
    #[serde(default)]
    external_id: Option<String>,
    /// 3 if it is left out.
    #[serde(default)]
    priority: Option<options::Priority>,
    /// Not before then, at most a year from now.
    #[serde(default)]
    run_at: Option<DateTime<Utc>>,
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
    let body: DraftBody = json::into_type(value)?;
    let now = app.clock.now();
    let request = SubmitDraft {
        key: RequestKey {
            tenant: session.tenant,
            actor: session.user,
            operation: operation.name,
            key: key.as_str(),
        },
        fingerprint,
        priority: options::priority(body.priority)?,
        run_at: options::run_at(body.run_at, now)?,
        external_id: external_id(&body)?,
        args: understand(body, &session, now)?,
        session: &session,
        request_id: &context.request_id,
        traceparent: &context.traceparent,
        at: now,
        answer_of: super::answer_of,
    };
    let submitted = submit_draft(&app.pool, &app.notifier, request).await?;
    count::<DraftGenerate>(&app, submitted.how);
    Ok(respond(submitted))
}

fn external_id(body: &DraftBody) -> Result<Option<String>, ApiError> {
    let id = body.external_id.clone();
    if id.as_deref().is_some_and(|id| !options::is_name(id)) {
        return Err(options::invalid(
            "/external_id",
            "Use an external_id of 1 to 255 characters, none of them a control character.",
        ));
    }
    Ok(id)
}

fn understand(body: DraftBody, session: &Session, now: DateTime<Utc>) -> Result<Args, ApiError> {
    let mode = body.mode;
    if body.message_id.is_some() != mode.needs_message() {
        return Err(options::invalid(
            "/message_id",
            "Send message_id for reply, reply_all, forward and follow_up, and for nothing else.",
        ));
    }
    let revises = mode == DraftMode::Revise;
    let base = match (body.draft_id, body.base_version) {
        (Some(draft_id), Some(version)) if revises => Some(Base { draft_id, version }),
        (None, None) if !revises => None,
        _ => {
            return Err(options::invalid(
                "/draft_id",
                "Send draft_id and base_version for revise, and for nothing else.",
            ));
        }
    };
    let needs_words = match mode {
        DraftMode::Compose => body.intent.is_none().then_some("/intent"),
        DraftMode::Revise => body.instructions.is_none().then_some("/instructions"),
        DraftMode::Reply | DraftMode::ReplyAll | DraftMode::Forward | DraftMode::FollowUp => None,
    };
    if let Some(pointer) = needs_words {
        return Err(options::invalid(
            pointer,
            "Say what a new mail is to achieve (`intent`), or what is to be changed (`instructions`).",
        ));
    }
    let max_words = body.max_words.unwrap_or(MAX_WORDS);
    if !(10..=2_000).contains(&max_words) {
        return Err(options::invalid("/max_words", "Use 10 to 2,000 words."));
    }
    let said =
        |pointer, text: Option<String>| text.map(|text| words::said(pointer, &text)).transpose();
    Ok(Args {
        mode,
        message_id: body.message_id,
        recipients: recipients(mode, body.to, body.cc, body.bcc)?,
        intent: said("/intent", body.intent)?,
        instructions: said("/instructions", body.instructions)?,
        suggestion: None,
        tone: body.tone,
        max_words,
        send_at: send_at(body.send_at.as_deref(), now)?,
        base,
        dry_run: body.dry_run,
        user: Some(session.user),
    })
}

fn recipients(
    mode: DraftMode,
    to: Vec<String>,
    cc: Vec<String>,
    bcc: Vec<String>,
) -> Result<Recipients, ApiError> {
    let all = to.len() + cc.len() + bcc.len();
    let fits = if mode.needs_recipients() {
        !to.is_empty() && all <= MOST_RECIPIENTS
    } else {
        all == 0
    };
    if !fits {
        return Err(options::invalid(
            "/to",
            "Name 1 to 50 recipients for compose and forward, and none for anything else.",
        ));
    }
    for (pointer, list) in [("/to", &to), ("/cc", &cc), ("/bcc", &bcc)] {
        if !list.iter().all(|address| is_address(address)) {
            return Err(options::invalid(
                pointer,
                "Write each recipient as an address alone, such as ada@example.com.",
            ));
        }
    }
    Ok(Recipients { to, cc, bcc })
}

fn send_at(asked: Option<&str>, now: DateTime<Utc>) -> Result<Option<SendAt>, ApiError> {
    let Some(text) = asked else { return Ok(None) };
    let wish = SendAt::parse(text).filter(|wish| match wish {
        SendAt::Moment(at) => *at > now && *at - now <= TimeDelta::days(FURTHEST_DAYS),
        SendAt::Tomorrow(_) | SendAt::On(..) => true,
    });
    wish.map(Some).ok_or_else(|| {
        options::invalid(
            "/send_at",
            "Use a moment within the next year as RFC 3339, or `tomorrow 09:00`, or `monday 09:00`.",
        )
    })
}

impl From<SubmitDraftError> for ApiError {
    fn from(error: SubmitDraftError) -> Self {
        match error {
            SubmitDraftError::NoMessage(_) => Self::new(
                Code::InvalidBody,
                "There is no such message. Hand it in with POST /v1/jobs/triage first.",
            )
            .at("/message_id", "NOT_FOUND", "No message has this id."),
            SubmitDraftError::Revise(error) => error.into(),
            SubmitDraftError::Submit(error) => error.into(),
        }
    }
}
