//! The session of a request: [`CurrentSession`], opened by a person's session token or a program's API key.
//!
//! Reads tokens from `Authorization: Bearer` only: a URL ends up in logs and browser histories.
//! `jobs::commands::sessions::authenticate` and `jobs::commands::api_keys::authenticate` decide whose token it is.

use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use jobs::{
    commands::{
        api_keys::authenticate_key,
        sessions::{
            authenticate,
            authenticate::{AuthenticateError, Refusal},
        },
    },
    domain::{
        ApiKeyToken, SessionToken,
        session::{Origin, Session},
    },
};
use std::{convert::Infallible, sync::Arc};
use tracing::Instrument;

/// An active session that may call the operation: the pipeline checks it before the handler runs.
#[derive(Clone, Debug)]
pub struct CurrentSession(pub Session);

/// The token of the [`CurrentSession`], for the operation that replaces it.
#[derive(Clone, Debug)]
pub struct PresentedToken(pub Arc<SessionToken>);

/// The token in the request's header.
enum Presented {
    Session(Arc<SessionToken>),
    ApiKey(ApiKeyToken),
}

/// Puts the [`CurrentSession`] into the request. [`crate::access`] checks what it may do.
///
/// # Errors
/// 401 without an active session, 503 if the database does not answer.
pub async fn establish(app: &AppState, parts: &mut Parts) -> Result<Session, ApiError> {
    let presented = presented(&parts.headers, parts.uri.query());
    let presented = presented.map_err(|refusal| refusal.counted(app))?;
    let origin = parts
        .extensions
        .get::<RequestContext>()
        .expect("the pipeline gives every request its context")
        .origin
        .clone();
    let client_request_id = origin.client_request_id.clone();
    let mut session = match &presented {
        Presented::Session(token) => look_up(app, token.clone(), origin).await?,
        Presented::ApiKey(token) => look_up_key(app, token, &origin).await?,
    };
    session.client_request_id = client_request_id;
    // Only ids: neither the token nor the user's address.
    tracing::Span::current()
        .record("tenant.id", tracing::field::display(session.tenant))
        .record("session.id", tracing::field::display(session.id));
    parts.extensions.insert(CurrentSession(session.clone()));
    if let Presented::Session(token) = presented {
        parts.extensions.insert(PresentedToken(token));
    }
    Ok(session)
}

async fn look_up(
    app: &AppState,
    token: Arc<SessionToken>,
    origin: Origin,
) -> Result<Session, ApiError> {
    if let Some(session) = app.sessions.read(&token).await {
        return Ok(session);
    }
    // In its own task: a thief who disconnects must not undo the end of the session whose token was reused.
    let task = {
        let app = app.clone();
        async move { authenticate(&app.pool, &app.notifier, &token, &origin).await }
    };
    let found = app.tracker.spawn(task.in_current_span()).await;
    match found.map_err(ApiError::internal)? {
        Ok(session) => Ok(session),
        Err(AuthenticateError::Refused(refusal)) => Err(refused(app, refusal)),
        Err(AuthenticateError::LookUp(source) | AuthenticateError::EndReused(source)) => {
            Err(source.into())
        }
    }
}

async fn look_up_key(
    app: &AppState,
    token: &ApiKeyToken,
    origin: &Origin,
) -> Result<Session, ApiError> {
    if let Some(session) = app.sessions.read_key(token, origin.ip).await {
        return Ok(session);
    }
    match authenticate_key(&app.pool, token, origin.ip).await {
        Ok(session) => Ok(session),
        Err(AuthenticateError::Refused(refusal)) => {
            count(app, refusal.as_str());
            Err(ApiError::new(
                Code::Unauthenticated,
                "The API key is unknown, has ended or may not be used from this address. Ask an owner or an admin.",
            ))
        }
        Err(AuthenticateError::LookUp(source) | AuthenticateError::EndReused(source)) => {
            Err(source.into())
        }
    }
}

/// 401 for a token that opens no session, with the same text for every reason.
pub(crate) fn refused(app: &AppState, refusal: Refusal) -> ApiError {
    count(app, refusal.as_str());
    if refusal == Refusal::Reused {
        tracing::warn!("a rotated token was reused; its session was ended");
    }
    ApiError::new(
        Code::Unauthenticated,
        "The session has ended or the token is invalid. Log in again.",
    )
}

fn count(app: &AppState, reason: &str) {
    app.metrics
        .auth_failures_total
        .with_label_values(&[reason])
        .inc();
}

/// Why a request has no token to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoToken {
    Missing,
    /// Not `Bearer`, or not a token of ours.
    Malformed,
    InQuery,
    /// Two credentials: it is unclear which one counts.
    Ambiguous,
}

impl NoToken {
    fn counted(self, app: &AppState) -> ApiError {
        let (reason, code, detail) = match self {
            Self::Missing => (
                "missing",
                Code::Unauthenticated,
                "Send a session token or an API key: Authorization: Bearer pr_s_…",
            ),
            Self::Malformed => (
                "malformed",
                Code::Unauthenticated,
                "The Authorization header contains neither a session token nor an API key. Send: Authorization: Bearer pr_s_…",
            ),
            Self::InQuery => (
                "in_query",
                Code::Unauthenticated,
                "Tokens are not accepted in the URL, where others can read them. \
                 End this session, log in again and send the token in the Authorization header.",
            ),
            Self::Ambiguous => (
                "ambiguous",
                Code::MalformedRequest,
                "Send one Authorization header.",
            ),
        };
        count(app, reason);
        ApiError::new(code, detail)
    }
}

fn presented(headers: &HeaderMap, query: Option<&str>) -> Result<Presented, NoToken> {
    if query.is_some_and(names_a_token) {
        return Err(NoToken::InQuery);
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(NoToken::Missing)?;
    if values.next().is_some() {
        return Err(NoToken::Ambiguous);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(NoToken::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(NoToken::Malformed);
    }
    let session = SessionToken::parse(token).map(|token| Presented::Session(token.into()));
    session
        .or_else(|_| ApiKeyToken::parse(token).map(Presented::ApiKey))
        .map_err(|_| NoToken::Malformed)
}

/// Whether a query string contains one of our tokens, or a parameter with the name of one.
fn names_a_token(query: &str) -> bool {
    query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        matches!(
            name,
            "token" | "access_token" | "session_token" | "authorization"
        ) || ["pr_s_", "pr_k_", "pr_i_", "pr_p_"]
            .iter()
            .any(|prefix| value.contains(prefix))
    })
}

impl FromRequestParts<AppState> for CurrentSession {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        Ok(parts
            .extensions
            .get::<Self>()
            .expect("only operations that need a session ask for it")
            .clone())
    }
}

impl FromRequestParts<AppState> for PresentedToken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        Ok(parts
            .extensions
            .get::<Self>()
            .expect("only operations that need a session ask for its token")
            .clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(values: &[&str], query: Option<&str>) -> Result<String, NoToken> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        presented(&headers, query).map(|presented| match presented {
            Presented::Session(token) => token.expose().to_owned(),
            Presented::ApiKey(token) => token.expose().to_owned(),
        })
    }

    #[test]
    fn token_is_read_from_one_bearer_header_only() {
        let token = SessionToken::generate().expose().to_owned();
        let good = format!("Bearer {token}");
        assert_eq!(read(&[&good], None), Ok(token.clone()));
        assert_eq!(
            read(&[&format!("bEARER {token}")], Some("limit=5")),
            Ok(token.clone())
        );
        let key = ApiKeyToken::generate().expose().to_owned();
        assert_eq!(read(&[&format!("Bearer {key}")], None), Ok(key.clone()));
        assert_eq!(read(&[], None), Err(NoToken::Missing));
        assert_eq!(read(&[&good, &good], None), Err(NoToken::Ambiguous));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            &token,
            &format!("Bearer  {token}"),
            &format!("Basic {token}"),
            &format!("Bearer {token},{token}"),
            &good.replace("pr_s_", "pr_i_"),
            &good.replace("pr_s_", "pr_k_"),
            &format!("Bearer {}", key.replace("pr_k_", "pr_s_")),
            "Bearer ünïcödé",
        ] {
            assert_eq!(read(&[bad], None), Err(NoToken::Malformed), "{bad}");
        }
    }

    #[test]
    fn token_in_the_query_is_refused_even_beside_a_valid_header() {
        let token = SessionToken::generate().expose().to_owned();
        let good = format!("Bearer {token}");
        for query in [
            format!("token={token}"),
            format!("limit=5&x={token}"),
            "access_token=anything".to_owned(),
            "token".to_owned(),
        ] {
            assert_eq!(
                read(&[&good], Some(&query)),
                Err(NoToken::InQuery),
                "{query}"
            );
            assert_eq!(read(&[], Some(&query)), Err(NoToken::InQuery), "{query}");
        }
    }
}
