//! OpenAI's chat completions API and compatible servers: [`OpenAiChat`].
//!
//! Requires an answer that follows a JSON schema. Limits the size of a response, follows no redirects and ignores proxy
//! variables. [`reply`] reads the response; fixtures use it too.

pub(super) mod reply;

use crate::{
    classify,
    error::LlmError,
    prompt::{Message, OutputSchema, Role},
    provider::{AttemptInfo, AttemptRequest, LlmProvider, Reply},
};
use async_trait::async_trait;
use reqwest::{
    Client, Response, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers have a few kilobytes; a longer one is an error or an attack.
const MAX_REPLY_BYTES: usize = 1024 * 1024;
/// OpenAI's own host, the only one known to require `max_completion_tokens`.
pub(crate) const OPENAI_HOST: &str = "api.openai.com";

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A server with OpenAI's chat completions API.
pub struct OpenAiChat {
    client: Client,
    url: Url,
    model: String,
    key: SecretString,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("could not set up the HTTP client")]
pub struct ClientError(#[source] reqwest::Error);

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<BodyMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    response_format: ResponseFormat<'a>,
}

#[derive(Serialize)]
struct BodyMessage<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'a str,
    strict: bool,
    schema: &'a serde_json::Value,
}

impl OpenAiChat {
    /// Builds a client. `base` is the part before `/chat/completions`, for example `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// If the system's certificates are unusable.
    pub fn new(base: &Url, model: String, key: SecretString) -> Result<Self, ClientError> {
        // Fails if the process has a crypto provider already, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            // Only `retry` retries.
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(ClientError)?;
        Ok(Self {
            client,
            url: completions_url(base),
            model,
            key,
        })
    }

    fn body<'a>(&'a self, request: &'a AttemptRequest<'_>) -> Body<'a> {
        let limit = Some(request.max_output_tokens);
        let newer = self.url.host_str() == Some(OPENAI_HOST);
        let OutputSchema { name, schema } = request.schema;
        Body {
            model: &self.model,
            messages: request.messages.iter().map(BodyMessage::of).collect(),
            max_completion_tokens: limit.filter(|_| newer),
            max_tokens: limit.filter(|_| !newer),
            response_format: ResponseFormat {
                r#type: "json_schema",
                json_schema: JsonSchema {
                    name,
                    strict: true,
                    schema,
                },
            },
        }
    }
}

impl<'a> BodyMessage<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            role: match message.role {
                Role::System => "system",
                Role::User => "user",
            },
            content: &message.content,
        }
    }
}

#[async_trait]
impl LlmProvider for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn attempt(
        &self,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<Reply, LlmError> {
        let mut response = self
            .client
            .post(self.url.clone())
            .bearer_auth(self.key.expose_secret())
            .header(CLIENT_REQUEST_ID, request.client_request_id.to_string())
            .json(&self.body(request))
            .send()
            .await
            .map_err(connection)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        info.status = Some(status.as_u16());
        info.request_id = request_id(&headers, &self.key);
        let body = read_capped(&mut response, info).await?;
        if status.is_success() {
            reply::read(&body, &headers, request, info)
        } else {
            let now = request.clock.now();
            Err(classify::error_response(
                status.as_u16(),
                &headers,
                &body,
                now,
            ))
        }
    }
}

/// Reads the body in chunks up to the limit; `Content-Length` may be missing or wrong.
async fn read_capped(response: &mut Response, info: &mut AttemptInfo) -> Result<Vec<u8>, LlmError> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(connection)? else {
            return Ok(body);
        };
        info.response_bytes += chunk.len() as u64;
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(LlmError::ReplyTooLarge {
                limit: MAX_REPLY_BYTES,
            });
        }
        body.extend_from_slice(&chunk);
    }
}

/// Returns the provider's id of the request, if it is safe to log.
fn request_id(headers: &HeaderMap, key: &SecretString) -> Option<String> {
    let id = headers.get(REQUEST_ID).map(HeaderValue::to_str)?.ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (id.len() <= 128 && id.bytes().all(plain) && !id.contains(key.expose_secret()))
        .then(|| id.to_owned())
}

fn connection(error: reqwest::Error) -> LlmError {
    if error.is_timeout() {
        return LlmError::Timeout {
            after: CONNECT_TIMEOUT,
        };
    }
    // Omits the URL, which may name an internal host and repeats the configuration.
    LlmError::Connect {
        source: error.without_url().into(),
    }
}

fn completions_url(base: &Url) -> Url {
    let mut url = base.clone();
    let path = format!("{}/chat/completions", base.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prompt;
    use crate::prompt_file::tests::JUDGE;
    use base::clock::Clock;
    use uuid::Uuid;

    #[test]
    fn url_is_base_and_operation_with_or_without_a_slash() {
        for base in ["https://host.example/v1", "https://host.example/v1/"] {
            let url = completions_url(&base.parse().unwrap());
            assert_eq!(url.as_str(), "https://host.example/v1/chat/completions");
        }
        let root = completions_url(&"http://127.0.0.1:8080".parse().unwrap());
        assert_eq!(root.as_str(), "http://127.0.0.1:8080/chat/completions");
    }

    #[test]
    fn token_limit_has_the_name_that_the_server_expects() {
        let named = |base: &str| {
            let chat = OpenAiChat::new(&base.parse().unwrap(), "m".into(), "k".into()).unwrap();
            let request = AttemptRequest {
                task: "summary",
                prompt: &Prompt::new("test.v1"),
                messages: &[],
                schema: &JUDGE.schema(),
                max_output_tokens: 700,
                client_request_id: Uuid::nil(),
                clock: &Clock::System,
            };
            let body = serde_json::to_value(chat.body(&request)).unwrap();
            ["max_completion_tokens", "max_tokens"].map(|name| body[name].as_u64())
        };
        assert_eq!(named("https://api.openai.com/v1"), [Some(700), None]);
        assert_eq!(named("http://127.0.0.1:8080/v1"), [None, Some(700)]);
        assert_eq!(
            named("https://api.openai.com.evil.example/v1"),
            [None, Some(700)]
        );
    }

    #[test]
    fn request_id_is_logged_only_if_it_looks_like_one() {
        let key = SecretString::from("sk-live-123");
        for (header, kept) in [
            ("req_01Hb-7.a:b", true),
            ("req sk", false),
            ("req-sk-live-123", false),
            ("{\"a\":1}", false),
        ] {
            let headers = [(REQUEST_ID, HeaderValue::from_static(header))];
            let found = request_id(&headers.into_iter().collect(), &key);
            assert_eq!(found.is_some(), kept, "{header}");
        }
    }
}
