//! HTTP to where a user has pointed us: only to addresses that were looked up and checked, nowhere else however the server
//! answers, within bounds of time and size. What an answer means is its caller's.

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
/// More of an answer is not read.
const MOST: usize = 256 * 1024;
/// Longer waits are cut to this.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(1);

/// Asks servers of this guard's choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Web(pub(super) Guard);

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) url: &'a WebUrl,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) login: Option<(&'a str, &'a str)>,
    pub(super) body: Vec<u8>,
}

/// What the server said.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    response: Response,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The question was never asked.
    Unasked(ProviderError),
    /// The server may have acted on it.
    Unanswered(&'static str),
}

impl Web {
    pub(super) async fn ask(self, question: Question<'_>) -> Result<Answer, Lost> {
        let client = self.client(question.url).await.map_err(Lost::Unasked)?;
        let url = question.url.url().clone();
        let mut request = client.request(question.method, url).body(question.body);
        for (name, value) in question.headers {
            let value = HeaderValue::try_from(value).map_err(|_| {
                Lost::Unasked(ProviderError::Permanent {
                    code: "unusable_header",
                    message: "This cannot be said to a server.".into(),
                })
            })?;
            request = request.header(name, value);
        }
        if let Some((name, password)) = question.login {
            request = request.basic_auth(name, Some(password));
        }
        // Not the error's own text: it quotes the URL, which may hold a token.
        match request.send().await {
            Ok(response) => Ok(Answer {
                status: response.status().as_u16(),
                headers: response.headers().clone(),
                response,
            }),
            Err(error) if error.is_connect() || error.is_builder() => {
                Err(Lost::Unasked(unreachable()))
            }
            Err(error) if error.is_timeout() => Err(Lost::Unanswered("no answer in time")),
            Err(_) => Err(Lost::Unanswered("the connection broke before the answer")),
        }
    }

    /// One for each question: it knows the way to one host, and only by the addresses that were checked.
    async fn client(self, url: &WebUrl) -> Result<Client, ProviderError> {
        if !url.is_encrypted() && self.0 == Guard::Public {
            return Err(ProviderError::Permanent {
                code: "encryption_required",
                message: "The line must be encrypted: use an https URL.".into(),
            });
        }
        let url = url.url();
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default().unwrap_or_default();
        let addrs = self.0.resolve(bare, port).await?;
        // Fails if the process has a provider already, which then is used.
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

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The beginning of the body, up to our bound.
    pub(super) async fn body(mut self) -> Result<Vec<u8>, Lost> {
        let mut body = Vec::new();
        loop {
            match self.response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(_) => return Err(Lost::Unanswered("the answer was cut short")),
            }
            if body.len() >= MOST {
                body.truncate(MOST);
                return Ok(body);
            }
        }
    }

    /// When the server wants to be asked again, if it says so.
    pub(super) fn again(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        again(self.header("retry-after")?.trim(), now)
    }
}

fn again(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
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
    fn a_wait_is_a_number_or_a_date_in_the_future_and_has_an_end() {
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
            let wait = again(text, now).map(|until| (until - now).num_seconds());
            assert_eq!(wait, seconds, "{text}");
        }
    }

    #[tokio::test]
    async fn a_line_in_the_clear_and_our_own_network_are_for_those_who_may_reach_it() {
        for (url, code) in [
            ("http://example.org/", "encryption_required"),
            ("https://127.0.0.1:1/", "host_not_allowed"),
            ("https://[::1]:1/", "host_not_allowed"),
            ("https://2130706433:1/", "host_not_allowed"),
            ("https://localhost:1/", "host_not_allowed"),
            ("https://169.254.169.254/", "host_not_allowed"),
        ] {
            let refused = Web(Guard::Public).client(&url.parse().unwrap()).await;
            assert_eq!(refused.unwrap_err().code(), code, "{url}");
        }
    }
}
