//! A user's accounts at providers: `/v1/connections`. Secrets go in and never come out, but for a signing secret that we
//! made: it is shown once.

mod body;

use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IfMatch, StrictJson, if_match},
    route_table::{Access, Place, Route},
    routes::jobs::{JobBody, submit},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, Method, StatusCode, header},
    response::Response,
};
use body::{NewConnection, NewSecret, shown};
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
use queue::enqueue::dedupe::Replaced;
use schemars::JsonSchema;
use serde::Serialize;

const JSON: &str = "application/json";
const ONE: &str = "/v1/connections/{id}";

pub fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ConnectionsOwn);
    let if_match = |route: Route| {
        route.parameter::<String>(
            Place::Header,
            "If-Match",
            true,
            "The ETag of the connection as you have seen it",
        )
    };
    vec![
        Route::new(
            Method::GET,
            "/v1/connections",
            "list_connections",
            access,
            list,
        )
        .summary("List your accounts at providers, the oldest first")
        .answer::<ConnectionList>(200, "Your connections"),
        Route::new(
            Method::POST,
            "/v1/connections",
            "create_connection",
            access,
            create,
        )
        .summary(
            "Connect a mail account, a calendar or a webhook, by which actions may leave the house",
        )
        .body::<NewConnection>(JSON)
        .answer::<Connection>(201, "The connection, its version as ETag"),
        Route::new(Method::GET, ONE, "get_connection", access, get)
            .summary("One of your connections")
            .answer::<Connection>(200, "The connection, its version as ETag"),
        if_match(Route::new(
            Method::POST,
            "/v1/connections/{id}/reauth",
            "reauth_connection",
            access,
            reauth,
        ))
        .summary("Give a connection a new secret; jobs that waited for it go on")
        .body::<NewSecret>(JSON)
        .answer::<Connection>(200, "The connection as it is now"),
        Route::new(
            Method::POST,
            "/v1/connections/{id}/test",
            "test_connection",
            access,
            test,
        )
        .summary("Have a worker find out whether a connection works")
        .answer::<JobBody>(202, "A job; its result says what was tried and what failed")
        .answer::<JobBody>(200, "The job that waits already to do it"),
        Route::new(Method::DELETE, ONE, "delete_connection", access, delete)
            .summary("Disconnect an account and forget its secret")
            .empty_answer(204, "It is disconnected"),
    ]
}

/// An account without its secret.
#[derive(Serialize, JsonSchema)]
struct Connection {
    id: ConnectionId,
    provider: Provider,
    /// What mail is sent as, or the URL.
    address: String,
    display_name: Option<String>,
    /// Of a mail account.
    smtp: Option<Server>,
    /// Of a mail account that has a mailbox.
    imap: Option<Server>,
    /// Of a calendar or a webhook.
    url: Option<WebUrl>,
    /// Only in the answer to the request that had it made: it is not shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    status: ConnectionStatus,
    /// Why it is not active, as a code.
    last_error: Option<String>,
    sends_per_hour: i32,
    max_recipients: i32,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
struct ConnectionList {
    items: Vec<Connection>,
}

type Versioned = ([(HeaderName, String); 1], Json<Connection>);

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<ConnectionList>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let own = connections::of_user(&mut conn, session.tenant, session.user).await?;
    let items = own.into_iter().map(Connection::from).collect();
    Ok(Json(ConnectionList { items }))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<Versioned, ApiError> {
    let id = connection_id(&id)?;
    let mut conn = app.pool.acquire().await?;
    connections::find(&mut conn, session.tenant, id)
        .await?
        .filter(|found| found.user == session.user)
        .map(|found| versioned(found.into()))
        .ok_or_else(ApiError::not_found)
}

async fn create(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewConnection>,
) -> Result<(StatusCode, Versioned), ApiError> {
    let keys = keys(&app)?;
    let new = body.check()?;
    let stored = connect(
        &app.pool,
        keys,
        &session,
        &new.as_command(),
        &context.request_id,
    )
    .await?;
    let answer = Connection {
        signing_secret: shown(new.made, &new.secret),
        ..stored.into()
    };
    Ok((success::CREATED, versioned(answer)))
}

async fn reauth(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    StrictJson(body): StrictJson<NewSecret>,
) -> Result<Versioned, ApiError> {
    let which = (connection_id(&id)?, version);
    let (secret, made) = body.check()?;
    let request_id = &context.request_id;
    let stored =
        reauthenticate(&app.pool, keys(&app)?, &session, which, &secret, request_id).await?;
    Ok(versioned(Connection {
        signing_secret: shown(made, &secret),
        ..stored.into()
    }))
}

async fn test(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let request = TestConnection {
        session: &session,
        connection: connection_id(&id)?,
        request_id: &context.request_id,
        traceparent: &context.traceparent,
        at: app.clock.now(),
    };
    let (view, how) = test_connection(&app.pool, &app.notifier, &request).await?;
    submit::count::<ConnectionTest>(&app, how);
    Ok(submit::respond(Submitted {
        answer: submit::answer_of(&view, how),
        how,
        replaced: Replaced::default(),
    }))
}

async fn delete(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    disconnect(
        &app.pool,
        &session,
        connection_id(&id)?,
        &context.request_id,
    )
    .await?;
    Ok(success::NO_CONTENT)
}

fn keys(app: &App) -> Result<&KeyRing, ApiError> {
    app.config.keys.as_ref().ok_or_else(|| {
        ApiError::new(
            Code::NotConfigured,
            "This installation keeps no secrets: its operators have not set CREDENTIAL_KEYS.",
        )
    })
}

fn connection_id(text: &str) -> Result<ConnectionId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

fn versioned(connection: Connection) -> Versioned {
    let etag = format!("\"{}\"", connection.version);
    ([(header::ETAG, etag)], Json(connection))
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
            TestError::Enqueue(source) => Self::internal(source),
        }
    }
}

impl From<ConnectError> for ApiError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::AddressTaken => Self::new(
                Code::Conflict,
                "You have a connection with this address or URL. Give it a new secret, or disconnect it first.",
            ),
            ConnectError::NotFound => Self::not_found(),
            ConnectError::WrongSecret => Self::new(
                Code::InvalidBody,
                "A mail account or calendar is opened by `username` and `password`, a webhook by `signing_secret`.",
            )
            .at("", "INVALID_VALUE", "This is not what opens this connection."),
            ConnectError::Stale { .. } => if_match::stale(),
            ConnectError::Database(source) => source.into(),
        }
    }
}
