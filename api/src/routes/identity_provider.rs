//! Log-in with an identity provider over HTTP: that of your tenant, and the exchange of its tokens for sessions.

use super::sessions::{CLEAR_SITE_DATA, OpenedSession, throttled};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, ResponseHeader, Route},
};
use axum::{
    Json,
    extract::State,
    http::Method,
    response::{IntoResponse, NoContent},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        identity_providers::{KeySource, PutProviderError, delete_provider, put_provider},
        sessions::exchange::{Exchange, ExchangeError, exchange_token},
    },
    domain::{
        connection::{WebUrl, WebUrlFault},
        identity_provider::{KeySet, Provider},
        session::{AuthMethod, Scope},
    },
    store::identity_providers::{self, StoredProvider},
};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const OWN: &str = "/v1/identity-provider";
/// The longest issuer and audience, in characters.
const LONGEST: usize = 500;

pub fn routes() -> Vec<Route> {
    let manage = Access::Session(Scope::IdentityManage);
    vec![
        Route::new(
            Method::POST,
            "/v1/sessions/exchange",
            "exchange_token",
            Access::Public,
            exchange,
        )
        .summary("Log in with a token of your tenant's identity provider")
        .description(
            "Takes an ID token (RS256, ES256 or EdDSA) with a verified email address of a user. Each opens one session.",
        )
        .body::<ExchangeBody>("application/json")
        .answer::<OpenedSession>(201, "The session with its token, which is shown only once")
        .headers(&[ResponseHeader::ClearSiteData])
        .errors(&[Code::TokenRefused, Code::NoUser, Code::TooManyRequests]),
        Route::new(Method::GET, OWN, "get_identity_provider", manage, get)
            .summary("Get the identity provider whose tokens open sessions")
            .answer::<IdentityProvider>(200, "The provider")
            .errors(&[Code::NotFound]),
        Route::new(Method::PUT, OWN, "put_identity_provider", manage, put)
            .summary("Set the identity provider")
            .description(
                "Its ID tokens then open sessions of your tenant. Give its keys as `jwks`, or as `jwks_url`: then a worker \
                 fetches them at once, every hour, and when a token names a key that is not among them, at most once a minute.",
            )
            .fresh()
            .body::<NewIdentityProvider>("application/json")
            .answer::<IdentityProvider>(200, "The provider"),
        Route::new(Method::DELETE, OWN, "delete_identity_provider", manage, delete)
            .summary("Delete the identity provider")
            .description("Its tokens open no more sessions; open sessions stay.")
            .fresh()
            .empty_answer(204, "There is no identity provider"),
    ]
}

/// A token of your tenant's identity provider.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExchangeToken")]
struct ExchangeBody {
    /// The tenant's short name.
    #[schemars(length(min = 1, max = 63))]
    tenant: String,
    /// A JWT.
    #[schemars(with = "String", length(min = 1, max = 16384))]
    token: SecretString,
}

/// An identity provider: exactly one of `jwks_url` and `jwks`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewIdentityProvider {
    /// The `iss` of its tokens.
    #[schemars(length(min = 1, max = 500))]
    issuer: String,
    /// Must be among the `aud` of its tokens: usually the client id.
    #[schemars(length(min = 1, max = 500))]
    audience: String,
    /// Where its keys are, with https.
    #[serde(default)]
    #[schemars(length(min = 1, max = 500))]
    jwks_url: Option<String>,
    /// Its keys, as a JSON Web Key Set.
    #[serde(default)]
    jwks: Option<Value>,
}

/// The identity provider of your tenant.
#[derive(Serialize, JsonSchema)]
struct IdentityProvider {
    issuer: String,
    audience: String,
    /// Null if the keys were given.
    jwks_url: Option<String>,
    /// The ids of the keys that can be used.
    key_ids: Vec<String>,
    keys_fetched_at: Option<DateTime<Utc>>,
    /// Why the keys could not be fetched the last time; those that are there stay.
    last_error: Option<String>,
}

impl From<StoredProvider> for IdentityProvider {
    fn from(stored: StoredProvider) -> Self {
        let keys = stored.keys.as_ref().map(KeySet::read);
        Self {
            issuer: stored.provider.issuer,
            audience: stored.provider.audience,
            jwks_url: stored.jwks_url,
            key_ids: keys
                .and_then(Result::ok)
                .map_or_else(Vec::new, |keys| keys.ids()),
            keys_fetched_at: stored.fetched_at,
            last_error: stored.last_error,
        }
    }
}

async fn exchange(
    State(app): State<AppState>,
    context: RequestContext,
    StrictJson(body): StrictJson<ExchangeBody>,
) -> Result<impl IntoResponse, ApiError> {
    let shown = Exchange {
        tenant: body.tenant,
        token: body.token,
        origin: context.origin,
    };
    let lifetime = app.config.sessions;
    let opened = exchange_token(&app.pool, &app.notifier, lifetime, &shown)
        .await
        .map_err(|error| refused(&app, error))?;
    app.metrics
        .sessions_opened_total
        .with_label_values(&[AuthMethod::Oidc.as_str()])
        .inc();
    let body = OpenedSession::new(&opened.token, &opened.session);
    Ok((success::CREATED, [CLEAR_SITE_DATA], Json(body)))
}

fn refused(app: &AppState, error: ExchangeError) -> ApiError {
    let count = |reason| {
        app.metrics
            .auth_failures_total
            .with_label_values(&[reason])
            .inc();
    };
    match error {
        ExchangeError::Refused(refusal) if refusal.is_signed() => {
            count("token_refused");
            ApiError::new(
                Code::TokenRefused,
                "The token cannot be used. Get a new one from your identity provider and try again.",
            )
            .at("/token", refusal.code(), format!("It {refusal}."))
        }
        ExchangeError::NotAccepted | ExchangeError::Refused(_) => {
            count("token_refused");
            ApiError::new(
                Code::TokenRefused,
                "This tenant does not accept the token. If its provider has a new key, try again in a minute; \
                 otherwise check the tenant's name and where the token is from.",
            )
        }
        ExchangeError::NoUser => {
            count("token_refused");
            ApiError::new(
                Code::NoUser,
                "You are known to the identity provider, and the tenant has no active user with your email address. \
                 Ask an owner or an admin for an invite.",
            )
        }
        ExchangeError::Throttled { retry_after } => {
            count("login_throttled");
            throttled(retry_after)
        }
        ExchangeError::Database(error) => error.into(),
    }
}

async fn get(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
) -> Result<Json<IdentityProvider>, ApiError> {
    let mut conn = app.pool.acquire().await?;
    let found = identity_providers::find(&mut conn, session.tenant).await?;
    Ok(Json(found.ok_or_else(ApiError::not_found)?.into()))
}

async fn put(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
    StrictJson(body): StrictJson<NewIdentityProvider>,
) -> Result<Json<IdentityProvider>, ApiError> {
    for (pointer, text) in [("/issuer", &body.issuer), ("/audience", &body.audience)] {
        if !(1..=LONGEST).contains(&text.chars().count()) {
            return Err(invalid(pointer, "Must have 1 to 500 characters."));
        }
    }
    let source = match (body.jwks_url, body.jwks) {
        (Some(url), None) => {
            let url: WebUrl = url.parse().map_err(|fault| invalid("/jwks_url", fault))?;
            KeySource::Url(url)
        }
        (None, Some(keys)) => KeySource::Given(keys),
        (None, None) | (Some(_), Some(_)) => {
            return Err(invalid(
                "/jwks_url",
                "Give exactly one of `jwks_url` and `jwks`.",
            ));
        }
    };
    let provider = Provider {
        issuer: body.issuer,
        audience: body.audience,
    };
    put_provider(&app.pool, context.actor(&session), &provider, &source)
        .await
        .map_err(|error| match error {
            PutProviderError::PlainUrl => invalid("/jwks_url", WebUrlFault::Scheme),
            PutProviderError::Keys(fault) => invalid("/jwks", format!("It {fault}.")),
            PutProviderError::Database(error) => error.into(),
        })?;
    get(State(app), CurrentSession(session)).await
}

async fn delete(
    State(app): State<AppState>,
    context: RequestContext,
    CurrentSession(session): CurrentSession,
) -> Result<NoContent, ApiError> {
    delete_provider(&app.pool, context.actor(&session)).await?;
    Ok(NoContent)
}

fn invalid(pointer: &str, detail: impl ToString) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "This identity provider cannot be used. Correct the field.",
    )
    .at(pointer, "INVALID_VALUE", detail.to_string())
}
