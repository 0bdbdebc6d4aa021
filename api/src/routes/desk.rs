//! Tasks, projects and contacts over HTTP. They are handled alike: each gives its bodies as [`OnDesk`], and [`routes_of`]
//! makes its operations. The version is the ETag, and every change names the one that was seen.

mod contacts;
mod fields;
mod projects;
mod tasks;

use super::jobs::submit::respond;
use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IdempotencyKey, IfMatch, StrictJson, body, if_match, json},
    fingerprint::{self, Content},
    route_table::{Access, Operation, Place, Route},
};
use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use jobs::{
    commands::record::{
        Record, RecordError,
        command::{self, Caller, Command, CreateRequest},
    },
    domain::{Session, session::Scope},
    store::request_keys::{RequestKey, StoredAnswer},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use uuid::Uuid;

const JSON: &str = "application/json";
const READ: Access = Access::Session(Scope::DeskRead);
const WRITE: Access = Access::Session(Scope::DeskWrite);

pub fn routes() -> Vec<Route> {
    [projects::routes(), tasks::routes(), contacts::routes()]
        .into_iter()
        .flatten()
        .collect()
}

/// How something that is kept looks in JSON.
trait OnDesk: Record + Sized {
    /// Where it lives, without the id.
    const PATH: &'static str;

    type Body: Serialize + JsonSchema + From<Self::Stored> + Send;
    type NewBody: DeserializeOwned + JsonSchema + Send + 'static;
    type ChangeBody: DeserializeOwned + JsonSchema + Send + 'static;

    /// # Errors
    /// 422 with a pointer to each field that cannot be used.
    fn understand(body: Self::NewBody) -> Result<Self::New, ApiError>;

    /// # Errors
    /// As [`OnDesk::understand`].
    fn understand_change(body: Self::ChangeBody) -> Result<Self::Change, ApiError>;
}

/// What the operations of one resource are called and say; the paths are those of [`OnDesk::PATH`].
struct Named {
    /// `/v1/things/{id}` and `/v1/things/{id}/restore`.
    paths: [&'static str; 2],
    /// To make, read, change, delete and restore one.
    names: [&'static str; 5],
    summaries: [&'static str; 5],
}

/// All operations but the list, whose filters are the resource's own.
fn routes_of<T: OnDesk>(named: &Named) -> Vec<Route> {
    let [one, restored] = named.paths;
    let [create, read, change, delete, restore] = named.names;
    let operations = [
        Route::new(Method::POST, T::PATH, create, WRITE, make::<T>)
            .idempotent()
            .body::<T::NewBody>(JSON)
            .answer::<T::Body>(201, "It is made, its version as ETag"),
        Route::new(Method::GET, one, read, READ, get::<T>).answer::<T::Body>(
            200,
            "With its version as ETag; a deleted one has `deleted_at`",
        ),
        seen(Route::new(Method::PATCH, one, change, WRITE, patch::<T>))
            .body::<T::ChangeBody>(JSON)
            .answer::<T::Body>(200, "As it is now"),
        seen(Route::new(Method::DELETE, one, delete, WRITE, remove::<T>))
            .answer::<T::Body>(200, "As it is now; its ETag is needed to restore it"),
        seen(Route::new(
            Method::POST,
            restored,
            restore,
            WRITE,
            bring_back::<T>,
        ))
        .answer::<T::Body>(200, "As it is now"),
    ];
    operations
        .into_iter()
        .zip(named.summaries)
        .map(|(route, summary)| route.summary(summary))
        .collect()
}

fn seen(route: Route) -> Route {
    route.parameter::<String>(
        Place::Header,
        "If-Match",
        true,
        "The ETag of what you have read",
    )
}

type Versioned<T> = ([(HeaderName, String); 1], Json<<T as OnDesk>::Body>);

async fn make<T: OnDesk>(
    State(app): State<AppState>,
    Extension(operation): Extension<Arc<Operation>>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    key: IdempotencyKey,
    request: Request,
) -> Result<Response, ApiError> {
    let uri = request.uri().clone();
    if body::media_type(request.headers()) != JSON {
        return Err(body::unsupported(JSON));
    }
    let value = json::parse(&body::read(&app, request).await?)?;
    let fingerprint = fingerprint::of_request(&operation, &uri, Content::Json(&value))
        .map_err(ApiError::internal)?;
    let making = CreateRequest::<T> {
        caller: asking(&session, &context),
        key: RequestKey {
            tenant: session.tenant,
            actor: session.user,
            operation: operation.name,
            key: key.as_str(),
        },
        fingerprint,
        new: T::understand(json::into_type(value)?)?,
        answer_of: answer_of::<T>,
    };
    let mut response = respond(command::create(&app.pool, making).await?);
    // What was made has its first version, however often the answer is given.
    let first = HeaderValue::from_static("\"1\"");
    response.headers_mut().insert(header::ETAG, first);
    Ok(response.into_response())
}

fn answer_of<T: OnDesk>(stored: T::Stored) -> StoredAnswer {
    let location = format!("{}/{}", T::PATH, T::facts(&stored).id);
    StoredAnswer {
        status: success::CREATED.as_u16(),
        location: Some(location),
        body: serde_json::to_vec(&T::Body::from(stored)).expect("a body is plain values"),
    }
}

async fn get<T: OnDesk>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned<T>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    T::find(&mut conn, session.tenant, read_id(&id)?)
        .await?
        .map(versioned::<T>)
        .ok_or_else(ApiError::not_found)
}

async fn patch<T: OnDesk>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
    StrictJson(body): StrictJson<T::ChangeBody>,
) -> Result<Versioned<T>, ApiError> {
    let change = Command::<T>::Change(T::understand_change(body)?);
    wish(&app, asking(&session, &context), &id, seen, change).await
}

async fn remove<T: OnDesk>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned<T>, ApiError> {
    wish(
        &app,
        asking(&session, &context),
        &id,
        seen,
        Command::<T>::Delete,
    )
    .await
}

async fn bring_back<T: OnDesk>(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    seen: IfMatch,
) -> Result<Versioned<T>, ApiError> {
    wish(
        &app,
        asking(&session, &context),
        &id,
        seen,
        Command::<T>::Restore,
    )
    .await
}

async fn wish<T: OnDesk>(
    app: &App,
    asking: Caller<'_>,
    id: &str,
    IfMatch(version): IfMatch,
    wish: Command<T>,
) -> Result<Versioned<T>, ApiError> {
    let changed = command::execute::<T>(&app.pool, asking, read_id(id)?, version, wish).await?;
    Ok(versioned::<T>(changed.after))
}

fn asking<'a>(session: &'a Session, context: &'a RequestContext) -> Caller<'a> {
    Caller {
        session,
        request_id: &context.request_id,
    }
}

fn read_id(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| ApiError::not_found())
}

fn versioned<T: OnDesk>(stored: T::Stored) -> Versioned<T> {
    let etag = format!("\"{}\"", T::facts(&stored).version);
    ([(header::ETAG, etag)], Json(stored.into()))
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::NotFound(_) => Self::not_found(),
            RecordError::Unknown(noun) => fields::unknown(noun),
            RecordError::Stale { .. } => if_match::stale(),
            RecordError::NotOffered(_) => Self::new(Code::InvalidParameter, error.user_message())
                .at("/bucket", "NOT_OFFERED", "Not at this hour."),
            RecordError::NotAhead => Self::new(Code::InvalidParameter, error.user_message()).at(
                "/until",
                "OUT_OF_RANGE",
                "It is past, or more than a year ahead.",
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
