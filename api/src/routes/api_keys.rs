//! API keys over HTTP: `/v1/api-keys`, for owners and admins who have typed their password lately.
//!
//! A token appears in two responses, once each: those of the creation and of the rotation.

use super::records::fields;
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
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::api_keys::{ApiKeyError, Issued, create_key, revoke_key, rotate_key},
    domain::{
        ApiKeyId, Session, UserId,
        api_key::{
            AddressRange, KeyScope, KeyScopes, MAX_KEYS, MAX_LIFETIME_DAYS, MAX_NAME, MAX_RANGES,
            MAX_ROTATION_GRACE, ROTATION_GRACE,
        },
        session::Scope,
    },
    store::api_keys::{self, ApiKey, NewApiKey},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub fn routes() -> Vec<Route> {
    let manage = Access::Session(Scope::KeysManage);
    vec![
        Route::new(Method::POST, "/v1/api-keys", "create_api_key", manage, create)
            .summary("Create an API key")
            .description(
                "A key is an identity of its own. It cannot approve, manage access or read what belongs to one person.",
            )
            .fresh()
            .body::<NewApiKeyBody>("application/json")
            .answer::<IssuedApiKey>(201, "The key with its token, which is shown only once")
            .errors(&[Code::Conflict]),
        Route::new(Method::GET, "/v1/api-keys", "list_api_keys", manage, list)
            .summary("List the API keys that are not revoked, newest first")
            .answer::<List<ApiKeyView>>(200, "The keys, without their tokens"),
        Route::new(Method::GET, "/v1/api-keys/{id}", "get_api_key", manage, get)
            .summary("Get an API key")
            .answer::<ApiKeyView>(200, "The key, without its token"),
        Route::new(
            Method::POST,
            "/v1/api-keys/{id}/rotate",
            "rotate_api_key",
            manage,
            rotate,
        )
        .summary("Rotate an API key's token")
        .description("The old token stays valid for `grace_seconds`, a day if left out.")
        .fresh()
        .body::<RotateBody>("application/json")
        .answer::<IssuedApiKey>(200, "The key with its new token, which is shown only once"),
        Route::new(
            Method::DELETE,
            "/v1/api-keys/{id}",
            "revoke_api_key",
            manage,
            revoke,
        )
        .summary("Revoke an API key")
        .empty_answer(204, "The key and all its tokens have ended"),
    ]
}

/// A new API key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewApiKey")]
struct NewApiKeyBody {
    /// What it is for.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// What it may do.
    #[schemars(length(min = 1, max = 9), extend("uniqueItems" = true))]
    scopes: Vec<KeyScope>,
    /// When it expires, in days from now; never by default.
    #[serde(default)]
    #[schemars(range(min = 1, max = 365))]
    expires_in_days: Option<u32>,
    /// The addresses that it may be used from, in CIDR notation such as `192.0.2.0/24`; any by default.
    #[serde(default)]
    #[schemars(length(max = 20))]
    address_ranges: Vec<String>,
}

/// How to rotate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RotateApiKey")]
struct RotateBody {
    /// How long the old token stays valid; 0 ends it at once.
    #[serde(default)]
    #[schemars(range(max = 604_800))]
    grace_seconds: Option<u32>,
}

/// An API key with the only copy of its token.
#[derive(Serialize, JsonSchema)]
struct IssuedApiKey {
    /// Send it as `Authorization: Bearer …`.
    token: String,
    api_key: ApiKeyView,
}

/// An API key.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
struct ApiKeyView {
    id: ApiKeyId,
    name: String,
    #[schemars(with = "Vec<KeyScope>")]
    scopes: Vec<String>,
    /// Null: it may be used from any address.
    address_ranges: Option<Vec<String>>,
    /// The last four characters of its newest token.
    last4: String,
    /// Null if it was created from the command line.
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    /// Null: it does not expire.
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// To the minute; null if it was never used.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<ApiKey> for ApiKeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            address_ranges: key.address_ranges,
            last4: key.last4,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

impl From<Issued> for IssuedApiKey {
    fn from(issued: Issued) -> Self {
        Self {
            token: issued.token.expose().to_owned(),
            api_key: issued.key.into(),
        }
    }
}

async fn create(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<NewApiKeyBody>,
) -> Result<(StatusCode, Json<IssuedApiKey>), ApiError> {
    let new = parse(body, &session)?;
    let issued = create_key(&app.pool, context.actor(&session), &new).await?;
    Ok((success::CREATED, Json(issued.into())))
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<List<ApiKeyView>>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    Ok(List::of(api_keys::list(&mut conn, session.tenant).await?))
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ApiKeyId>,
) -> Result<Json<ApiKeyView>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = api_keys::find(&mut conn, session.tenant, id).await?;
    let key = found.ok_or_else(ApiError::not_found)?;
    Ok(Json(key.into()))
}

async fn rotate(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ApiKeyId>,
    StrictJson(RotateBody { grace_seconds }): StrictJson<RotateBody>,
) -> Result<Json<IssuedApiKey>, ApiError> {
    let grace = grace_seconds.map_or(ROTATION_GRACE, |seconds| {
        Duration::from_secs(seconds.into())
    });
    if grace > MAX_ROTATION_GRACE {
        return Err(invalid(
            "/grace_seconds",
            "OUT_OF_RANGE",
            format!("Must be 0 to {}.", MAX_ROTATION_GRACE.as_secs()),
        ));
    }
    let issued = rotate_key(&app.pool, context.actor(&session), id, grace).await?;
    Ok(Json(issued.into()))
}

async fn revoke(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    Id(id): Id<ApiKeyId>,
) -> Result<NoContent, ApiError> {
    revoke_key(&app.pool, &app.notifier, context.actor(&session), id).await?;
    Ok(NoContent)
}

fn parse(body: NewApiKeyBody, session: &Session) -> Result<NewApiKey, ApiError> {
    let name = fields::name("/name", &body.name, MAX_NAME)?;
    let repeated = (1..body.scopes.len()).find(|&at| body.scopes[..at].contains(&body.scopes[at]));
    if let Some(index) = repeated {
        let pointer = format!("/scopes/{index}");
        return Err(invalid(
            &pointer,
            "DUPLICATE",
            "Give each scope once.".to_owned(),
        ));
    }
    let scopes: KeyScopes = body.scopes.into_iter().collect();
    if scopes.is_empty() {
        return Err(invalid(
            "/scopes",
            "MISSING_FIELD",
            "Give at least one scope.".to_owned(),
        ));
    }
    let lifetime = body
        .expires_in_days
        .map(|days| match days {
            1..=MAX_LIFETIME_DAYS => Ok(TimeDelta::days(days.into())),
            _ => Err(invalid(
                "/expires_in_days",
                "OUT_OF_RANGE",
                format!("Must be 1 to {MAX_LIFETIME_DAYS}."),
            )),
        })
        .transpose()?;
    if body.address_ranges.len() > MAX_RANGES {
        return Err(invalid(
            "/address_ranges",
            "TOO_LONG",
            format!("Must have at most {MAX_RANGES} ranges."),
        ));
    }
    let ranges = body.address_ranges.iter().enumerate().map(|(index, text)| {
        text.parse::<AddressRange>().map_err(|fault| {
            let pointer = format!("/address_ranges/{index}");
            invalid(&pointer, "INVALID_VALUE", format!("The range {fault}."))
        })
    });
    Ok(NewApiKey {
        name: name.as_str().to_owned(),
        scopes,
        ranges: ranges.collect::<Result<_, _>>()?,
        lifetime,
        created_by: Some(session.user),
    })
}

fn invalid(pointer: &str, code: &'static str, detail: String) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "This API key cannot be created or rotated as asked. Correct what `errors` lists.",
    )
    .at(pointer, code, detail)
}

impl From<ApiKeyError> for ApiError {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::TooMany => Self::new(
                Code::Conflict,
                format!(
                    "Your tenant has reached the limit of {MAX_KEYS} API keys. Revoke one first."
                ),
            ),
            ApiKeyError::NotFound => Self::not_found(),
            ApiKeyError::Database(error) => error.into(),
        }
    }
}
