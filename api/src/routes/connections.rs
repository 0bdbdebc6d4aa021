//! A user's accounts at providers: `/v1/connections`. Secrets go in and never come out, except a signing secret that we
//! generated: it is shown once.

mod backfill;
mod body;
mod subscription;
mod watch;

use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    etag::{Versioned, has_version},
    extract::{CurrentSession, Id, IfMatch, List, StrictJson, if_match},
    route_table::{Access, ResponseHeader, Route},
    routes::jobs::{JobBody, submit},
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
    response::Response,
};
use body::{NewConnection, NewSecret, shown_once};
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        connections::{
            connect::{ConnectError, connect, disconnect, reauthenticate},
            test::{TestConnection, TestError, test_connection},
        },
        jobs::submit_triage::Submitted,
    },
    domain::{
        ConnectionId,
        connection::{ConnectionStatus, Provider, Server, Settings, WebUrl},
        session::Scope,
    },
    kinds::connection_test::ConnectionTest,
    secrets::KeyRing,
    store::connections::{self, StoredConnection},
};
use schemars::JsonSchema;
use serde::Serialize;

const JSON: &str = "application/json";
const ONE: &str = "/v1/connections/{id}";

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ConnectionsOwn);
    let mut routes = vec![
        Route::new(
            Method::GET,
            "/v1/connections",
            "list_connections",
            access,
            list,
        )
        .summary("List your connections, oldest first")
        .answer::<List<Connection>>(200, "Your connections"),
        Route::new(
            Method::POST,
            "/v1/connections",
            "create_connection",
            access,
            create,
        )
        .summary("Connect an email account, a calendar or a webhook")
        .fresh()
        .description("External actions are executed through your connections.")
        .body::<NewConnection>(JSON)
        .versioned::<Connection>(201, "The new connection")
        .errors(&[Code::Conflict, Code::NotConfigured]),
        Route::new(Method::GET, ONE, "get_connection", access, get)
            .summary("Get a connection")
            .versioned::<Connection>(200, "The connection"),
        Route::new(
            Method::POST,
            "/v1/connections/{id}/reauth",
            "reauth_connection",
            access,
            reauth,
        )
        .summary("Replace a connection's secret")
        .fresh()
        .description("Jobs that waited for the new secret are resumed.")
        .if_match()
        .body::<NewSecret>(JSON)
        .versioned::<Connection>(200, "The connection as it is now")
        .errors(&[Code::Conflict, Code::NotConfigured]),
        Route::new(
            Method::POST,
            "/v1/connections/{id}/test",
            "test_connection",
            access,
            test,
        )
        .summary("Test a connection")
        .description("A worker connects and signs in; the job's output lists each check.")
        .answer::<JobBody>(202, "A new job")
        .headers(&[ResponseHeader::Location])
        .answer::<JobBody>(200, "The job that already waits to test it")
        .headers(&[ResponseHeader::Location]),
        Route::new(Method::DELETE, ONE, "delete_connection", access, delete)
            .summary("Delete a connection and erase its secret")
            .empty_answer(204, "The connection is deleted"),
    ];
    routes.extend(watch::routes());
    routes.extend(backfill::routes());
    routes.extend(subscription::routes());
    routes
}

/// An account at a provider, without its secret.
#[derive(Serialize, JsonSchema)]
struct Connection {
    id: ConnectionId,
    provider: Provider,
    /// The sender's address, or the URL of a calendar. Of a webhook its origin and a fingerprint: its URL is not shown again.
    address: String,
    display_name: Option<String>,
    /// Only for `imap_smtp`.
    smtp: Option<Server>,
    /// Only for `imap_smtp` with a mailbox.
    imap: Option<Server>,
    /// Only for `caldav` and `webhook`, of which it is the origin.
    url: Option<WebUrl>,
    /// A generated secret, only in the response that created it: it is not shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    status: ConnectionStatus,
    /// The code of the last failure; null while it is active.
    last_error: Option<String>,
    #[schemars(range(min = 1, max = 10_000))]
    sends_per_hour: i32,
    #[schemars(range(min = 1, max = 1_000))]
    max_recipients: i32,
    /// Grows with every change.
    #[schemars(range(min = 1))]
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

has_version!(Connection);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<List<Connection>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let own = connections::of_user(&mut conn, session.tenant, session.user).await?;
    Ok(List::of(own))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ConnectionId>,
) -> Result<Versioned<Connection>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    connections::find(&mut conn, session.tenant, id)
        .await?
        .filter(|found| found.user == session.user)
        .map(|found| Versioned(found.into()))
        .ok_or_else(ApiError::not_found)
}

async fn create(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewConnection>,
) -> Result<(StatusCode, Versioned<Connection>), ApiError> {
    let keys = stored_secrets(&app)?;
    let new = body.check()?;
    let stored = connect(
        &app.pool,
        keys,
        &session,
        &new.as_command(),
        &context.request_id,
    )
    .await?;
    let connection = Connection {
        signing_secret: shown_once(new.secret_is_generated, &new.secret),
        ..stored.into()
    };
    Ok((success::CREATED, Versioned(connection)))
}

async fn reauth(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
    IfMatch(seen): IfMatch,
    StrictJson(body): StrictJson<NewSecret>,
) -> Result<Versioned<Connection>, ApiError> {
    let which = (id, &seen);
    let (secret, is_generated) = body.check()?;
    let request_id = &context.request_id;
    let stored = reauthenticate(
        &app.pool,
        stored_secrets(&app)?,
        &session,
        which,
        &secret,
        request_id,
    )
    .await?;
    Ok(Versioned(Connection {
        signing_secret: shown_once(is_generated, &secret),
        ..stored.into()
    }))
}

async fn test(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
) -> Result<Response, ApiError> {
    let request = TestConnection {
        session: &session,
        connection: id,
        request_id: &context.request_id,
        traceparent: &context.traceparent,
    };
    let (view, how) = test_connection(&app.pool, &app.notifier, &request).await?;
    submit::count::<ConnectionTest>(&app, how);
    Ok(submit::respond(Submitted::new(
        submit::answer_of(&view, how),
        how,
    )))
}

async fn delete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<ConnectionId>,
) -> Result<StatusCode, ApiError> {
    disconnect(&app.pool, &session, id, &context.request_id).await?;
    Ok(success::NO_CONTENT)
}

/// The keys that seal what is stored.
pub(super) fn stored_secrets(app: &App) -> Result<&KeyRing, ApiError> {
    app.config.keys.as_ref().ok_or_else(|| {
        ApiError::new(
            Code::NotConfigured,
            "This installation stores no secrets. Ask its operators to set CREDENTIAL_KEYS.",
        )
    })
}

/// A field of the body is not valid; `detail` says what to do.
fn invalid(pointer: &'static str, detail: &str) -> ApiError {
    ApiError::new(Code::InvalidBody, detail.to_owned()).at(pointer, "INVALID_VALUE", detail)
}

impl From<StoredConnection> for Connection {
    fn from(stored: StoredConnection) -> Self {
        let provider = stored.settings.provider();
        let (smtp, imap, url) = match stored.settings {
            Settings::Mail(mail) => (Some(mail.smtp), mail.imap, None),
            Settings::Calendar(web) | Settings::Webhook(web) => (None, None, Some(web.url)),
        };
        Self {
            id: stored.id,
            provider,
            address: stored.address,
            display_name: stored.display_name,
            smtp,
            imap,
            url,
            signing_secret: None,
            status: stored.status,
            last_error: stored.last_error,
            sends_per_hour: stored.sends_per_hour,
            max_recipients: stored.max_recipients,
            version: stored.version,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

impl From<TestError> for ApiError {
    fn from(error: TestError) -> Self {
        match error {
            TestError::NotFound => Self::not_found(),
            TestError::Database(source) => source.into(),
            TestError::Enqueue(source) => source.into(),
        }
    }
}

impl From<ConnectError> for ApiError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::AddressTaken => Self::new(
                Code::Conflict,
                "You already have a connection with this address or URL. Replace its secret, or delete it first.",
            ),
            ConnectError::NotFound => Self::not_found(),
            ConnectError::WrongSecret => Self::new(
                Code::InvalidBody,
                "Send `username` and `password` for an email account or a calendar, `signing_secret` for a webhook.",
            )
            .at("", "INVALID_VALUE", "Must be the secret of this provider."),
            ConnectError::UrlLost => Self::new(
                Code::Conflict,
                "The URL of this webhook is lost. Delete the connection and connect the webhook again.",
            ),
            ConnectError::Stale { .. } => if_match::stale(),
            ConnectError::Sealed(source) => Self::internal(source),
            ConnectError::Database(source) => source.into(),
        }
    }
}
