//! A user's accounts at providers: `/v1/connections`. Secrets go in and never come out.

use crate::{
    App, AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IfMatch, StrictJson, if_match},
    route_table::{Access, Place, Route},
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderName, Method, StatusCode, header},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::connect::{ConnectError, ConnectMail, connect_mail, disconnect, reauthenticate},
    domain::{
        ConnectionId,
        connection::{ConnectionStatus, MailSecret, MailSettings, Provider, Server},
        session::Scope,
    },
    secrets::KeyRing,
    store::connections::{self, StoredConnection},
};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

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
        .summary("Connect a mail account, by which actions may send")
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
        .body::<Secret>(JSON)
        .answer::<Connection>(200, "The connection as it is now"),
        Route::new(Method::DELETE, ONE, "delete_connection", access, delete)
            .summary("Disconnect an account and forget its secret")
            .empty_answer(204, "It is disconnected"),
    ]
}

/// A mail account to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewConnection {
    #[expect(
        dead_code,
        reason = "there is one so far; naming it keeps room for more"
    )]
    provider: Provider,
    /// What mail is sent as.
    address: String,
    /// Beside the address, up to 100 characters.
    #[serde(default)]
    display_name: Option<String>,
    smtp: Server,
    /// Up to 320 characters; empty if the server asks for none.
    username: String,
    #[schemars(with = "String")]
    password: SecretString,
    /// Mails an hour at most, 1 to 10,000; 60 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 10_000))]
    sends_per_hour: Option<i32>,
    /// Recipients of one mail at most, 1 to 1,000; 20 if it is left out.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    max_recipients: Option<i32>,
}

/// What opens an account.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConnectionSecret")]
struct Secret {
    username: String,
    #[schemars(with = "String")]
    password: SecretString,
}

/// An account without its secret.
#[derive(Serialize, JsonSchema)]
struct Connection {
    id: ConnectionId,
    provider: Provider,
    address: String,
    display_name: Option<String>,
    smtp: Server,
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
        .map(versioned)
        .ok_or_else(ApiError::not_found)
}

async fn create(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    StrictJson(body): StrictJson<NewConnection>,
) -> Result<(StatusCode, Versioned), ApiError> {
    let secret = secret(body.username, body.password)?;
    let (sends_per_hour, max_recipients) = (
        body.sends_per_hour.unwrap_or(60),
        body.max_recipients.unwrap_or(20),
    );
    let name = body.display_name.as_deref();
    for (sound, pointer, detail) in [
        (
            is_address(&body.address),
            "/address",
            "Use one plain mail address.",
        ),
        (
            name.is_none_or(|name| is_line(name, 1, 100)),
            "/display_name",
            "Use a name of 1 to 100 characters, none of them a control character.",
        ),
        (
            body.smtp.is_sound(),
            "/smtp",
            "Name a host and a port from 1 to 65535.",
        ),
        (
            (1..=10_000).contains(&sends_per_hour),
            "/sends_per_hour",
            "Use 1 to 10,000 mails an hour.",
        ),
        (
            (1..=1_000).contains(&max_recipients),
            "/max_recipients",
            "Use 1 to 1,000 recipients.",
        ),
    ] {
        if !sound {
            return Err(invalid(pointer, detail));
        }
    }
    let settings = MailSettings { smtp: body.smtp };
    let new = ConnectMail {
        address: &body.address,
        display_name: name,
        settings: &settings,
        secret: &secret,
        sends_per_hour,
        max_recipients,
    };
    let stored = connect_mail(&app.pool, keys(&app)?, &session, &new, &context.request_id).await?;
    Ok((success::CREATED, versioned(stored)))
}

async fn reauth(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
    StrictJson(body): StrictJson<Secret>,
) -> Result<Versioned, ApiError> {
    let which = (connection_id(&id)?, version);
    let secret = secret(body.username, body.password)?;
    let request_id = &context.request_id;
    reauthenticate(&app.pool, keys(&app)?, &session, which, &secret, request_id)
        .await
        .map(versioned)
        .map_err(Into::into)
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

fn secret(username: String, password: SecretString) -> Result<MailSecret, ApiError> {
    use secrecy::ExposeSecret;
    if !is_line(&username, 0, 320) {
        let detail = "Use a user name of at most 320 characters, none of them a control character.";
        return Err(invalid("/username", detail));
    }
    if !is_line(password.expose_secret(), 0, 1_000) {
        let detail =
            "Use a password of at most 1,000 characters, none of them a control character.";
        return Err(invalid("/password", detail));
    }
    Ok(MailSecret { username, password })
}

fn is_line(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn is_address(text: &str) -> bool {
    let plain = text.is_ascii()
        && text.len() <= 320
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"()".contains(c));
    plain
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

fn invalid(pointer: &'static str, detail: &'static str) -> ApiError {
    ApiError::new(Code::InvalidBody, detail).at(
        pointer,
        "INVALID_VALUE",
        "The value does not fit this field.",
    )
}

fn versioned(connection: StoredConnection) -> Versioned {
    let etag = format!("\"{}\"", connection.version);
    ([(header::ETAG, etag)], Json(connection.into()))
}

impl From<StoredConnection> for Connection {
    fn from(stored: StoredConnection) -> Self {
        Self {
            id: stored.id,
            provider: stored.provider,
            address: stored.address,
            display_name: stored.display_name,
            smtp: stored.settings.smtp,
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

impl From<ConnectError> for ApiError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::AddressTaken => Self::new(
                Code::Conflict,
                "You have a connection with this address. Give it a new secret, or disconnect it first.",
            ),
            ConnectError::NotFound => Self::not_found(),
            ConnectError::Stale { .. } => if_match::stale(),
            ConnectError::Database(source) => source.into(),
        }
    }
}
