//! Submitting an email, raw or as an envelope, to be triaged: `POST /v1/jobs/triage`.

mod action;
mod batch;
mod draft;
mod options;
mod triage_batch;

use options::{Options, TriageBody};

use super::{JobBody, path};
use crate::{
    App, AppState,
    error::{ApiError, Code, success},
    extract::{KeyedRequest, NoQuery, StrictQuery, body, idempotent, json},
    fingerprint::{self, Content},
    route_table::{Access, Operation, ResponseHeader, Route},
};
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use jobs::{
    commands::jobs::submit_triage::{SubmitError, SubmitOutcome, SubmitTriage, Submitted},
    domain::{
        mail::{Mail, MailError, MailFormat, OwnAnswer},
        session::Scope,
    },
    kinds::triage::Triage,
    store::request_keys::StoredAnswer,
};
use queue::{JobKind, JobView, coalesce::CoalesceError};
use std::time::Duration;

const RFC822: &str = "message/rfc822";
const JSON: &str = "application/json";
/// What mail servers commonly accept. JSON has a limit of its own.
const MAIL_BYTES: usize = 25 * 1024 * 1024;
/// For 25 MiB over a slow line.
const TIMEOUT: Duration = Duration::from_secs(60);
const SMALL_MAIL_BYTES: usize = 16 * 1024;
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(),
        batch::route(),
        triage_batch::route(),
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
    .summary("Triage an email")
    .description(
        "The query parameters are for a raw email (`message/rfc822`) of at most 25 MiB; a JSON body of at most 4 MiB has them as fields.",
    )
    .idempotent()
    .body_limit(MAIL_BYTES)
    .timeout(TIMEOUT)
    .body::<TriageBody>(JSON)
    .body::<String>(RFC822)
    .query::<Options>()
    .answer::<JobBody>(202, "A new job")
    .headers(&[ResponseHeader::Location])
    .answer::<JobBody>(200, "The job that already does or did this work")
    .headers(&[ResponseHeader::Location])
    .errors(SUBMIT_ERRORS)
    .errors(&[Code::DedupeKeyInFlight, Code::Gone, Code::NotAnEmail])
}

/// How a submission fails because of what was submitted before.
pub(super) const SUBMIT_ERRORS: &[Code] = &[Code::Conflict, Code::ExternalIdReused];

/// A parsed request.
struct Submission {
    options: Options,
    format: MailFormat,
    source: Vec<u8>,
    fingerprint: [u8; 32],
}

/// 422: the body names an email that does not exist for this session.
fn no_message(pointer: impl Into<String>) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "There is no such email. Submit it with POST /v1/jobs/triage first.",
    )
    .at(
        pointer,
        "NOT_FOUND",
        "Must be the id of an email that you may use.",
    )
}

async fn submit(
    State(app): State<AppState>,
    keyed: KeyedRequest,
    request: Request,
) -> Result<Response, ApiError> {
    let submission = parse(&app, &keyed.operation, request).await?;
    let _room = app
        .admission
        .room_for_email(submission.source.len())
        .await?;
    let format = submission.format;
    let request = submission.into_request(&app, &keyed).await?;
    let submitted = app.submitter.submit(request).await;
    let submitted = submitted.map_err(|error| Submission::sent_as(format, error.into()))?;
    count::<Triage>(&app, submitted.how);
    Ok(respond(submitted))
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

    /// The options of a raw email are parameters.
    fn sent_as(format: MailFormat, error: ApiError) -> ApiError {
        match format {
            MailFormat::Rfc822 => error.in_query(),
            MailFormat::Envelope => error,
        }
    }

    /// Checks what depends on the email or the time.
    async fn into_request(self, app: &App, keyed: &KeyedRequest) -> Result<SubmitTriage, ApiError> {
        let (
            submission,
            ReadMail {
                content_hash,
                own_answer,
            },
        ) = read_mail(self).await?;
        let Self {
            options,
            format,
            source,
            fingerprint,
        } = submission;
        Ok(SubmitTriage {
            session: keyed.session.clone(),
            operation: keyed.operation.name,
            key: keyed.key.as_str().to_owned(),
            fingerprint,
            format,
            source,
            content_hash,
            own_answer,
            place: options
                .place(app.clock.now())
                .map_err(|error| Self::sent_as(format, error))?,
            mode: options.mode,
            dry_run: options.dry_run,
            force: options.force,
            urgency: options.urgency,
            external_id: options.external_id,
            request_id: keyed.context.request_id.clone(),
            traceparent: keyed.context.traceparent.clone(),
        })
    }
}

/// Makes the response to a submission, which is stored and replayed.
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

async fn parse(
    app: &AppState,
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
            StrictQuery::<NoQuery>::parse(&uri)?;
            let (value, fingerprint) = idempotent::read_json(app, operation, request).await?;
            Submission::of_body(&json::into_type(value)?, fingerprint)?
        }
        _ => return Err(body::unsupported("message/rfc822 or application/json")),
    };
    let checked = submission.options.check();
    checked.map_err(|error| Submission::sent_as(submission.format, error))?;
    Ok(submission)
}

/// What is known of an email before it is triaged.
struct ReadMail {
    content_hash: [u8; 32],
    own_answer: Option<OwnAnswer>,
}

/// Parses a large email on a blocking thread: a megabyte of nested MIME takes a while. One of up to 16 KiB is parsed in
/// place.
async fn read_mail(submission: Submission) -> Result<(Submission, ReadMail), ApiError> {
    let read = |submission: Submission| {
        Mail::from_source(submission.format, &submission.source)
            .map(|mail| ReadMail {
                content_hash: mail.content_hash(),
                own_answer: OwnAnswer::of(&mail),
            })
            .map(|read| (submission, read))
    };
    if submission.source.len() <= SMALL_MAIL_BYTES {
        return read(submission).map_err(not_an_email);
    }
    let reading = tokio::task::spawn_blocking(move || read(submission));
    reading
        .await
        .map_err(ApiError::internal)?
        .map_err(not_an_email)
}

fn not_an_email(error: MailError) -> ApiError {
    let code = match error {
        MailError::Empty => "EMPTY",
        MailError::NoHeader => "NO_HEADER",
        MailError::TooLarge { .. } => "TOO_LARGE",
        MailError::Envelope { .. } => "INVALID_VALUE",
    };
    let detail = error.user_message();
    ApiError::new(Code::NotAnEmail, detail).at("/message", code, detail)
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

/// Responds with the stored response, byte for byte.
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
                "This Idempotency-Key was used for another request. Send a new key with a new request.",
            ),
            SubmitError::InFlight(_) => Self::new(
                Code::IdempotencyKeyInFlight,
                "The first request with this key is still running. Repeat it in a moment with the same key.",
            )
            .retry_after(1)
            .caused_by(error),
            SubmitError::DedupeKeyInFlight(_) => Self::new(
                Code::DedupeKeyInFlight,
                "Another request with this dedupe_key is still running. Repeat yours in a moment with the same key.",
            )
            .retry_after(1)
            .caused_by(error),
            SubmitError::ExternalIdReused { existing } => Self::new(
                Code::ExternalIdReused,
                format!("This external_id was used for other work: see {}. Use another one.", path(existing)),
            )
            .at(
                "/external_id",
                "REUSED",
                "Must not be the name of other work.",
            ),
            SubmitError::Purged { .. } => Self::new(
                Code::Gone,
                "This email was triaged before, and the result is no longer stored. Send `force` to triage it again.",
            ),
            SubmitError::Unanswered(CoalesceError::Overloaded) => Self::new(
                Code::Overloaded,
                "The service handles too many requests right now. Try again in a moment.",
            )
            .retry_after(1)
            .caused_by(error),
            SubmitError::Unanswered(CoalesceError::Lost) => Self::internal(error),
            SubmitError::Database(source) => source.into(),
        }
    }
}
