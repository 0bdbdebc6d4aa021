//! How people come in: invites and their acceptance, apart from jobs and actions.
//!
//! No answer tells whether an address has an account, and every invite that cannot be accepted is gone in the same words.

use super::sessions::{OpenedSession, not_hashed};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    Json,
    extract::{Path, State},
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

/// More invites than a tenant has pending at once; the list has one page.
const MOST_INVITES: i64 = 500;

pub fn routes() -> Vec<Route> {
    let manage = Access::Session(Scope::InvitesManage);
    vec![
        Route::new(Method::POST, "/v1/invites", "create_invite", manage, create)
            .summary("Invite somebody; a pending invite for the address is revoked")
            .body::<InviteBody>("application/json")
            .answer::<CreatedInvite>(201, "The invite and its token, which is not shown again"),
        Route::new(Method::GET, "/v1/invites", "list_invites", manage, list)
            .summary("List the invites that can still be accepted, the youngest first")
            .answer::<InviteList>(200, "The pending invites"),
        Route::new(
            Method::DELETE,
            "/v1/invites/{id}",
            "revoke_invite",
            manage,
            revoke,
        )
        .summary("Take an invite back")
        .empty_answer(204, "The invite cannot be accepted any more"),
        Route::new(
            Method::POST,
            "/v1/onboarding/accept",
            "accept_invite",
            Access::Public,
            accept,
        )
        .summary("Accept an invite: choose a password and be logged in")
        .body::<AcceptBody>("application/json")
        .answer::<AcceptedInvite>(201, "The first session of a new user"),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct InviteBody {
    email: String,
    /// At most the inviter's own.
    role: Role,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AcceptBody {
    /// The invite's token, `pr_i_…`.
    #[schemars(with = "String")]
    token: SecretString,
    /// 8 to 128 characters, and not a common one.
    #[schemars(with = "String")]
    password: SecretString,
}

/// An invite with the only copy of its token.
#[derive(Serialize, JsonSchema)]
struct CreatedInvite {
    /// To be handed to the invited person, who accepts with it.
    token: String,
    invite: InviteView,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Invite")]
struct InviteView {
    id: InviteId,
    email: String,
    role: Role,
    /// Nobody, if it came from the command line.
    invited_by: Option<UserId>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

#[derive(Serialize, JsonSchema)]
struct InviteList {
    items: Vec<InviteView>,
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
        ApiError::new(Code::InvalidBody, "The address cannot be used. Correct it.").at(
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
) -> Result<Json<InviteList>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let pending = invites::list(&mut conn, session.tenant, MOST_INVITES).await?;
    let items = pending.into_iter().map(InviteView::from).collect();
    Ok(Json(InviteList { items }))
}

async fn revoke(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Path(id): Path<String>,
) -> Result<NoContent, ApiError> {
    let id: InviteId = id.parse().map_err(|_| ApiError::not_found())?;
    invite::revoke_invite(&app.pool, &session, id, Some(&*context.request_id))
        .await
        .map_err(not_invited)?;
    Ok(NoContent)
}

fn not_invited(error: InviteError) -> ApiError {
    match error {
        InviteError::RoleTooHigh { .. } => ApiError::new(
            Code::Forbidden,
            "You cannot give somebody a role above your own. Choose another, or ask an owner.",
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
    let password = NewPassword::parse(body.password).map_err(weak)?;
    let lifetime = app.config.sessions;
    let origin = &context.origin;
    let accepted = accept_invite(&app.pool, &app.hasher, lifetime, &token, password, origin)
        .await
        .map_err(|error| match error {
            AcceptError::Gone => gone(),
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

/// One answer, whether the invite never was, is used up, expired, revoked, or its address has an account.
fn gone() -> ApiError {
    ApiError::new(
        Code::Gone,
        "This invite cannot be accepted. Ask whoever invited you for a new one.",
    )
}

fn weak(error: WeakPassword) -> ApiError {
    let code = match error {
        WeakPassword::TooShort => "TOO_SHORT",
        WeakPassword::TooLong => "TOO_LONG",
        WeakPassword::TooCommon => "TOO_COMMON",
    };
    ApiError::new(
        Code::InvalidBody,
        "This password cannot be chosen. Take another.",
    )
    .at("/password", code, error.to_string())
}
