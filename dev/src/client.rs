//! A client of the HTTP API: [`Client`]. Uses only what the OpenAPI document describes.

use jobs::domain::SessionToken;
use jobs::kinds::triage::{Mode, Output};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Time limit of a job, including its retries.
const TIMEOUT: Duration = Duration::from_mins(15);
/// The longest wait that the API allows per request.
const WAIT: &str = "wait=25";

/// One client of one API; cheap to clone.
#[derive(Clone)]
pub struct Client {
    api: String,
    token: Arc<SessionToken>,
}

/// The options of a triage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub mode: Mode,
    /// Triage again even if the active rules have judged the email before.
    pub force: bool,
}

/// A job as `GET /v1/jobs/{id}` returns it.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    pub id: String,
    pub state: String,
    pub output: Option<Output>,
    pub error: Option<JobError>,
}

/// The error of a job.
#[derive(Clone, Debug, Deserialize)]
pub struct JobError {
    pub code: String,
    pub message: String,
}

/// A request to the API failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the API is unreachable")]
    Unreachable(#[source] reqwest::Error),
    #[error("the API answered {status}: {said}")]
    Refused { status: StatusCode, said: String },
    #[error("the response of the API is unreadable")]
    Answer(#[source] reqwest::Error),
    #[error("job {id} was still {state} after {} minutes", TIMEOUT.as_secs() / 60)]
    Unfinished { id: String, state: String },
}

/// The texts of a problem document.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// The HTTP client of this process.
pub fn http() -> &'static reqwest::Client {
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    HTTP.get_or_init(|| {
        // Installs the crypto provider; fails if there is one already, which is then used.
        drop(rustls::crypto::ring::default_provider().install_default());
        reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .build()
            .expect("a client without special settings can be built")
    })
}

impl Client {
    pub fn new(api: &str, token: Arc<SessionToken>) -> Self {
        Self {
            api: api.to_owned(),
            token,
        }
    }

    /// Submits one email; the key makes repeats harmless.
    ///
    /// # Errors
    /// If the API rejects the email or is unreachable.
    pub async fn submit(
        &self,
        mail: Vec<u8>,
        key: &str,
        options: Options,
    ) -> Result<Job, ClientError> {
        let mode = serde_json::to_value(options.mode).unwrap_or_default();
        let query = [
            ("mode", mode.as_str().unwrap_or_default()),
            ("force", if options.force { "true" } else { "false" }),
        ];
        let body = reqwest::Body::from(mail);
        let request = http()
            .post(format!("{}/v1/jobs/triage", self.api))
            .query(&query)
            .header("content-type", "message/rfc822")
            .header("idempotency-key", key)
            .body(body);
        self.send(request)
            .await?
            .json()
            .await
            .map_err(ClientError::Answer)
    }

    /// Waits until the job has ended.
    ///
    /// # Errors
    /// If the API is unreachable, or the job exceeds the time limit.
    pub async fn finished(&self, id: &str) -> Result<Job, ClientError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let request = http()
                .get(format!("{}/v1/jobs/{id}", self.api))
                .header("prefer", WAIT);
            let job: Job = self
                .send(request)
                .await?
                .json()
                .await
                .map_err(ClientError::Answer)?;
            match job.state.as_str() {
                "succeeded" | "discarded" | "cancelled" => return Ok(job),
                _ if Instant::now() > deadline => {
                    return Err(ClientError::Unfinished {
                        id: job.id,
                        state: job.state,
                    });
                }
                _ => {}
            }
        }
    }

    /// Saves the rules if the tenant has none. Returns whether it did.
    ///
    /// # Errors
    /// If the API rejects the rules or is unreachable.
    pub async fn put_rules_if_none(&self, yaml: &str) -> Result<bool, ClientError> {
        let put = http()
            .put(format!("{}/v1/rules", self.api))
            .header("content-type", "application/yaml")
            // Version 0 means "no rules yet", so that existing rules are kept.
            .header("if-match", "\"0\"")
            .body(yaml.to_owned());
        match self.send(put).await {
            Ok(_) => Ok(true),
            Err(ClientError::Refused {
                status: StatusCode::PRECONDITION_FAILED,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// If the API rejects the request or is unreachable.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let answer = self.send(http().get(format!("{}{path}", self.api))).await?;
        answer.json().await.map_err(ClientError::Answer)
    }

    /// Posts a body, with the version in `If-Match` if given.
    ///
    /// # Errors
    /// If the API rejects the request or is unreachable.
    pub async fn post(
        &self,
        path: &str,
        seen: Option<i64>,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let mut request = http().post(format!("{}{path}", self.api)).json(body);
        if let Some(version) = seen {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let answer = self.send(request).await?;
        answer.json().await.map_err(ClientError::Answer)
    }

    /// # Errors
    /// If the API rejects the request or is unreachable.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(http().delete(format!("{}{path}", self.api)))
            .await
            .map(drop)
    }

    /// Sends with the session's token; retries while the API answers 429 or 503.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let deadline = Instant::now() + TIMEOUT;
        let request = request.bearer_auth(self.token.expose());
        loop {
            let again = request.try_clone().expect("bodies here are bytes");
            let answer = again.send().await.map_err(ClientError::Unreachable)?;
            let status = answer.status();
            let busy = matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            );
            if !busy || Instant::now() > deadline {
                return success_or_error(answer).await;
            }
            tokio::time::sleep(retry_after(answer.headers())).await;
        }
    }
}

/// Returns a successful response, else the text of the problem document.
async fn success_or_error(answer: Response) -> Result<Response, ClientError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = answer.text().await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_str(&text).ok();
    let said = problem.and_then(|problem| problem.detail.or(problem.title));
    Err(ClientError::Refused {
        status,
        said: said.unwrap_or_else(|| "no reason given".to_owned()),
    })
}

/// Returns the delay of `Retry-After`, by default a second, at most a minute.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1).min(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_honoured_up_to_a_minute() {
        let after = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(RETRY_AFTER, value.parse().unwrap());
            }
            retry_after(&headers).as_secs()
        };
        assert_eq!(
            [
                after(Some("7")),
                after(Some("86400")),
                after(Some("soon")),
                after(None)
            ],
            [7, 60, 1, 1]
        );
    }
}
