//! HTTP requests to URLs given by users: [`WebClient`]. Connects to checked addresses only, follows no redirects, and limits time
//! and size. The caller interprets the response.

use super::{ProviderError, guard::Guard};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::connection::WebUrl;
use reqwest::{
    Client, Method, Response,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
const WHOLE: Duration = Duration::from_secs(30);
/// Limit of a response body.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Limit of `Retry-After`.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// An HTTP client for the addresses that the guard allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct WebClient(pub(super) Guard);

/// A request.
pub(super) struct HttpRequest<'a> {
    pub(super) method: Method,
    pub(super) url: &'a WebUrl,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) login: Option<(&'a str, &'a str)>,
    pub(super) body: Vec<u8>,
}

/// A response.
pub(super) struct HttpResponse {
    pub(super) status: u16,
    headers: HeaderMap,
    response: Response,
}

/// A request without a response.
#[derive(Debug)]
pub(super) enum RequestError {
    /// The request was not sent.
    NotSent(ProviderError),
    /// The server may have received the request.
    NoResponse(&'static str),
}

impl WebClient {
    pub(super) async fn send(self, spec: HttpRequest<'_>) -> Result<HttpResponse, RequestError> {
        let client = self.client(spec.url).await.map_err(RequestError::NotSent)?;
        let url = spec.url.url().clone();
        let mut request = client.request(spec.method, url).body(spec.body);
        for (name, value) in spec.headers {
            let value = HeaderValue::try_from(value).map_err(|_| {
                RequestError::NotSent(ProviderError::Permanent {
                    code: "unusable_header",
                    message: "A header value has characters that HTTP does not allow.".into(),
                })
            })?;
            request = request.header(name, value);
        }
        if let Some((name, password)) = spec.login {
            request = request.basic_auth(name, Some(password));
        }
        // Omits the error's text, which quotes the URL with its tokens.
        match request.send().await {
            Ok(response) => Ok(HttpResponse {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                response,
            }),
            Err(error) if error.is_connect() || error.is_builder() => {
                Err(RequestError::NotSent(unreachable()))
            }
            Err(error) if error.is_timeout() => Err(RequestError::NoResponse(
                "the server did not answer in time",
            )),
            Err(_) => Err(RequestError::NoResponse(
                "the connection broke before the response",
            )),
        }
    }

    /// Builds a client for one request, bound to the checked addresses of its host.
    async fn client(self, url: &WebUrl) -> Result<Client, ProviderError> {
        if !url.is_encrypted() && self.0 == Guard::Public {
            return Err(ProviderError::Permanent {
                code: "encryption_required",
                message: "The connection must be encrypted. Use an https URL.".into(),
            });
        }
        let url = url.url();
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or_default();
        let addrs = self.0.resolve(bare, port).await?;
        // Fails if the process has a crypto provider already, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .user_agent(concat!("postroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .resolve_to_addrs(host, &addrs)
            .build()
            .map_err(|_| unreachable())
    }
}

impl HttpResponse {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the values of a header that may stand several times.
    pub(super) fn headers(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }

    /// Reads the body up to the limit.
    pub(super) async fn body(mut self) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        loop {
            match self.response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(_) => return Err(RequestError::NoResponse("the response was truncated")),
            }
            if body.len() >= MAX_BODY_BYTES {
                body.truncate(MAX_BODY_BYTES);
                return Ok(body);
            }
        }
    }

    /// Returns the time of `Retry-After`, if there is one.
    pub(super) fn retry_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        retry_at(self.header("retry-after")?.trim(), now)
    }
}

fn retry_at(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let until = match text.parse::<u32>() {
        Ok(seconds) => now + TimeDelta::seconds(seconds.into()),
        Err(_) => DateTime::parse_from_rfc2822(text).ok()?.to_utc(),
    };
    (until > now).then(|| until.min(now + LONGEST_WAIT))
}

fn unreachable() -> ProviderError {
    ProviderError::Retryable {
        code: "host_unreachable",
        detail: "no connection to the server".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_future_date_and_limited() {
        let now: DateTime<Utc> = "2026-11-23T02:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("30", Some(30)),
            ("0", None),
            ("-1", None),
            ("Mon, 23 Nov 2026 02:01:00 GMT", Some(60)),
            ("Mon, 23 Nov 2026 01:59:00 GMT", None),
            ("4000000000", Some(86_400)),
            ("soon", None),
        ] {
            let wait = retry_at(text, now).map(|until| (until - now).num_seconds());
            assert_eq!(wait, seconds, "{text}");
        }
    }

    #[tokio::test]
    async fn plain_http_and_private_networks_need_permission() {
        for (url, code) in [
            ("http://example.org/", "encryption_required"),
            ("https://127.0.0.1:1/", "host_not_allowed"),
            ("https://[::1]:1/", "host_not_allowed"),
            ("https://2130706433:1/", "host_not_allowed"),
            ("https://localhost:1/", "host_not_found"),
            ("https://169.254.169.254/", "host_not_allowed"),
        ] {
            let refused = WebClient(Guard::Public).client(&url.parse().unwrap()).await;
            assert_eq!(refused.unwrap_err().code(), code, "{url}");
        }
    }
}
