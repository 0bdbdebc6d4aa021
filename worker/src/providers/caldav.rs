//! The part of `CalDAV` that one event needs: create, read, and delete if unchanged; and when the owner is busy. The URL of the connection is the
//! collection.

mod busy;

use super::web::{HttpRequest, HttpResponse, RequestError, WebClient};
use super::{Calendar, CalendarEntry, DeleteResult, ProviderError, PutResult};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::{
    blocks::Span,
    connection::{MailSecret, WebUrl},
};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH, WWW_AUTHENTICATE},
};
use secrecy::ExposeSecret;

/// The delay if a server limits the rate without `Retry-After`.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

pub(super) struct CalDav {
    pub(super) collection: WebUrl,
    pub(super) secret: MailSecret,
    pub(super) web: WebClient,
}

#[async_trait]
impl Calendar for CalDav {
    async fn put_new(
        &self,
        name: &str,
        event: &[u8],
        now: DateTime<Utc>,
    ) -> Result<PutResult, ProviderError> {
        let headers = vec![
            (IF_NONE_MATCH, "*".into()),
            (CONTENT_TYPE, "text/calendar; charset=utf-8".into()),
        ];
        let response = self
            .send_request(Method::PUT, name, headers, event.to_vec())
            .await
            .map_err(change_error)?;
        match response.status {
            200..300 => Ok(PutResult::Created(
                response.header("etag").map(str::to_owned),
            )),
            412 => Ok(PutResult::Exists),
            // A proxy may return this although the server has created the entry.
            500 | 502 | 504 => Err(ProviderError::Unknown {
                code: "calendar_failed",
                detail: format!("the server returned status {}", response.status),
            }),
            _ => Err(refusal(&response, now)),
        }
    }

    async fn check(&self, now: DateTime<Utc>) -> Result<(), ProviderError> {
        let no_calendar = || ProviderError::Permanent {
            code: "calendar_not_found",
            message: NOT_FOUND.into(),
        };
        let method = Method::from_bytes(b"PROPFIND").map_err(|_| no_calendar())?;
        let headers = vec![
            (HeaderName::from_static("depth"), "0".into()),
            (CONTENT_TYPE, "application/xml; charset=utf-8".into()),
        ];
        let response = self
            .send_request(method, "", headers, RESOURCE_TYPE_QUERY.into())
            .await
            .map_err(read_error)?;
        if response.status != 207 {
            return Err(refusal(&response, now));
        }
        let body = response.body().await.map_err(read_error)?;
        if is_calendar(&String::from_utf8_lossy(&body)) {
            Ok(())
        } else {
            Err(no_calendar())
        }
    }

    async fn get(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<CalendarEntry>, ProviderError> {
        let response = self
            .send_request(Method::GET, name, Vec::new(), Vec::new())
            .await
            .map_err(read_error)?;
        match response.status {
            200 => {
                let etag = response.header("etag").map(str::to_owned);
                let event = response.body().await.map_err(read_error)?;
                Ok(Some(CalendarEntry { etag, event }))
            }
            404 | 410 => Ok(None),
            _ => Err(refusal(&response, now)),
        }
    }

    async fn busy(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Span>, ProviderError> {
        let method = Method::from_bytes(b"REPORT").map_err(|_| ProviderError::Permanent {
            code: "calendar_not_found",
            message: NOT_FOUND.into(),
        })?;
        let headers = vec![
            (HeaderName::from_static("depth"), "1".into()),
            (CONTENT_TYPE, "application/xml; charset=utf-8".into()),
        ];
        let response = self
            .send_request(method, "", headers, busy::query(from, to))
            .await
            .map_err(read_error)?;
        if response.status != 200 {
            return Err(refusal(&response, now));
        }
        let body = response.body().await.map_err(read_error)?;
        Ok(busy::spans(&String::from_utf8_lossy(&body), from, to))
    }

    async fn delete(
        &self,
        name: &str,
        etag: &str,
        now: DateTime<Utc>,
    ) -> Result<DeleteResult, ProviderError> {
        let headers = vec![(IF_MATCH, etag.to_owned())];
        // A repeated deletion finds nothing.
        let response = self
            .send_request(Method::DELETE, name, headers, Vec::new())
            .await
            .map_err(read_error)?;
        match response.status {
            200..300 | 404 | 410 => Ok(DeleteResult::Deleted),
            412 => Ok(DeleteResult::Changed),
            _ => Err(refusal(&response, now)),
        }
    }
}

impl CalDav {
    async fn send_request(
        &self,
        method: Method,
        name: &str,
        headers: Vec<(HeaderName, String)>,
        body: Vec<u8>,
    ) -> Result<HttpResponse, RequestError> {
        let url = self.collection.join(name).map_err(|_| {
            RequestError::NotSent(ProviderError::Permanent {
                code: "calendar_not_found",
                message: NOT_FOUND.into(),
            })
        })?;
        let MailSecret {
            username, password, ..
        } = &self.secret;
        let login = (username.as_str(), password.expose_secret());
        let request = HttpRequest {
            method,
            url: &url,
            headers,
            login: Some(login).filter(|(name, _)| !name.is_empty()),
            body,
        };
        self.web.send(request).await
    }
}

const RESOURCE_TYPE_QUERY: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>"#;

/// Returns whether the response describes a calendar (RFC 4791 §4.2).
fn is_calendar(multistatus: &str) -> bool {
    let Ok(document) = roxmltree::Document::parse(multistatus) else {
        return false;
    };
    let mut types = document
        .descendants()
        .filter(|node| node.has_tag_name(("DAV:", "resourcetype")));
    types.any(|node| {
        node.children()
            .any(|kind| kind.has_tag_name(("urn:ietf:params:xml:ns:caldav", "calendar")))
    })
}

const NOT_FOUND: &str = "No calendar found at the URL of this connection.";

fn change_error(lost: RequestError) -> ProviderError {
    match lost {
        RequestError::NotSent(error) => error,
        RequestError::NoResponse(detail) => ProviderError::Unknown {
            code: "calendar_unanswered",
            detail: detail.into(),
        },
    }
}

/// Converts the error of a request that may be repeated.
fn read_error(lost: RequestError) -> ProviderError {
    match lost {
        RequestError::NotSent(error) => error,
        RequestError::NoResponse(detail) => ProviderError::Retryable {
            code: "calendar_unanswered",
            detail: detail.into(),
        },
    }
}

/// Classifies a response with an error status.
fn refusal(response: &HttpResponse, now: DateTime<Utc>) -> ProviderError {
    let permanent = |code, message: &str| ProviderError::Permanent {
        code,
        message: message.into(),
    };
    match response.status {
        401 if !offers_basic(response.headers(WWW_AUTHENTICATE)) => permanent(
            "auth_not_supported",
            "The calendar does not offer log-in by HTTP Basic, the only one that Postroom knows. Enable Basic on its server \
             (in Baïkal, `WebDAV authentication type`), then try again.",
        ),
        401 => ProviderError::Reauth {
            code: "calendar_auth_refused",
        },
        300..=399 => permanent(
            "calendar_moved",
            "The calendar answered with a redirect, which is not followed. Connect its target URL instead.",
        ),
        404 | 405 | 409 | 410 => permanent("calendar_not_found", NOT_FOUND),
        429 => ProviderError::RateLimited {
            until: response.retry_at(now).unwrap_or(now + PAUSE),
        },
        507 => permanent("calendar_full", "The calendar is full."),
        408 | 500.. => match response.retry_at(now) {
            Some(until) => ProviderError::RateLimited { until },
            None => ProviderError::Retryable {
                code: "calendar_failed",
                detail: format!("the server returned status {}", response.status),
            },
        },
        _ => permanent("calendar_refused", "The calendar rejected the change."),
    }
}

/// Returns whether one of the challenges is for HTTP Basic, or there is none: then the server refuses the password.
fn offers_basic<'a>(headers: impl Iterator<Item = &'a str>) -> bool {
    let mut challenges = headers.flat_map(|value| value.split(',')).peekable();
    let is_basic = |part: &str| {
        let scheme = part.split_whitespace().next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("basic")
    };
    challenges.peek().is_none() || challenges.any(is_basic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_found_among_the_challenges_of_a_server() {
        for (headers, is) in [
            (&[][..], true),
            (&["Basic realm=\"Radicale\""], true),
            (&["basic"], true),
            (
                &["Digest realm=\"BaikalDAV\", qop=\"auth\", nonce=\"1\""],
                false,
            ),
            (&["Bearer, Basic realm=\"x\""], true),
            (&["Negotiate", "Basic realm=\"x\""], true),
            (&["Bearer realm=\"basic\""], false),
        ] {
            assert_eq!(offers_basic(headers.iter().copied()), is, "{headers:?}");
        }
    }

    #[test]
    fn calendar_is_distinguished_from_other_collections_whatever_the_prefixes() {
        let xml = |types: &str| {
            format!(
                r#"<a:multistatus xmlns:a="DAV:" xmlns:b="urn:ietf:params:xml:ns:caldav"><a:response><a:propstat><a:prop>
                   <a:resourcetype>{types}</a:resourcetype></a:prop></a:propstat></a:response></a:multistatus>"#
            )
        };
        for (text, is) in [
            (xml("<a:collection/><b:calendar/>"), true),
            (xml("<a:collection/>"), false),
            (xml("<a:calendar/>"), false),
            ("<html>".to_owned(), false),
        ] {
            assert_eq!(is_calendar(&text), is, "{text}");
        }
    }
}
