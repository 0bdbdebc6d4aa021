//! Calls to webhooks, signed as Standard Webhooks says. The receiver tells a repetition by its `webhook-id`, so a call whose
//! answer was lost is made again.

use super::web::{Answer, Lost, Question, Web};
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

/// For a receiver that asks for a pause and does not say how long.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

pub(super) struct Webhook {
    pub(super) url: WebUrl,
    pub(super) secret: SigningSecret,
    pub(super) web: Web,
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
                detail: "the signing secret cannot be read".into(),
            }
        })?;
        let question = Question {
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
        match self.web.ask(question).await {
            Ok(answer) => {
                said(&answer, now).map(|()| json!({"webhook_id": id, "status": answer.status}))
            }
            Err(Lost::Unasked(error)) => Err(error),
            Err(Lost::Unanswered(detail)) => Err(ProviderError::Retryable {
                code: "webhook_unanswered",
                detail: detail.into(),
            }),
        }
    }
}

fn said(answer: &Answer, now: DateTime<Utc>) -> Result<(), ProviderError> {
    let permanent = |code, message: &str| {
        Err(ProviderError::Permanent {
            code,
            message: message.into(),
        })
    };
    match answer.status {
        200..300 => Ok(()),
        300..400 => permanent(
            "webhook_moved",
            "The webhook answers with a redirect, which is not followed. Connect the URL it leads to.",
        ),
        410 => permanent(
            "webhook_gone",
            "The webhook says that it is gone; it was disconnected.",
        ),
        429 => Err(ProviderError::RateLimited {
            until: answer.again(now).unwrap_or(now + PAUSE),
        }),
        408 | 500.. => Err(match answer.again(now) {
            Some(until) => ProviderError::RateLimited { until },
            None => ProviderError::Retryable {
                code: "webhook_failed",
                detail: format!("the receiver says {}", answer.status),
            },
        }),
        _ => permanent("webhook_refused", "The webhook refuses this call."),
    }
}

/// `v1,` and the HMAC over id, time and body.
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
    fn the_signature_is_the_one_of_the_specification() {
        // The example of the reference libraries.
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
