//! Second factors over HTTP: your own at `/v1/users/me/second-factor`, and for owners and admins that of a user who lost it.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, Route},
    routes::{
        connections::stored_secrets,
        sessions::{not_checked, wrong_code},
    },
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
    response::NoContent,
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::users::second_factor::{self, SecondFactorError},
    domain::{UserId, session::Scope},
    store::second_factors,
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

const OWN: &str = "/v1/users/me/second-factor";

pub(super) fn routes() -> Vec<Route> {
    let own = Access::Session(Scope::OwnSessions);
    let manage = Access::Session(Scope::UsersManage);
    vec![
        Route::new(Method::GET, OWN, "get_second_factor", own, get)
            .summary("Get the state of your second factor")
            .answer::<SecondFactor>(200, "Your second factor, or that you have none"),
        Route::new(Method::POST, OWN, "enrol_second_factor", own, enrol)
            .summary("Enrol an authenticator app as second factor")
            .description(
                "Protects nothing until a code of the app confirms it; until then another enrolment replaces it.",
            )
            .fresh()
            .answer::<EnrolmentBody>(201, "The app's secret, which is shown only once")
            .errors(&[Code::Conflict, Code::NotConfigured]),
        Route::new(
            Method::POST,
            "/v1/users/me/second-factor/confirm",
            "confirm_second_factor",
            own,
            confirm,
        )
        .summary("Activate your second factor with a code of the app")
        .description("From now on you log in with a code. Ends your other sessions.")
        .fresh()
        .body::<CodeBody>("application/json")
        .answer::<RecoveryCodes>(200, "Ten recovery codes, which are shown only once")
        .errors(&[Code::Conflict, Code::LoginRefused, Code::NotConfigured]),
        Route::new(Method::DELETE, OWN, "remove_second_factor", own, remove)
            .summary("Remove your second factor")
            .fresh()
            .empty_answer(204, "You have no second factor"),
        Route::new(
            Method::DELETE,
            "/v1/users/{id}/second-factor",
            "reset_second_factor",
            manage,
            reset,
        )
        .summary("Remove the second factor of a user who lost it")
        .description("Ends all their sessions. They log in with their password alone and can enrol another.")
        .fresh()
        .empty_answer(204, "The user has no second factor"),
    ]
}

/// Your second factor.
#[derive(Serialize, JsonSchema)]
struct SecondFactor {
    /// Whether logging in needs a code.
    active: bool,
    /// Since when; null if it is not active.
    confirmed_at: Option<DateTime<Utc>>,
    #[schemars(range(min = 0, max = 10))]
    recovery_codes_left: i64,
}

/// A second factor that is being enrolled.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SecondFactorEnrolment")]
struct EnrolmentBody {
    /// For an app that reads no QR code: base32, six digits, 30 s, SHA-1.
    secret: String,
    /// `otpauth://…`, to be shown as a QR code.
    uri: String,
}

/// A code of the app.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecondFactorCode")]
struct CodeBody {
    /// Six digits.
    #[schemars(with = "String", length(min = 1, max = 64))]
    code: SecretString,
}

/// Codes that stand for one of the app, each once.
#[derive(Serialize, JsonSchema)]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<SecondFactor>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = second_factors::find(&mut conn, session.tenant, session.user).await?;
    let active = found.filter(|factor| factor.confirmed_at.is_some());
    Ok(Json(SecondFactor {
        active: active.is_some(),
        recovery_codes_left: active
            .as_ref()
            .map_or(0, |factor| factor.recovery_codes_left),
        confirmed_at: active.and_then(|factor| factor.confirmed_at),
    }))
}

async fn enrol(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
) -> Result<(StatusCode, Json<EnrolmentBody>), ApiError> {
    let keys = stored_secrets(&app)?;
    let made = second_factor::enrol(&app.pool, keys, &session, &context.request_id).await?;
    let body = EnrolmentBody {
        secret: made.secret.text().expose_secret().to_owned(),
        uri: made.uri.expose_secret().to_owned(),
    };
    Ok((success::CREATED, Json(body)))
}

async fn confirm(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<CodeBody>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    let keys = stored_secrets(&app)?;
    let (pool, notifier) = (&app.pool, &app.notifier);
    let request_id = &context.request_id;
    let codes =
        second_factor::confirm(pool, notifier, keys, &session, &body.code, request_id).await?;
    Ok(Json(RecoveryCodes {
        recovery_codes: codes.iter().map(|code| code.expose()).collect(),
    }))
}

async fn remove(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
) -> Result<NoContent, ApiError> {
    second_factor::remove(&app.pool, &session, &context.request_id).await?;
    Ok(NoContent)
}

async fn reset(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<NoContent, ApiError> {
    let actor = context.actor(&session);
    second_factor::reset(&app.pool, &app.notifier, actor, id).await?;
    Ok(NoContent)
}

impl From<SecondFactorError> for ApiError {
    fn from(error: SecondFactorError) -> Self {
        match error {
            SecondFactorError::Active => Self::new(
                Code::Conflict,
                "You have a second factor. Remove it first, then enrol another.",
            ),
            SecondFactorError::NotEnrolling => Self::new(
                Code::Conflict,
                "No enrolment is under way. Begin one with POST /v1/users/me/second-factor.",
            ),
            SecondFactorError::WrongCode => wrong_code(),
            SecondFactorError::Check(error) => not_checked(error),
            SecondFactorError::Database(error) => error.into(),
        }
    }
}
