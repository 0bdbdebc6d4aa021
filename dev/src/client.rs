//! The API as any client sees it. See [`Client`]. Knows nothing that is not in the OpenAPI document.

use jobs::domain::SessionToken;
use jobs::kinds::triage::{Mode, Output};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a job may take in all, with its retries.
const PATIENCE: Duration = Duration::from_mins(15);
/// The longest wait that the API grants to one request.
const WAIT: &str = "wait=25";

/// One client of one API; cheap to clone.
#[derive(Clone)]
pub struct Client {
    api: String,
    token: Arc<SessionToken>,
}

/// What triage is asked to do, beside the mail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub mode: Mode,
    /// Judge again although this mail was already judged by the active rules.
    pub force: bool,
}

/// A job as `GET /v1/jobs/{id}` tells it.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    pub id: String,
    pub state: String,
    pub output: Option<Output>,
    pub error: Option<JobError>,
}

/// Why a job was given up.
#[derive(Clone, Debug, Deserialize)]
pub struct JobError {
    pub code: String,
    pub message: String,
}

/// The API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the API cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the API answered {status}: {said}")]
    Refused { status: StatusCode, said: String },
    #[error("the API's answer cannot be read")]
    Answer(#[source] reqwest::Error),
    #[error("job {id} was still {state} after {} minutes", PATIENCE.as_secs() / 60)]
    Unfinished { id: String, state: String },
}

/// What a problem document says to a person.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// The HTTP client of this process.
pub fn http() -> &'static reqwest::Client {
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    HTTP.get_or_init(|| {
        // The workspace's reqwest brings no provider of its own; it is an error only if there is one already.
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

    /// Hands in one mail; the key makes a repetition of the same request harmless.
    ///
    /// # Errors
    /// When the API refuses the mail or cannot be reached.
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

    /// Waits until the job has ended, well or not.
    ///
    /// # Errors
    /// When the API cannot be reached, or the job takes far too long.
    pub async fn finished(&self, id: &str) -> Result<Job, ClientError> {
        let deadline = Instant::now() + PATIENCE;
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

    /// Saves the rule set if the tenant has none. Tells whether it did.
    ///
    /// # Errors
    /// When the API refuses the rules or cannot be reached.
    pub async fn put_rules_if_none(&self, yaml: &str) -> Result<bool, ClientError> {
        let put = http()
            .put(format!("{}/v1/rules", self.api))
            .header("content-type", "application/yaml")
            // The version before the first: whoever has rules keeps them.
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
    /// When the API refuses or cannot be reached.
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let answer = self.send(http().get(format!("{}{path}", self.api))).await?;
        answer.json().await.map_err(ClientError::Answer)
    }

    /// With the version that was seen, if the operation asks for one.
    ///
    /// # Errors
    /// When the API refuses or cannot be reached.
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
    /// When the API refuses or cannot be reached.
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(http().delete(format!("{}{path}", self.api)))
            .await
            .map(drop)
    }

    /// Sends with the session's token, and again as often as the API says that it is only busy.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let deadline = Instant::now() + PATIENCE;
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
                return told(answer).await;
            }
            tokio::time::sleep(retry_after(answer.headers())).await;
        }
    }
}

/// The answer if it is a success, else what the problem document says.
async fn told(answer: Response) -> Result<Response, ClientError> {
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

/// The wait that the API asks for, a second if it names none, never more than a minute.
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
    fn the_wait_asked_for_is_honoured_within_reason() {
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
