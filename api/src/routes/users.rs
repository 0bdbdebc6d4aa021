//! Users over HTTP: your own password and second factor below `/v1/users/me`, and for owners and admins `/v1/users`.

mod delegates;
mod preferences;
mod second_factor;

use super::{
    onboarding::weak,
    sessions::{not_checked, not_hashed, second_factor_required, throttled, wrong_code},
};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, NoQuery, Paged, PagedList, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
    response::NoContent,
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::users::{
        manage::{ManageUserError, UserChange, remove_user, update_user},
        password::{PasswordError, Proof, change_password, confirm_password},
        reset::{ResetError, create_reset, reset_password},
    },
    domain::{
        PasswordResetToken, UserId,
        password::NewPassword,
        session::{Role, Scope},
        tenant::UserStatus,
    },
    store::users::{self, User},
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// How an operation fails that asks for the password.
const NOT_PROVEN: &[Code] = &[
    Code::LoginRefused,
    Code::SecondFactorRequired,
    Code::TooManyRequests,
];

pub fn routes() -> Vec<Route> {
    let own = Access::Session(Scope::OwnSessions);
    let manage = Access::Session(Scope::UsersManage);
    let mut routes = vec![
        Route::new(
            Method::POST,
            "/v1/sessions/current/confirm",
            "confirm_password",
            own,
            confirm,
        )
        .summary("Confirm your password for operations that concern access")
        .description("For ten minutes this session may do what answers `CONFIRMATION_REQUIRED` otherwise.")
        .body::<ConfirmBody>("application/json")
        .empty_answer(204, "The password is confirmed")
        .errors(NOT_PROVEN),
        Route::new(
            Method::PUT,
            "/v1/users/me/password",
            "change_password",
            own,
            change,
        )
        .summary("Change your password")
        .description("Ends your other sessions.")
        .body::<ChangeBody>("application/json")
        .empty_answer(204, "The password is changed")
        .errors(NOT_PROVEN),
        Route::new(Method::GET, "/v1/users", "list_users", manage, list)
            .summary("List the users of your tenant, oldest first")
            .paged::<NoQuery>()
            .answer::<PagedList<UserView>>(200, "A page of users"),
        Route::new(Method::PATCH, "/v1/users/{id}", "update_user", manage, update)
            .summary("Change a user's role, or suspend a user")
            .description(
                "A suspended user's sessions end at once, and nothing leaves by their accounts: jobs that would send wait until \
                 the user is active again.",
            )
            .fresh()
            .body::<UserChangeBody>("application/json")
            .answer::<UserView>(200, "The user")
            .errors(&[Code::Conflict]),
        Route::new(Method::DELETE, "/v1/users/{id}", "remove_user", manage, remove)
            .summary("Remove a user")
            .description(
                "Ends their sessions, disconnects their accounts and forgets their address. What they decided stays.",
            )
            .fresh()
            .empty_answer(204, "The user is removed")
            .errors(&[Code::Conflict]),
        Route::new(
            Method::POST,
            "/v1/users/{id}/password-reset",
            "create_password_reset",
            manage,
            create,
        )
        .summary("Create a one-time token with which a user sets a new password")
        .description("It is valid for an hour and replaces the user's former one. We send no email: give it to the user.")
        .fresh()
        .answer::<CreatedResetBody>(201, "The reset with its token, which is shown only once"),
        Route::new(
            Method::POST,
            "/v1/onboarding/reset-password",
            "reset_password",
            Access::Public,
            reset,
        )
        .summary("Set a new password with a one-time token")
        .description("Ends all sessions of the user, who then logs in.")
        .body::<ResetBody>("application/json")
        .empty_answer(204, "The password is set")
        .errors(&[Code::Gone]),
    ];
    routes.extend(delegates::routes());
    routes.extend(preferences::routes());
    routes.extend(second_factor::routes());
    routes
}

/// Your password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfirmPassword")]
struct ConfirmBody {
    #[schemars(with = "String", length(min = 1, max = 128))]
    password: SecretString,
    /// Of your second factor, if you have one.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 1, max = 64))]
    code: Option<SecretString>,
}

/// Your password and the one that replaces it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ChangePassword")]
struct ChangeBody {
    #[schemars(with = "String", length(min = 1, max = 128))]
    current_password: SecretString,
    /// Of your second factor, if you have one.
    #[serde(default)]
    #[schemars(with = "Option<String>", length(min = 1, max = 64))]
    code: Option<SecretString>,
    /// Not one of the common ones.
    #[schemars(with = "String", length(min = 8, max = 128))]
    new_password: SecretString,
}

/// A user of your tenant.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
struct UserView {
    id: UserId,
    email: String,
    role: Role,
    status: UserStatus,
    created_at: DateTime<Utc>,
    /// To the minute; null if none of their sessions is stored any more.
    last_seen_at: Option<DateTime<Utc>>,
    /// Whether they have an active second factor.
    second_factor: bool,
}

/// A change of a user: fields that are left out stay.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserChange")]
struct UserChangeBody {
    /// At most your own role.
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    suspended: Option<bool>,
}

/// A password reset with the only copy of its token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CreatedPasswordReset")]
struct CreatedResetBody {
    /// Give it to the user, who sets a new password with POST /v1/onboarding/reset-password.
    token: String,
    expires_at: DateTime<Utc>,
}

/// A one-time token and the new password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ResetPassword")]
struct ResetBody {
    /// The reset's token, `pr_p_…`.
    #[schemars(with = "String", regex(pattern = "^pr_p_[0-9A-Za-z]{49}$"))]
    token: SecretString,
    /// Not one of the common ones.
    #[schemars(with = "String", length(min = 8, max = 128))]
    password: SecretString,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            role: user.role,
            status: user.status,
            created_at: user.created_at,
            last_seen_at: user.last_seen_at,
            second_factor: user.second_factor,
        }
    }
}

async fn confirm(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<ConfirmBody>,
) -> Result<NoContent, ApiError> {
    let request_id = &context.request_id;
    let proof = Proof {
        password: body.password,
        code: body.code,
    };
    confirm_password(&app.pool, app.verifier(), &session, proof, request_id)
        .await
        .map_err(|error| not_accepted("/password", error))?;
    Ok(NoContent)
}

async fn change(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<ChangeBody>,
) -> Result<NoContent, ApiError> {
    let new =
        NewPassword::parse(body.new_password).map_err(|error| weak("/new_password", error))?;
    change_password(
        &app.pool,
        &app.notifier,
        app.verifier(),
        &session,
        Proof {
            password: body.current_password,
            code: body.code,
        },
        new,
        &context.request_id,
    )
    .await
    .map_err(|error| not_accepted("/current_password", error))?;
    Ok(NoContent)
}

fn not_accepted(pointer: &str, error: PasswordError) -> ApiError {
    match error {
        PasswordError::Wrong => ApiError::new(
            Code::LoginRefused,
            "The password is wrong. Your session goes on; try again.",
        )
        .at(pointer, "WRONG_PASSWORD", "Must be your password."),
        PasswordError::SecondFactorRequired => second_factor_required(),
        PasswordError::WrongCode => wrong_code(),
        PasswordError::Throttled { retry_after } => throttled(retry_after),
        PasswordError::Weak(error) => weak("/new_password", error),
        PasswordError::Hashing(error) => not_hashed(error),
        PasswordError::Code(error) => not_checked(error),
        PasswordError::Database(error) => error.into(),
    }
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { page, .. }: Paged<NoQuery>,
) -> Result<Json<PagedList<UserView>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let after = page.after.map(UserId);
    let found = users::list(&mut conn, session.tenant, after, page.rows()).await?;
    Ok(page.list(found, |user| user.id.0))
}

async fn update(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
    StrictJson(body): StrictJson<UserChangeBody>,
) -> Result<Json<UserView>, ApiError> {
    let change = UserChange {
        role: body.role,
        suspended: body.suspended,
    };
    let actor = context.actor(&session);
    let user = update_user(&app.pool, &app.notifier, actor, id, change).await?;
    Ok(Json(user.into()))
}

async fn remove(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<NoContent, ApiError> {
    remove_user(&app.pool, &app.notifier, context.actor(&session), id).await?;
    Ok(NoContent)
}

async fn create(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<UserId>,
) -> Result<(StatusCode, Json<CreatedResetBody>), ApiError> {
    let created = create_reset(&app.pool, context.actor(&session), id).await?;
    let body = CreatedResetBody {
        token: created.token.expose().to_owned(),
        expires_at: created.expires_at,
    };
    Ok((success::CREATED, Json(body)))
}

async fn reset(
    State(app): State<AppState>,
    context: RequestContext,
    StrictJson(body): StrictJson<ResetBody>,
) -> Result<NoContent, ApiError> {
    let token = PasswordResetToken::parse(body.token.expose_secret()).map_err(|_| gone())?;
    let password = NewPassword::parse(body.password).map_err(|error| weak("/password", error))?;
    let (pool, notifier, hasher) = (&app.pool, &app.notifier, &app.hasher);
    reset_password(pool, notifier, hasher, &token, password, &context.origin)
        .await
        .map_err(|error| match error {
            ResetError::Gone => gone(),
            ResetError::Weak(error) => weak("/password", error),
            ResetError::Hashing(error) => not_hashed(error),
            ResetError::Database(error) => error.into(),
        })?;
    Ok(NoContent)
}

/// The same text whether the reset never existed, was used or replaced, expired, or its user cannot log in.
fn gone() -> ApiError {
    ApiError::new(
        Code::Gone,
        "This password reset cannot be used. Ask an owner or an admin for a new one.",
    )
}

impl From<ManageUserError> for ApiError {
    fn from(error: ManageUserError) -> Self {
        match error {
            ManageUserError::NotFound => Self::not_found(),
            ManageUserError::RoleTooHigh => Self::new(
                Code::Forbidden,
                "You cannot change a user of a role above your own, nor grant one. Ask an owner.",
            ),
            ManageUserError::LastOwner => Self::new(
                Code::Conflict,
                "The tenant needs an owner who can log in. Make another user an owner first.",
            ),
            ManageUserError::Database(error) => error.into(),
        }
    }
}
