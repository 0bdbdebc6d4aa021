//! Submitting an email to be written: `POST /v1/jobs/draft`. Its approval decides whether it is sent.

use super::{SUBMIT_ERRORS, count, options, respond};
use crate::{
    AppState,
    error::{ApiError, Code},
    extract::Idempotent,
    route_table::{Access, ResponseHeader, Route},
    routes::{drafts::instructions::text_at, jobs::JobBody},
};
use axum::{extract::State, http::Method, response::Response};
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
        follow_up::DAYS,
        llm::urgency::Urgency,
        session::Scope,
        time::Moment,
    },
    kinds::draft::{Args, Base, DraftGenerate, MAX_WORDS},
};
use schemars::JsonSchema;
use serde::Deserialize;

const BODY_BYTES: usize = 64 * 1024;
const MAX_RECIPIENTS: usize = 50;
const MAX_DAYS_AHEAD: i64 = 366;

pub(super) fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/draft",
        "submit_draft",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Write an email, or revise a draft")
    .description("Writes a draft with an approval; approving it sends the email.")
    .idempotent()
    .body_limit(BODY_BYTES)
    .body::<DraftBody>(super::JSON)
    .answer::<JobBody>(202, "A new job")
    .headers(&[ResponseHeader::Location])
    .answer::<JobBody>(200, "The job that already does or did this work")
    .headers(&[ResponseHeader::Location])
    .errors(SUBMIT_ERRORS)
    .errors(&[Code::NotFound, Code::Gone, Code::NotYours])
}

/// An email to write. Each mode takes its own fields and no others.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "SubmitDraft",
    extend("oneOf" = [
        {
            "properties": {
                "mode": { "enum": ["reply", "reply_all", "follow_up"] }, "to": false, "cc": false, "bcc": false,
                "draft_id": false, "base_version": false,
            },
            "required": ["message_id"],
        },
        {
            "properties": {
                "mode": { "const": "forward" }, "to": { "minItems": 1 }, "draft_id": false, "base_version": false,
            },
            "required": ["message_id", "to"],
        },
        {
            "properties": {
                "mode": { "const": "compose" }, "to": { "minItems": 1 }, "message_id": false, "draft_id": false,
                "base_version": false,
            },
            "required": ["to", "intent"],
        },
        {
            "properties": {
                "mode": { "const": "revise" }, "message_id": false, "to": false, "cc": false, "bcc": false,
                "follow_up_days": false,
            },
            "required": ["draft_id", "base_version", "instructions"],
        },
    ])
)]
pub(super) struct DraftBody {
    mode: DraftMode,
    /// The email to answer, forward or follow up: the id in the output of its triage.
    #[serde(default)]
    #[schemars(with = "MessageId")]
    message_id: Option<MessageId>,
    /// Addresses without names; at most 50 recipients in all.
    #[serde(default)]
    #[schemars(length(max = 50), inner(email, length(min = 3, max = 320)))]
    to: Vec<String>,
    #[serde(default)]
    #[schemars(length(max = 49), inner(email, length(min = 3, max = 320)))]
    cc: Vec<String>,
    #[serde(default)]
    #[schemars(length(max = 49), inner(email, length(min = 3, max = 320)))]
    bcc: Vec<String>,
    /// What the email is to achieve.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 2000))]
    intent: Option<String>,
    /// How to write it, or what to change.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 2000))]
    instructions: Option<String>,
    #[serde(default)]
    tone: Option<Tone>,
    /// 200 by default.
    #[serde(default)]
    #[schemars(range(min = 10, max = 2000))]
    max_words: Option<u16>,
    /// When to send it after its approval: RFC 3339, `tomorrow 09:00` or `monday 09:00` in your time zone.
    #[serde(default)]
    send_at: Option<String>,
    /// After so many days without an answer you are reminded of the email; 0: never. By default as your preferences say. Not
    /// with revise.
    #[serde(default)]
    #[schemars(range(min = 0, max = 90))]
    follow_up_days: Option<i16>,
    /// The draft to revise.
    #[serde(default)]
    #[schemars(with = "DraftId")]
    draft_id: Option<DraftId>,
    /// The version that you have read; 409 if it is not the newest.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 1))]
    base_version: Option<i32>,
    /// Writes nothing but the job's output.
    #[serde(default)]
    dry_run: bool,
    /// How soon the model's answer is needed; `now` by default. What can wait may cost less.
    #[serde(default)]
    urgency: Urgency,
    /// Your name for this work, without control characters: the same name with the same body is the same job.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    external_id: Option<String>,
    /// 3 by default.
    #[serde(default)]
    priority: Option<options::Priority>,
    /// The earliest start, at most a year from now.
    #[serde(default)]
    run_at: Option<Moment>,
}

async fn submit(
    State(app): State<AppState>,
    Idempotent {
        request: keyed,
        fingerprint,
        body,
    }: Idempotent<DraftBody>,
) -> Result<Response, ApiError> {
    let now = app.clock.now();
    let request = SubmitDraft {
        key: keyed.request_key(),
        fingerprint,
        priority: options::priority(body.priority)?,
        run_at: options::run_at(body.run_at, now)?,
        external_id: external_id(&body)?,
        args: parse_args(body, &keyed.session, now)?,
        session: &keyed.session,
        request_id: &keyed.context.request_id,
        traceparent: &keyed.context.traceparent,
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
            "Use an external_id of 1 to 255 characters without control characters.",
        ));
    }
    Ok(id)
}

fn parse_args(body: DraftBody, session: &Session, now: DateTime<Utc>) -> Result<Args, ApiError> {
    let mode = body.mode;
    if body.message_id.is_some() != mode.needs_message() {
        return Err(options::invalid(
            "/message_id",
            "Send `message_id` with reply, reply_all, forward and follow_up, and with no other mode.",
        ));
    }
    let revises = mode == DraftMode::Revise;
    let base = match (body.draft_id, body.base_version) {
        (Some(draft_id), Some(version)) if revises => Some(Base { draft_id, version }),
        (None, None) if !revises => None,
        _ => {
            return Err(options::invalid(
                "/draft_id",
                "Send `draft_id` and `base_version` with revise, and with no other mode.",
            ));
        }
    };
    let missing_text = match mode {
        DraftMode::Compose => body.intent.is_none().then_some("/intent"),
        DraftMode::Revise => body.instructions.is_none().then_some("/instructions"),
        DraftMode::Reply | DraftMode::ReplyAll | DraftMode::Forward | DraftMode::FollowUp => None,
    };
    if let Some(pointer) = missing_text {
        return Err(options::invalid(
            pointer,
            "Send `intent` with compose, and `instructions` with revise.",
        ));
    }
    let max_words = body.max_words.unwrap_or(MAX_WORDS);
    if !(10..=2_000).contains(&max_words) {
        return Err(options::invalid(
            "/max_words",
            "Use max_words from 10 to 2,000.",
        ));
    }
    let days = body.follow_up_days;
    if days.is_some_and(|days| revises || days != 0 && !DAYS.contains(&days)) {
        return Err(options::invalid(
            "/follow_up_days",
            "Use 0 to 90 days, and no days with revise.",
        ));
    }
    let text_at =
        |pointer, text: Option<String>| text.map(|text| text_at(pointer, &text)).transpose();
    Ok(Args {
        mode,
        message_id: body.message_id,
        recipients: recipients(mode, body.to, body.cc, body.bcc)?,
        intent: text_at("/intent", body.intent)?,
        instructions: text_at("/instructions", body.instructions)?,
        suggestion: None,
        tone: body.tone,
        max_words,
        send_at: send_at(body.send_at.as_deref(), now)?,
        follow_up_days: days,
        base,
        dry_run: body.dry_run,
        user: session.person(),
        api_key: session.api_key(),
        follow_up: None,
        urgency: body.urgency,
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
        !to.is_empty() && all <= MAX_RECIPIENTS
    } else {
        all == 0
    };
    if !fits {
        return Err(options::invalid(
            "/to",
            "Send 1 to 50 recipients with compose and forward, and none with another mode.",
        ));
    }
    for (pointer, list) in [("/to", &to), ("/cc", &cc), ("/bcc", &bcc)] {
        if !list.iter().all(|address| is_address(address)) {
            return Err(options::invalid(
                pointer,
                "Send each recipient as a plain address, such as ada@example.com.",
            ));
        }
    }
    Ok(Recipients { to, cc, bcc })
}

fn send_at(given: Option<&str>, now: DateTime<Utc>) -> Result<Option<SendAt>, ApiError> {
    let Some(text) = given else { return Ok(None) };
    let send_at = SendAt::parse(text).filter(|send_at| match send_at {
        SendAt::Moment(at) => *at > now && *at - now <= TimeDelta::days(MAX_DAYS_AHEAD),
        SendAt::Tomorrow(_) | SendAt::On(..) => true,
    });
    send_at.map(Some).ok_or_else(|| {
        options::invalid(
            "/send_at",
            "Use a time within the next year as RFC 3339, or `tomorrow 09:00`, or `monday 09:00`.",
        )
    })
}

impl From<SubmitDraftError> for ApiError {
    fn from(error: SubmitDraftError) -> Self {
        match error {
            SubmitDraftError::NoMessage(_) => super::no_message("/message_id"),
            SubmitDraftError::Revise(error) => error.into(),
            SubmitDraftError::Submit(error) => error.into(),
        }
    }
}
