//! Sessions over HTTP: log in, list sessions, rotate a token, log out.
//!
//! A token appears in two responses, once each: those of the log-in and of the rotation. `jobs::commands` decides what a
//! session may do.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, List, PresentedToken, StrictJson, current_session},
    route_table::{Access, ResponseHeader, Route},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderName, Method},
    response::{IntoResponse, NoContent},
};
use base::TenantId;
use chrono::{DateTime, Utc};
use jobs::{
    commands::sessions::{
        end::{self, EndSessionError},
        hashing::HashingError,
        log_in::{self, LogIn, LogInError},
        rotate::{RotateError, rotate_session},
    },
    commands::users::second_factor::CheckError,
    domain::{
        Session, SessionId, SessionToken, UserId,
        session::{AuthMethod, RevokeScope, Role, Scope},
    },
    store::sessions,
};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Tells a browser to drop what it stored for the last user.
pub(super) const CLEAR_SITE_DATA: (HeaderName, &str) = (
    HeaderName::from_static("clear-site-data"),
    r#""cache", "cookies", "storage""#,
);

pub fn routes() -> Vec<Route> {
    let own = Access::Session(Scope::OwnSessions);
    vec![
        Route::new(
            Method::POST,
            "/v1/sessions",
            "open_session",
            Access::Public,
            open,
        )
        .summary("Log in with a password")
        .description("Users with a second factor send a code with it; without one it answers `SECOND_FACTOR_REQUIRED`.")
        .body::<LogInBody>("application/json")
        .answer::<OpenedSession>(201, "The session with its token, which is shown only once")
        .headers(&[ResponseHeader::ClearSiteData])
        .errors(&[
            Code::LoginRefused,
            Code::SecondFactorRequired,
            Code::TooManyRequests,
        ]),
        Route::new(Method::GET, "/v1/sessions", "list_sessions", own, list)
            .summary("List your sessions, newest first")
            .answer::<List<ListedSession>>(200, "Your active sessions"),
        Route::new(
            Method::POST,
            "/v1/sessions/current/rotate",
            "rotate_session",
            own,
            rotate,
        )
        .summary("Rotate this session's token")
        .description(
            "The old token stays valid for a short while, for requests that are under way.",
        )
        .answer::<OpenedSession>(
            200,
            "The session with its new token, which is shown only once",
        )
        .errors(&[Code::Conflict]),
        Route::new(
            Method::DELETE,
            "/v1/sessions/current",
            "end_current_session",
            own,
            log_out,
        )
        .summary("Log out")
        .empty_answer(204, "The session has ended")
        .headers(&[ResponseHeader::ClearSiteData]),
        Route::new(Method::DELETE, "/v1/sessions/{id}", "end_session", own, end)
            .summary("End one of your sessions")
            .empty_answer(204, "The session has ended"),
        Route::new(
            Method::POST,
            "/v1/sessions/revoke",
            "end_sessions",
            own,
            end_several,
        )
        .summary("End this session, all others, or all of them")
        .body::<RevokeBody>("application/json")
        .empty_answer(204, "The sessions have ended"),
    ]
}

/// A user's tenant, address and password, and a code of their second factor.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LogIn")]
struct LogInBody {
    /// The tenant's short name.
    #[schemars(length(min = 1, max = 63))]
    tenant: String,
    #[schemars(email, length(min = 3, max = 320))]
    email: String,
    #[schemars(with = "String", length(min = 1, max = 128))]
    password: SecretString,
    /// Six digits of the app, or a recovery code; only users with a second factor need it.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 1, max = 64))]
    code: Option<SecretString>,
}

/// Which sessions to end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RevokeSessions")]
struct RevokeBody {
    scope: RevokeScope,
}

/// A session with the only copy of its token.
#[derive(Serialize, JsonSchema)]
pub(super) struct OpenedSession {
    /// Send it as `Authorization: Bearer …`.
    token: String,
    session: SessionView,
}

/// A session.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionView {
    id: SessionId,
    tenant_id: TenantId,
    user_id: UserId,
    role: Role,
    auth_method: AuthMethod,
    created_at: DateTime<Utc>,
    /// When it ends, however often it is used.
    expires_at: DateTime<Utc>,
    /// When it ends if it is not used again.
    idle_expires_at: DateTime<Utc>,
}

/// One of your sessions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionSummary")]
struct ListedSession {
    id: SessionId,
    /// Whether it is the session of this request.
    current: bool,
    #[schemars(with = "AuthMethod")]
    auth_method: String,
    created_at: DateTime<Utc>,
    /// To the minute.
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    /// The address it was opened from.
    ip: Option<String>,
    user_agent: Option<String>,
}

impl OpenedSession {
    pub(super) fn new(token: &SessionToken, session: &Session) -> Self {
        Self {
            token: token.expose().to_owned(),
            session: SessionView {
                id: session.id,
                tenant_id: session.tenant,
                user_id: session.user,
                role: session
                    .role()
                    .expect("only a user's session is opened or rotated"),
                auth_method: session.auth_method,
                created_at: session.created_at,
                expires_at: session.expires_at,
                idle_expires_at: session.idle_expires_at,
            },
        }
    }
}

async fn open(
    State(app): State<AppState>,
    context: RequestContext,
    StrictJson(body): StrictJson<LogInBody>,
) -> Result<impl IntoResponse, ApiError> {
    let typed = LogIn {
        tenant: body.tenant,
        email: body.email,
        password: body.password,
        code: body.code,
        origin: context.origin,
    };
    let lifetime = app.config.sessions;
    let opened = log_in::log_in(&app.pool, &app.notifier, app.verifier(), lifetime, &typed)
        .await
        .map_err(|error| not_logged_in(&app, error))?;
    app.metrics
        .sessions_opened_total
        .with_label_values(&[AuthMethod::Password.as_str()])
        .inc();
    let body = OpenedSession::new(&opened.token, &opened.session);
    Ok((success::CREATED, [CLEAR_SITE_DATA], Json(body)))
}

fn not_logged_in(app: &AppState, error: LogInError) -> ApiError {
    let count = |reason| {
        app.metrics
            .auth_failures_total
            .with_label_values(&[reason])
            .inc();
    };
    match error {
        LogInError::Refused => {
            count("login_refused");
            ApiError::new(
                Code::LoginRefused,
                "The tenant, the email address or the password is wrong. Check all three and try again.",
            )
        }
        LogInError::SecondFactorRequired => second_factor_required(),
        LogInError::WrongCode => {
            count("login_refused");
            wrong_code()
        }
        LogInError::Throttled { retry_after } => {
            count("login_throttled");
            throttled(retry_after)
        }
        LogInError::Hashing(error) => not_hashed(error),
        LogInError::Code(error) => not_checked(error),
        LogInError::Database(error) => error.into(),
    }
}

pub(super) fn throttled(retry_after: Duration) -> ApiError {
    let seconds = u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX);
    ApiError::new(
        Code::TooManyRequests,
        "Too many log-ins failed. Wait as long as Retry-After says, then try again.",
    )
    // Rounded up, so that a retry does not come too early.
    .retry_after(seconds.saturating_add(1))
}

pub(super) fn second_factor_required() -> ApiError {
    ApiError::new(
        Code::SecondFactorRequired,
        "You have a second factor. Send the same request with a code of your app or a recovery code.",
    )
    .at("/code", "MISSING_FIELD", "Is required.")
}

pub(super) fn wrong_code() -> ApiError {
    ApiError::new(
        Code::LoginRefused,
        "The code is wrong or was used before. Wait for the next code of your app and try again.",
    )
    .at(
        "/code",
        "WRONG_CODE",
        "Must be a code of your second factor.",
    )
}

pub(super) fn not_checked(error: CheckError) -> ApiError {
    match error {
        CheckError::Database(error) => error.into(),
        error @ (CheckError::NoKeys | CheckError::Sealed(_)) => ApiError::internal(error),
    }
}

pub(super) fn not_hashed(error: HashingError) -> ApiError {
    let (code, detail) = match error {
        HashingError::Busy => (
            Code::Overloaded,
            "Too many log-ins are in progress. Try again in a moment.",
        ),
        HashingError::Stopping => (
            Code::Unavailable,
            "The service is restarting. Try again in a moment.",
        ),
    };
    ApiError::new(code, detail).retry_after(1).caused_by(error)
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<List<ListedSession>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let listed = sessions::list(&mut conn, session.tenant, session.user).await?;
    let items = listed.into_iter().map(|listed| ListedSession {
        current: listed.id == session.id,
        id: listed.id,
        auth_method: listed.auth_method,
        created_at: listed.created_at,
        last_used_at: listed.last_used_at,
        expires_at: listed.expires_at,
        idle_expires_at: listed.idle_expires_at,
        ip: listed.ip,
        user_agent: listed.user_agent,
    });
    Ok(List::of(items))
}

async fn rotate(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    PresentedToken(token): PresentedToken,
) -> Result<Json<OpenedSession>, ApiError> {
    let rotated = rotate_session(&app.pool, &app.notifier, &session, &token, &context.origin)
        .await
        .map_err(|error| match error {
            RotateError::AlreadyRotated => ApiError::new(
                Code::Conflict,
                "This token was already rotated, and the new token is in use. Use that one.",
            ),
            RotateError::Refused(refusal) => current_session::refused(&app, refusal),
            RotateError::Database(error) => error.into(),
        })?;
    Ok(Json(OpenedSession::new(&rotated.token, &rotated.session)))
}

async fn log_out(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
) -> Result<impl IntoResponse, ApiError> {
    end::log_out(&app.pool, &app.notifier, &session, &context.origin).await?;
    Ok(([CLEAR_SITE_DATA], NoContent))
}

async fn end(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<SessionId>,
) -> Result<NoContent, ApiError> {
    end::end_session(&app.pool, &app.notifier, &session, id, &context.origin)
        .await
        .map_err(|error| match error {
            EndSessionError::NotFound => ApiError::not_found(),
            EndSessionError::Database(error) => error.into(),
        })?;
    Ok(NoContent)
}

async fn end_several(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<RevokeBody>,
) -> Result<NoContent, ApiError> {
    let (pool, notifier) = (&app.pool, &app.notifier);
    end::end_sessions(pool, notifier, &session, body.scope, &context.origin).await?;
    Ok(NoContent)
}
