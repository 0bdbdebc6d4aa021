//! Invites and their acceptance: `/v1/invites` and `/v1/onboarding/accept`.
//!
//! No response tells whether an address has an account: every invite that cannot be accepted gets the same text.

use super::sessions::{OpenedSession, not_hashed};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, Id, List, StrictJson},
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
    commands::onboarding::{
        accept::AcceptError,
        accept_invite,
        invite::{self, InviteError, Invited},
    },
    domain::{
        InviteId, InviteToken, UserId,
        invite::EmailAddress,
        password::{NewPassword, WeakPassword},
        session::{AuthMethod, Role, Scope},
    },
    store::invites,
};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// More than a tenant has pending at once; the list has one page.
const MAX_INVITES: i64 = 500;

pub fn routes() -> Vec<Route> {
    let manage = Access::Session(Scope::InvitesManage);
    vec![
        Route::new(Method::POST, "/v1/invites", "create_invite", manage, create)
            .summary("Invite a user")
            .fresh()
            .description("Revokes a pending invite for the same address.")
            .body::<InviteBody>("application/json")
            .answer::<CreatedInvite>(201, "The invite with its token, which is shown only once"),
        Route::new(Method::GET, "/v1/invites", "list_invites", manage, list)
            .summary("List the pending invites, newest first")
            .answer::<List<InviteView>>(200, "The pending invites"),
        Route::new(
            Method::DELETE,
            "/v1/invites/{id}",
            "revoke_invite",
            manage,
            revoke,
        )
        .summary("Revoke an invite")
        .empty_answer(204, "The invite is revoked"),
        Route::new(
            Method::POST,
            "/v1/onboarding/accept",
            "accept_invite",
            Access::Public,
            accept,
        )
        .summary("Accept an invite: choose a password and log in")
        .body::<AcceptBody>("application/json")
        .answer::<AcceptedInvite>(201, "The first session of the new user")
        .errors(&[Code::Gone]),
    ]
}

/// A new invite.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewInvite")]
struct InviteBody {
    #[schemars(email, length(min = 3, max = 320))]
    email: String,
    /// At most your own role.
    role: Role,
}

/// The acceptance of an invite.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AcceptInvite")]
struct AcceptBody {
    /// The invite's token, `pr_i_…`.
    #[schemars(with = "String", regex(pattern = "^pr_i_[0-9A-Za-z]{49}$"))]
    token: SecretString,
    /// Not one of the common ones.
    #[schemars(with = "String", length(min = 8, max = 128))]
    password: SecretString,
}

/// An invite with the only copy of its token.
#[derive(Serialize, JsonSchema)]
struct CreatedInvite {
    /// Give it to the invited person, who accepts with it.
    token: String,
    invite: InviteView,
}

/// A pending invite.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Invite")]
struct InviteView {
    id: InviteId,
    email: String,
    role: Role,
    /// Null if it came from the command line.
    invited_by: Option<UserId>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
struct AcceptedInvite {
    /// The tenant's short name, needed to log in again.
    tenant: String,
    #[serde(flatten)]
    opened: OpenedSession,
}

impl From<invites::Invite> for InviteView {
    fn from(invite: invites::Invite) -> Self {
        Self {
            id: invite.id,
            email: invite.email.expose().to_owned(),
            role: invite.role,
            invited_by: invite.invited_by,
            created_at: invite.created_at,
            expires_at: invite.expires_at,
        }
    }
}

async fn create(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<InviteBody>,
) -> Result<(StatusCode, Json<CreatedInvite>), ApiError> {
    let email = EmailAddress::parse(&body.email).map_err(|error| {
        ApiError::new(Code::InvalidBody, "Use one plain email address.").at(
            "/email",
            "INVALID_VALUE",
            error.to_string(),
        )
    })?;
    let request_id = Some(&*context.request_id);
    let Invited { invite, token } =
        invite::invite(&app.pool, &session, &email, body.role, request_id)
            .await
            .map_err(not_invited)?;
    let body = CreatedInvite {
        token: token.expose().to_owned(),
        invite: invite.into(),
    };
    Ok((success::CREATED, Json(body)))
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<List<InviteView>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let pending = invites::list(&mut conn, session.tenant, MAX_INVITES).await?;
    Ok(List::of(pending))
}

async fn revoke(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<InviteId>,
) -> Result<NoContent, ApiError> {
    invite::revoke_invite(&app.pool, &session, id, Some(&*context.request_id))
        .await
        .map_err(not_invited)?;
    Ok(NoContent)
}

fn not_invited(error: InviteError) -> ApiError {
    match error {
        InviteError::RoleTooHigh(_) => ApiError::new(
            Code::Forbidden,
            "You cannot invite a user with a role above your own. Choose another role, or ask an owner.",
        ),
        InviteError::NotFound => ApiError::not_found(),
        InviteError::Database(error) => error.into(),
    }
}

async fn accept(
    State(app): State<AppState>,
    context: RequestContext,
    StrictJson(body): StrictJson<AcceptBody>,
) -> Result<(StatusCode, Json<AcceptedInvite>), ApiError> {
    let token = InviteToken::parse(body.token.expose_secret()).map_err(|_| gone())?;
    let password = NewPassword::parse(body.password).map_err(|error| weak("/password", error))?;
    let lifetime = app.config.sessions;
    let origin = &context.origin;
    let accepted = accept_invite(&app.pool, &app.hasher, lifetime, &token, password, origin)
        .await
        .map_err(|error| match error {
            AcceptError::Gone => gone(),
            AcceptError::Weak(error) => weak("/password", error),
            AcceptError::Hashing(error) => not_hashed(error),
            AcceptError::Database(error) => error.into(),
        })?;
    app.metrics
        .sessions_opened_total
        .with_label_values(&[AuthMethod::Invite.as_str()])
        .inc();
    let body = AcceptedInvite {
        tenant: accepted.tenant_slug,
        opened: OpenedSession::new(&accepted.opened.token, &accepted.opened.session),
    };
    Ok((success::CREATED, Json(body)))
}

/// The same text whether the invite never existed, was used, expired or was revoked, or its address has an account.
fn gone() -> ApiError {
    ApiError::new(
        Code::Gone,
        "This invite cannot be accepted. Ask the person who invited you for a new one.",
    )
}

pub(super) fn weak(pointer: &str, error: WeakPassword) -> ApiError {
    let code = match error {
        WeakPassword::TooShort => "TOO_SHORT",
        WeakPassword::TooLong => "TOO_LONG",
        WeakPassword::TooUniform => "TOO_UNIFORM",
        WeakPassword::TooCommon => "TOO_COMMON",
        WeakPassword::TooPersonal => "TOO_PERSONAL",
    };
    ApiError::new(
        Code::InvalidBody,
        "This password cannot be used. Choose another.",
    )
    .at(pointer, code, error.to_string())
}
