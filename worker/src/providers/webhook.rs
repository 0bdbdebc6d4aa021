//! Calls webhooks, signed according to Standard Webhooks. Repeats a call whose response was lost: the receiver recognises
//! repeats by `webhook-id`.

use super::web::{HttpRequest, HttpResponse, RequestError, WebClient};
use super::{Caller, ProviderError};
use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jobs::domain::connection::{SigningSecret, WebUrl};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderName},
};
use serde_json::{Value, json};
use sha2::Sha256;

/// The delay if a receiver limits the rate without `Retry-After`.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

pub(super) struct Webhook {
    pub(super) url: WebUrl,
    pub(super) secret: SigningSecret,
    pub(super) web: WebClient,
}

#[async_trait]
impl Caller for Webhook {
    async fn call(
        &self,
        id: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Value, ProviderError> {
        let signature = sign(&self.secret, id, now.timestamp(), body).ok_or_else(|| {
            ProviderError::Retryable {
                code: "internal_error",
                detail: "the signing secret is unreadable".into(),
            }
        })?;
        let request = HttpRequest {
            method: Method::POST,
            url: &self.url,
            headers: vec![
                (CONTENT_TYPE, "application/json".into()),
                (HeaderName::from_static("webhook-id"), id.to_owned()),
                (
                    HeaderName::from_static("webhook-timestamp"),
                    now.timestamp().to_string(),
                ),
                (HeaderName::from_static("webhook-signature"), signature),
            ],
            login: None,
            body: body.to_vec(),
        };
        match self.web.send(request).await {
            Ok(response) => result_of(&response, now)
                .map(|()| json!({"webhook_id": id, "status": response.status})),
            Err(RequestError::NotSent(error)) => Err(error),
            Err(RequestError::NoResponse(detail)) => Err(ProviderError::Retryable {
                code: "webhook_unanswered",
                detail: detail.into(),
            }),
        }
    }
}

/// Classifies the response.
fn result_of(response: &HttpResponse, now: DateTime<Utc>) -> Result<(), ProviderError> {
    let permanent = |code, message: &str| {
        Err(ProviderError::Permanent {
            code,
            message: message.into(),
        })
    };
    match response.status {
        200..300 => Ok(()),
        300..400 => permanent(
            "webhook_moved",
            "The webhook answered with a redirect, which is not followed. Connect its target URL instead.",
        ),
        410 => permanent(
            "webhook_gone",
            "The webhook answered that it is gone; it was disconnected.",
        ),
        429 => Err(ProviderError::RateLimited {
            until: response.retry_at(now).unwrap_or(now + PAUSE),
        }),
        408 | 500.. => Err(match response.retry_at(now) {
            Some(until) => ProviderError::RateLimited { until },
            None => ProviderError::Retryable {
                code: "webhook_failed",
                detail: format!("the receiver returned status {}", response.status),
            },
        }),
        _ => permanent("webhook_refused", "The webhook rejected the call."),
    }
}

/// Returns `v1,` and the HMAC of id, time and body.
fn sign(secret: &SigningSecret, id: &str, at: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.decoded()?).ok()?;
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Some(format!("v1,{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_matches_the_specification() {
        // From the tests of the reference libraries.
        let secret =
            SigningSecret::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into());
        let signature = sign(
            &secret.unwrap(),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
