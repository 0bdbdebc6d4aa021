//! Fetches the public keys of an identity provider: one GET, no redirects.

use super::ProviderError;
use super::web::{HttpRequest, RequestError, WebClient};
use jobs::domain::connection::WebUrl;
use reqwest::{Method, header::ACCEPT};
use serde_json::Value;

pub(super) async fn fetch(web: WebClient, url: &WebUrl) -> Result<Value, ProviderError> {
    let request = HttpRequest {
        method: Method::GET,
        url,
        headers: vec![(ACCEPT, "application/json".into())],
        login: None,
        body: Vec::new(),
    };
    let response = web.send(request).await.map_err(of_request)?;
    if response.status != 200 {
        return Err(ProviderError::Retryable {
            code: "keys_refused",
            detail: format!("the server returned status {}", response.status),
        });
    }
    let body = response.body().await.map_err(of_request)?;
    serde_json::from_slice(&body).map_err(|_| ProviderError::Retryable {
        code: "keys_unreadable",
        detail: "the response is not JSON".into(),
    })
}

fn of_request(error: RequestError) -> ProviderError {
    match error {
        RequestError::NotSent(error) => error,
        RequestError::NoResponse(detail) => ProviderError::Retryable {
            code: "keys_unanswered",
            detail: detail.into(),
        },
    }
}
