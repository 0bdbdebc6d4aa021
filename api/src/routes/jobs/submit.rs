//! `POST /v1/jobs/triage`: a mail, raw or as an envelope, becomes a job.

mod action;
mod batch;
mod draft;
mod family;
mod options;

use options::{OnDuplicate, Options, Priority, TriageBody};

use super::{JobBody, path};
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IdempotencyKey, StrictQuery, body, json},
    fingerprint::{self, Content},
    route_table::{Access, Operation, Place, Route},
};
use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::jobs::submit_triage::{SubmitError, SubmitOutcome, SubmitTriage, Submitted},
    domain::{
        Session,
        mail::{Mail, MailError, MailFormat, Written},
        session::Scope,
    },
    kinds::triage::{Mode, Triage},
    store::request_keys::StoredAnswer,
};
use queue::{JobKind, JobView, coalesce::Unanswered};
use serde::Deserialize;
use std::sync::Arc;

const RFC822: &str = "message/rfc822";
const JSON: &str = "application/json";
const MAIL_BYTES: usize = 1024 * 1024;
const SMALL_MAIL_BYTES: usize = 16 * 1024;
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(),
        batch::route(),
        family::route(),
        action::route(),
        draft::route(),
    ]
}

fn route() -> Route {
    Route::new(
        Method::POST,
        "/v1/jobs/triage",
        "submit_triage",
        Access::Session(Scope::JobsWrite),
        submit,
    )
    .summary("Have a mail triaged")
    .idempotent()
    .body_limit(MAIL_BYTES)
    .body::<TriageBody>(JSON)
    .body::<String>(RFC822)
    .parameter::<Mode>(
        Place::Query,
        "mode",
        false,
        "Which means may decide; with a raw mail only",
    )
    .parameter::<bool>(
        Place::Query,
        "dry_run",
        false,
        "Decide and write nothing; with a raw mail only",
    )
    .parameter::<bool>(
        Place::Query,
        "force",
        false,
        "Judge again; with a raw mail only",
    )
    .parameter::<String>(
        Place::Query,
        "external_id",
        false,
        "Your name for this work; with a raw mail only",
    )
    .parameter::<Priority>(
        Place::Query,
        "priority",
        false,
        "1 is the most urgent, 4 the least; with a raw mail only",
    )
    .parameter::<DateTime<Utc>>(
        Place::Query,
        "run_at",
        false,
        "Not before then, at most a year from now; with a raw mail only",
    )
    .parameter::<String>(
        Place::Query,
        "dedupe_key",
        false,
        "Of the jobs with one key at most one waits; with a raw mail only",
    )
    .parameter::<OnDuplicate>(
        Place::Query,
        "on_duplicate",
        false,
        "What becomes of a waiting job with the dedupe key; with a raw mail only",
    )
    .answer::<JobBody>(202, "A new job")
    .answer::<JobBody>(200, "The job that already does or did this work")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

/// The request, understood.
struct Submission {
    options: Options,
    format: MailFormat,
    source: Vec<u8>,
    fingerprint: [u8; 32],
}

async fn submit(
    State(app): State<AppState>,
    Extension(operation): Extension<Arc<Operation>>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    key: IdempotencyKey,
    request: Request,
) -> Result<Response, ApiError> {
    let submission = understand(&app, &operation, request).await?;
    let asked = Asked {
        session,
        operation,
        context,
        key,
    };
    let request = submission.into_request(&app, &asked).await?;
    let submitted = app.submitter.submit(request).await?;
    count::<Triage>(&app, submitted.how);
    Ok(respond(submitted))
}

/// Who asks, and under which key.
struct Asked {
    session: Session,
    operation: Arc<Operation>,
    context: RequestContext,
    key: IdempotencyKey,
}

impl Submission {
    fn of_body(body: &TriageBody, fingerprint: [u8; 32]) -> Result<Self, ApiError> {
        Ok(Self {
            fingerprint,
            source: serde_json::to_vec(&body.message).map_err(ApiError::internal)?,
            format: MailFormat::Envelope,
            options: body.options(),
        })
    }

    /// Checks what only the mail, or the time, can tell.
    async fn into_request(self, app: &App, asked: &Asked) -> Result<SubmitTriage, ApiError> {
        let (
            submission,
            Read {
                content_hash,
                written,
            },
        ) = read_mail(self).await?;
        let Self {
            options,
            format,
            source,
            fingerprint,
        } = submission;
        Ok(SubmitTriage {
            session: asked.session.clone(),
            operation: asked.operation.name,
            key: asked.key.as_str().to_owned(),
            fingerprint,
            format,
            source,
            content_hash,
            written,
            place: options.place(app.clock.now())?,
            mode: options.mode,
            dry_run: options.dry_run,
            force: options.force,
            external_id: options.external_id,
            request_id: asked.context.request_id.clone(),
            traceparent: asked.context.traceparent.clone(),
        })
    }
}

/// What is answered, now and whenever the request is repeated.
pub(crate) fn answer_of(job: &JobView, how: SubmitOutcome) -> StoredAnswer {
    StoredAnswer {
        status: match how {
            SubmitOutcome::Inserted => success::ACCEPTED,
            SubmitOutcome::Existing | SubmitOutcome::Replayed => success::OK,
        }
        .as_u16(),
        location: Some(path(job.id)),
        body: JobBody::to_bytes(job),
    }
}

async fn understand(
    app: &App,
    operation: &Operation,
    request: Request,
) -> Result<Submission, ApiError> {
    let uri = request.uri().clone();
    let media_type = body::media_type(request.headers());
    let submission = match media_type.as_str() {
        RFC822 => {
            let StrictQuery(options) = StrictQuery::<Options>::parse(&uri)?;
            let source = body::read(app, request).await?;
            Submission {
                fingerprint: fingerprint::of_request(operation, &uri, Content::Bytes(&source))
                    .map_err(ApiError::internal)?,
                options,
                format: MailFormat::Rfc822,
                source,
            }
        }
        JSON => {
            StrictQuery::<NoParameters>::parse(&uri)?;
            let value = json::parse(&body::read(app, request).await?)?;
            let fingerprint = fingerprint::of_request(operation, &uri, Content::Json(&value))
                .map_err(ApiError::internal)?;
            Submission::of_body(&json::into_type(value)?, fingerprint)?
        }
        _ => return Err(body::unsupported("message/rfc822 or application/json")),
    };
    submission.options.check()?;
    Ok(submission)
}

/// What is known of a mail without judging it.
struct Read {
    content_hash: [u8; 32],
    written: Option<Written>,
}

/// Parses a large mail away from the threads that serve others: a megabyte of nested MIME takes its time. A small one,
/// up to 16 KiB, is parsed on the spot.
async fn read_mail(submission: Submission) -> Result<(Submission, Read), ApiError> {
    let read = |submission: Submission| {
        Mail::from_source(submission.format, &submission.source)
            .map(|mail| Read {
                content_hash: mail.content_hash(),
                written: Written::of(&mail),
            })
            .map(|read| (submission, read))
    };
    if submission.source.len() <= SMALL_MAIL_BYTES {
        return read(submission).map_err(not_a_mail);
    }
    let reading = tokio::task::spawn_blocking(move || read(submission));
    reading
        .await
        .map_err(ApiError::internal)?
        .map_err(not_a_mail)
}

fn not_a_mail(error: MailError) -> ApiError {
    let code = match error {
        MailError::Empty => "EMPTY",
        MailError::NoHeader => "NO_HEADER",
        MailError::TooLarge { .. } => "TOO_LARGE",
        MailError::Envelope { .. } => "INVALID_VALUE",
    };
    let detail = error.user_message();
    ApiError::new(Code::NotAMail, detail).at("/message", code, detail)
}

pub(crate) fn count<K: JobKind>(app: &App, how: SubmitOutcome) {
    let metrics = &app.metrics;
    let enqueued = |outcome| {
        metrics
            .jobs_enqueued_total
            .with_label_values(&[K::NAME, outcome])
            .inc();
    };
    let suppressed = |layer| {
        metrics
            .duplicates_suppressed_total
            .with_label_values(&[layer])
            .inc();
    };
    match how {
        SubmitOutcome::Inserted => enqueued("inserted"),
        SubmitOutcome::Existing => {
            enqueued("existing");
            suppressed("job");
        }
        SubmitOutcome::Replayed => suppressed("request"),
    }
}

/// The stored answer, byte for byte, whether it was stored now or long ago.
pub(crate) fn respond(submitted: Submitted) -> Response {
    let Submitted { answer, how, .. } = submitted;
    let mut response = answer.body.into_response();
    // The status was stored from one of ours.
    if let Ok(status) = answer.status.try_into() {
        *response.status_mut() = status;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Some(location) = answer.location
        && let Ok(location) = HeaderValue::try_from(location)
    {
        headers.insert(header::LOCATION, location);
    }
    if how == SubmitOutcome::Replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key was used for another request. Use a new key for a new request.",
            ),
            SubmitError::InFlight(_) => Self::new(
                Code::IdempotencyKeyInFlight,
                "The same request is being worked on. Repeat it in a moment with the same key.",
            )
            .retry_after(1)
            .caused_by(error),
            SubmitError::ExternalIdReused { existing } => Self::new(
                Code::ExternalIdReused,
                format!("This external_id names other work: see {}.", path(existing)),
            )
            .at(
                "/external_id",
                "REUSED",
                "It was used for another mail or mode.",
            ),
            SubmitError::Purged { .. } => Self::new(
                Code::Gone,
                "This mail was triaged before and the result is no longer kept. Send `force` to have it triaged again.",
            ),
            SubmitError::Unanswered(Unanswered::Overloaded) => Self::new(
                Code::Overloaded,
                "Too many requests are being worked on. Try again in a moment.",
            )
            .retry_after(1)
            .caused_by(error),
            SubmitError::Unanswered(Unanswered::Lost) => Self::internal(error),
            SubmitError::Database(source) => source.into(),
        }
    }
}
