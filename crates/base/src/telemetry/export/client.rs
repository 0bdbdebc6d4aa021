//! How exports travel: [`Client`] sends them by the HTTP client that the rest of Postroom uses.

use crate::telemetry::chain;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// Answers of collectors are short.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Sends requests on the runtime of the process: the thread of the exporter has none.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// So that an outage of the collector is two log lines.
    is_failing: Arc<AtomicBool>,
}

impl Client {
    pub(super) fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        // Fails if the process has a crypto provider already, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            runtime: Handle::current(),
            is_failing: Arc::default(),
        })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Not in the tracker: the last export comes after it has ended, and has the client's timeout.
        let sent = self.runtime.spawn(exchange(self.http.clone(), request));
        let answer = sent.await.map_err(HttpError::from).flatten();
        let fails = !matches!(&answer, Ok(answer) if answer.status().is_success());
        if fails != self.is_failing.swap(fails, Ordering::Relaxed) {
            match &answer {
                Err(error) => tracing::warn!(
                    error = chain(error.as_ref()),
                    "spans cannot be exported; those beyond the queue are dropped"
                ),
                Ok(answer) if fails => tracing::warn!(
                    status = answer.status().as_u16(),
                    "the collector refuses spans"
                ),
                Ok(_) => tracing::info!("spans are exported again"),
            }
        }
        answer
    }
}

async fn exchange(
    http: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let request = reqwest::Request::try_from(request).map_err(reqwest::Error::without_url)?;
    let answer = http.execute(request).await;
    let mut answer = answer.map_err(reqwest::Error::without_url)?;
    let status = answer.status();
    let headers = std::mem::take(answer.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
