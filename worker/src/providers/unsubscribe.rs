//! Unsubscribes with one request (RFC 8058): no login, no cookies, no redirects. A request whose response was lost is
//! repeated: the second one finds nothing to do.

use super::ProviderError;
use super::web::{HttpRequest, HttpResponse, RequestError, WebClient};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::connection::WebUrl;
use reqwest::{Method, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// The body that RFC 8058 §3.1 asks for.
const BODY: &[u8] = b"List-Unsubscribe=One-Click";
/// The delay if a server limits the rate without `Retry-After`.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

pub(super) async fn unsubscribe(
    web: WebClient,
    url: &WebUrl,
    now: DateTime<Utc>,
) -> Result<Value, ProviderError> {
    let request = HttpRequest {
        method: Method::POST,
        url,
        headers: vec![(CONTENT_TYPE, "application/x-www-form-urlencoded".into())],
        login: None,
        body: BODY.to_vec(),
    };
    match web.send(request).await {
        Ok(response) => result_of(&response, now).map(|()| json!({ "status": response.status })),
        Err(RequestError::NotSent(error)) => Err(error),
        Err(RequestError::NoResponse(detail)) => Err(ProviderError::Retryable {
            code: "unsubscribe_unanswered",
            detail: detail.into(),
        }),
    }
}

/// Classifies the response.
fn result_of(response: &HttpResponse, now: DateTime<Utc>) -> Result<(), ProviderError> {
    match response.status {
        200..300 => Ok(()),
        429 => Err(ProviderError::RateLimited {
            until: response.retry_at(now).unwrap_or(now + PAUSE),
        }),
        408 | 500.. => Err(match response.retry_at(now) {
            Some(until) => ProviderError::RateLimited { until },
            None => ProviderError::Retryable {
                code: "unsubscribe_failed",
                detail: format!("the sender's server returned status {}", response.status),
            },
        }),
        _ => Err(ProviderError::Permanent {
            code: "unsubscribe_refused",
            message: "The sender's server did not accept it. Unsubscribe on the sender's own page."
                .into(),
        }),
    }
}
