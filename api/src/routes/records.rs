//! What tasks, projects and contacts share over HTTP: each gives its bodies as [`HttpRecord`], and [`routes_of`] makes its
//! operations. The version is the ETag, and every change names the version that was read.

pub(super) mod fields;

use super::jobs::submit::respond;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    etag::{HasVersion, Versioned},
    extract::{CurrentSession, Id, Idempotent, IfMatch, StrictJson, if_match},
    route_table::{Access, ResponseHeader, Route},
};
use axum::{
    extract::State,
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use jobs::{
    commands::record::{
        Record, RecordError,
        command::{self, Caller, Command, CreateRequest},
    },
    domain::{Session, session::Scope},
    store::request_keys::StoredAnswer,
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

const JSON: &str = "application/json";
pub(super) const READ: Access = Access::Session(Scope::RecordsRead);
const WRITE: Access = Access::Session(Scope::RecordsWrite);

/// A record as JSON.
pub(super) trait HttpRecord: Record + Sized {
    /// Path of the list.
    const PATH: &'static str;

    type Body: Serialize + JsonSchema + HasVersion + From<Self::Stored> + Send;
    type NewBody: DeserializeOwned + JsonSchema + Send + 'static;
    type ChangeBody: DeserializeOwned + JsonSchema + Send + 'static;

    /// # Errors
    /// 422 with a pointer to each invalid field.
    fn parse_new(body: Self::NewBody) -> Result<Self::New, ApiError>;

    /// # Errors
    /// As [`HttpRecord::parse_new`].
    fn parse_change(body: Self::ChangeBody) -> Result<Self::Change, ApiError>;
}

/// Names and summaries of the operations of one kind of record; the paths are below [`HttpRecord::PATH`].
pub(super) struct Operations {
    /// `/v1/things/{id}` and `/v1/things/{id}/restore`.
    pub(super) paths: [&'static str; 2],
    /// Create, get, change, delete and restore.
    pub(super) names: [&'static str; 5],
    pub(super) summaries: [&'static str; 5],
}

/// Makes all operations but the list, whose filters differ.
pub(super) fn routes_of<T: HttpRecord>(operations: &Operations) -> Vec<Route> {
    let [one, restored] = operations.paths;
    let [create, read, change, delete, restore] = operations.names;
    let routes = [
        Route::new(Method::POST, T::PATH, create, WRITE, create_record::<T>)
            .idempotent()
            .body::<T::NewBody>(JSON)
            .versioned::<T::Body>(201, "The new record")
            .headers(&[ResponseHeader::Location])
            .errors(&[Code::Conflict]),
        Route::new(Method::GET, one, read, READ, get_record::<T>)
            .versioned::<T::Body>(200, "The record; a deleted one has `deleted_at`"),
        Route::new(Method::PATCH, one, change, WRITE, change_record::<T>)
            .description("Fields that are left out stay; null clears a value.")
            .if_match()
            .body::<T::ChangeBody>(JSON)
            .versioned::<T::Body>(200, "The record as it is now")
            .errors(&[Code::Conflict]),
        Route::new(Method::DELETE, one, delete, WRITE, delete_record::<T>)
            .if_match()
            .versioned::<T::Body>(200, "The deleted record; restore it with its ETag")
            .errors(&[Code::Conflict]),
        Route::new(Method::POST, restored, restore, WRITE, restore_record::<T>)
            .if_match()
            .versioned::<T::Body>(200, "The record as it is now")
            .errors(&[Code::Conflict]),
    ];
    routes
        .into_iter()
        .zip(operations.summaries)
        .map(|(route, summary)| route.summary(summary))
        .collect()
}

async fn create_record<T: HttpRecord>(
    State(app): State<AppState>,
    Idempotent {
        request,
        fingerprint,
        body,
    }: Idempotent<T::NewBody>,
) -> Result<Response, ApiError> {
    let making = CreateRequest::<T> {
        caller: asking(&request.session, &request.context),
        key: request.request_key(),
        fingerprint,
        new: T::parse_new(body)?,
        answer_of: response_of::<T>,
    };
    let mut response = respond(command::create(&app.pool, making).await?);
    // A new record has its first version, however often the response is replayed.
    let first = HeaderValue::from_static("\"1\"");
    response.headers_mut().insert(header::ETAG, first);
    Ok(response.into_response())
}

fn response_of<T: HttpRecord>(stored: T::Stored) -> StoredAnswer {
    let location = format!("{}/{}", T::PATH, T::facts(&stored).id);
    StoredAnswer {
        status: success::CREATED.as_u16(),
        location: Some(location),
        body: serde_json::to_vec(&T::Body::from(stored)).expect("a body is plain values"),
    }
}

async fn get_record<T: HttpRecord>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<Uuid>,
) -> Result<Versioned<T::Body>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    T::find(&mut conn, session.tenant, id)
        .await?
        .map(|stored| Versioned(stored.into()))
        .ok_or_else(ApiError::not_found)
}

async fn change_record<T: HttpRecord>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<Uuid>,
    version: IfMatch,
    StrictJson(body): StrictJson<T::ChangeBody>,
) -> Result<Versioned<T::Body>, ApiError> {
    let change = Command::<T>::Change(T::parse_change(body)?);
    apply(&app, asking(&session, &context), id, version, change).await
}

async fn delete_record<T: HttpRecord>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<Uuid>,
    version: IfMatch,
) -> Result<Versioned<T::Body>, ApiError> {
    let delete = Command::<T>::Delete;
    apply(&app, asking(&session, &context), id, version, delete).await
}

async fn restore_record<T: HttpRecord>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<Uuid>,
    version: IfMatch,
) -> Result<Versioned<T::Body>, ApiError> {
    let restore = Command::<T>::Restore;
    apply(&app, asking(&session, &context), id, version, restore).await
}

async fn apply<T: HttpRecord>(
    app: &App,
    asking: Caller<'_>,
    id: Uuid,
    IfMatch(seen): IfMatch,
    change: Command<T>,
) -> Result<Versioned<T::Body>, ApiError> {
    let changed = command::execute::<T>(&app.pool, asking, id, &seen, change).await?;
    Ok(Versioned(changed.after.into()))
}

fn asking<'a>(session: &'a Session, context: &'a RequestContext) -> Caller<'a> {
    Caller {
        session,
        request_id: &context.request_id,
    }
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NotFound(_) => Self::not_found(),
            RecordError::Unknown(reference) => fields::not_found(reference),
            RecordError::Stale { .. } => if_match::stale(),
            RecordError::NotOffered(_) => Self::new(Code::InvalidParameter, error.user_message())
                .at("/bucket", "NOT_OFFERED", "Must be offered at this hour."),
            RecordError::NotAhead => Self::new(Code::InvalidParameter, error.user_message()).at(
                "/until",
                "OUT_OF_RANGE",
                "Must be in the future, at most a year ahead.",
            ),
            RecordError::NotNow { .. }
            | RecordError::Deleted(_)
            | RecordError::NotDeleted(_)
            | RecordError::Taken { .. }
            | RecordError::Ambiguous { .. } => Self::new(Code::Conflict, error.user_message()),
            RecordError::Request(source) => source.into(),
            RecordError::Database(source) => source.into(),
        }
    }
}
