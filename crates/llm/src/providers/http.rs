//! What all providers share of HTTP: [`Http`] sends one JSON body and reads one response.
//!
//! Limits the size of a response, follows no redirects and ignores proxy variables. Knows no provider and no body.

use crate::{
    classify,
    error::LlmError,
    limits_left::limits_left,
    provider::{AttemptInfo, AttemptRequest, Server},
};
use chrono::{DateTime, Utc};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// Answers have a few kilobytes; a longer one is an error or an attack.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
/// Headers with the provider's id of a request: OpenAI and most servers, Anthropic, Azure.
const REQUEST_IDS: [&str; 3] = ["x-request-id", "request-id", "apim-request-id"];

/// A client for one address.
pub(super) struct Http {
    client: Client,
    url: Url,
    server: Server,
    /// Sent with every request: the credential, and what the operator configured.
    headers: HeaderMap,
    key: SecretString,
    connect_timeout: Duration,
}

/// What a request carries that is not for an answer.
pub(super) enum Body<'a> {
    None,
    Json(Value),
    /// A form with a file.
    Upload {
        fields: &'a [(&'a str, &'a str)],
        file_name: String,
        content: Vec<u8>,
    },
}

/// Where the credential goes.
pub(super) enum Auth {
    /// `Authorization: Bearer …`.
    Bearer,
    /// The credential alone in this header.
    Header(&'static str),
}

/// A response, read to its end.
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not set up the HTTP client")]
    Http(#[source] reqwest::Error),
    #[error("the credential contains characters that no header can carry")]
    Key,
}

impl Http {
    /// Builds a client. An empty key sends no credential. `headers` are added to every request.
    ///
    /// # Errors
    /// If the system's certificates or the credential are unusable.
    pub(super) fn new(
        url: Url,
        auth: &Auth,
        key: SecretString,
        mut headers: HeaderMap,
        connect_timeout: Duration,
    ) -> Result<Self, ClientError> {
        if let Some((name, value)) = credential(auth, &key)? {
            headers.insert(name, value);
        }
        // Fails if the process has a crypto provider already, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .redirect(Policy::none())
            // Only `retry` retries.
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self {
            client,
            server: Server {
                address: url.host_str().unwrap_or_default().to_owned(),
                port: url.port_or_known_default().unwrap_or_default(),
            },
            url,
            headers,
            key,
            connect_timeout,
        })
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Sends a JSON body once and reads the whole response.
    ///
    /// # Errors
    /// If there is no complete response; an error status is a response.
    pub(super) async fn post(
        &self,
        body: Value,
        request: &AttemptRequest<'_>,
        info: &mut AttemptInfo,
    ) -> Result<HttpResponse, LlmError> {
        let mut text = body.to_string();
        text.shrink_to_fit();
        // The text takes a fraction of the value's memory while the server thinks.
        drop(body);
        let mut response = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CLIENT_REQUEST_ID, request.client_request_id.to_string())
            .header(CONTENT_TYPE, "application/json")
            .body(text)
            .send()
            .await
            .map_err(|error| self.connection(error))?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        info.status = Some(status.as_u16());
        info.request_id = request_id(&headers, &self.key);
        info.limits = limits_left(&headers, request.clock.now());
        let read = &mut info.response_bytes;
        let body = self
            .read_capped(&mut response, MAX_REPLY_BYTES, read)
            .await?;
        Ok(HttpResponse {
            status,
            headers,
            body,
        })
    }

    /// Sends a request that is not for an answer, to another address of the same server, and reads up to `limit` bytes.
    ///
    /// # Errors
    /// If there is no complete response, or it has an error status.
    pub(super) async fn fetch(
        &self,
        method: Method,
        url: Url,
        body: Body<'_>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<HttpResponse, LlmError> {
        let request = self
            .client
            .request(method, url)
            .headers(self.headers.clone());
        let request = match body {
            Body::None => request,
            Body::Json(json) => request.json(&json),
            Body::Upload {
                fields,
                file_name,
                content,
            } => {
                let boundary = Uuid::now_v7().simple().to_string();
                request
                    .header(
                        CONTENT_TYPE,
                        format!("multipart/form-data; boundary={boundary}"),
                    )
                    .body(form(&boundary, fields, &file_name, &content))
            }
        };
        let mut response = request
            .send()
            .await
            .map_err(|error| self.connection(error))?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = self.read_capped(&mut response, limit, &mut 0).await?;
        if !status.is_success() {
            return Err(classify::error_response(
                status.as_u16(),
                &headers,
                &body,
                now,
            ));
        }
        Ok(HttpResponse {
            status,
            headers,
            body,
        })
    }

    /// Gets a JSON value of up to `limit` bytes from another address of the same server.
    ///
    /// # Errors
    /// As [`Http::fetch`], or if the response is not JSON.
    pub(super) async fn get_json(
        &self,
        url: Url,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Value, LlmError> {
        let response = self.fetch(Method::GET, url, Body::None, limit, now);
        response.await?.json()
    }

    /// Reads the body in chunks up to the limit; `Content-Length` may be missing or wrong. Counts the bytes in `read`.
    async fn read_capped(
        &self,
        response: &mut Response,
        limit: usize,
        read: &mut u64,
    ) -> Result<Vec<u8>, LlmError> {
        let mut body = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let Some(chunk) = chunk.map_err(|error| self.connection(error))? else {
                return Ok(body);
            };
            *read += chunk.len() as u64;
            if body.len() + chunk.len() > limit {
                return Err(LlmError::ReplyTooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn connection(&self, error: reqwest::Error) -> LlmError {
        // A connection that was not made in time is both, and nothing was sent.
        if error.is_timeout() && !error.is_connect() {
            return LlmError::Timeout {
                after: self.connect_timeout,
            };
        }
        // Omits the URL, which may name an internal host and repeats the configuration.
        LlmError::Connect {
            was_sent: !(error.is_connect() || error.is_builder()),
            source: error.without_url().into(),
        }
    }
}

impl HttpResponse {
    /// Parses the body.
    ///
    /// # Errors
    /// If it is not JSON.
    pub(super) fn json(&self) -> Result<Value, LlmError> {
        let parsed = serde_json::from_slice(&self.body);
        parsed.map_err(|_| LlmError::InvalidReply { what: "not JSON" })
    }
}

/// Renders a form with a file.
fn form(boundary: &str, fields: &[(&str, &str)], file_name: &str, content: &[u8]) -> Vec<u8> {
    let mut form = String::new();
    for (name, value) in fields {
        form.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    form.push_str(&format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    ));
    let mut form = form.into_bytes();
    form.extend_from_slice(content);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    form
}

/// Appends a path to the address that an operator configured, with or without a slash at its end.
pub(super) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// Takes one of these ends off the address that an operator configured: with the path of an operation, it would stand there
/// twice.
pub(super) fn without(base: &Url, ends: &[&str]) -> Url {
    let mut url = base.clone();
    let path = base.path().trim_end_matches('/');
    if let Some(rest) = ends.iter().find_map(|end| path.strip_suffix(end)) {
        url.set_path(rest);
    }
    url
}

fn credential(
    auth: &Auth,
    key: &SecretString,
) -> Result<Option<(HeaderName, HeaderValue)>, ClientError> {
    let key = key.expose_secret();
    if key.is_empty() {
        return Ok(None);
    }
    let (name, value) = match auth {
        Auth::Bearer => (
            AUTHORIZATION,
            HeaderValue::try_from(format!("Bearer {key}")),
        ),
        Auth::Header(name) => (HeaderName::from_static(name), HeaderValue::try_from(key)),
    };
    let mut value = value.map_err(|_| ClientError::Key)?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

/// Returns the provider's id of the request, if it is safe to log.
fn request_id(headers: &HeaderMap, key: &SecretString) -> Option<String> {
    let id = REQUEST_IDS.iter().find_map(|name| headers.get(*name))?;
    let id = id.to_str().ok()?;
    let key = key.expose_secret();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let holds_key = !key.is_empty() && id.contains(key);
    (id.len() <= 128 && id.bytes().all(plain) && !holds_key).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_base_and_operation_with_or_without_a_slash() {
        for base in ["https://host.example/v1", "https://host.example/v1/"] {
            let url = join(&base.parse().unwrap(), "/chat/completions");
            assert_eq!(url.as_str(), "https://host.example/v1/chat/completions");
        }
        let root = join(
            &"http://127.0.0.1:8080".parse().unwrap(),
            "/chat/completions",
        );
        assert_eq!(root.as_str(), "http://127.0.0.1:8080/chat/completions");
    }

    #[test]
    fn end_of_a_base_is_taken_off_once_and_only_as_a_whole() {
        for (base, rest) in [
            ("https://host.example/v1", "https://host.example/"),
            (
                "https://host.example/proxy/v1/",
                "https://host.example/proxy",
            ),
            ("https://host.example/proxy", "https://host.example/proxy"),
            ("https://host.example", "https://host.example/"),
        ] {
            let base: Url = base.parse().unwrap();
            assert_eq!(without(&base, &["/v1"]).as_str(), rest);
        }
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
            for name in REQUEST_IDS {
                let headers = [(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(header),
                )];
                let headers = headers.into_iter().collect();
                assert_eq!(request_id(&headers, &key).is_some(), kept, "{header}");
            }
        }
        let headers = [(
            HeaderName::from_static("x-request-id"),
            HeaderValue::from_static("req_1"),
        )];
        let without_key = request_id(&headers.into_iter().collect(), &SecretString::default());
        assert_eq!(without_key.as_deref(), Some("req_1"));
    }

    #[test]
    fn credential_is_marked_as_sensitive_and_an_empty_one_is_not_sent() {
        let sent = |auth: &Auth, key: &str| credential(auth, &key.to_owned().into()).unwrap();
        let (name, value) = sent(&Auth::Bearer, "k7").unwrap();
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("authorization", &b"Bearer k7"[..])
        );
        assert!(value.is_sensitive());
        let (name, value) = sent(&Auth::Header("x-api-key"), "k7").unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("x-api-key", &b"k7"[..]));
        assert_eq!(sent(&Auth::Bearer, ""), None);
        let broken = credential(&Auth::Bearer, &"k\n7".to_owned().into());
        assert!(matches!(broken, Err(ClientError::Key)));
    }
}
