//! `CalDAV` as far as one event needs it: put it where nothing is yet, look at it, take it away as it was left. The URL of the
//! connection is the collection.

use super::web::{Answer, Lost, Question, Web};
use super::{Calendar, Entry, ProviderError, Put, Taken};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::connection::{MailSecret, WebUrl};
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH},
};
use secrecy::ExposeSecret;

/// For a server that asks for a pause and does not say how long.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

pub(super) struct CalDav {
    pub(super) collection: WebUrl,
    pub(super) secret: MailSecret,
    pub(super) web: Web,
}

#[async_trait]
impl Calendar for CalDav {
    async fn put_new(
        &self,
        name: &str,
        event: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Put, ProviderError> {
        let headers = vec![
            (IF_NONE_MATCH, "*".into()),
            (CONTENT_TYPE, "text/calendar; charset=utf-8".into()),
        ];
        let answer = self
            .ask(Method::PUT, name, headers, event.to_vec())
            .await
            .map_err(maybe_done)?;
        match answer.status {
            200..300 => Ok(Put::Made(answer.header("etag").map(str::to_owned))),
            412 => Ok(Put::Taken),
            // A proxy may say so of what its server has done.
            500 | 502 | 504 => Err(ProviderError::Unknown {
                code: "calendar_failed",
                detail: format!("the server says {}", answer.status),
            }),
            _ => Err(refusal(&answer, now)),
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
        let answer = self
            .ask(method, "", headers, WHAT_IS_IT.into())
            .await
            .map_err(not_told)?;
        if answer.status != 207 {
            return Err(refusal(&answer, now));
        }
        let told = answer.body().await.map_err(not_told)?;
        if is_calendar(&String::from_utf8_lossy(&told)) {
            Ok(())
        } else {
            Err(no_calendar())
        }
    }

    async fn get(&self, name: &str, now: DateTime<Utc>) -> Result<Option<Entry>, ProviderError> {
        let answer = self
            .ask(Method::GET, name, Vec::new(), Vec::new())
            .await
            .map_err(not_told)?;
        match answer.status {
            200 => {
                let etag = answer.header("etag").map(str::to_owned);
                let event = answer.body().await.map_err(not_told)?;
                Ok(Some(Entry { etag, event }))
            }
            404 | 410 => Ok(None),
            _ => Err(refusal(&answer, now)),
        }
    }

    async fn delete(
        &self,
        name: &str,
        etag: &str,
        now: DateTime<Utc>,
    ) -> Result<Taken, ProviderError> {
        let headers = vec![(IF_MATCH, etag.to_owned())];
        // Whoever takes away the same twice finds nothing the second time.
        let answer = self
            .ask(Method::DELETE, name, headers, Vec::new())
            .await
            .map_err(not_told)?;
        match answer.status {
            200..300 | 404 | 410 => Ok(Taken::Gone),
            412 => Ok(Taken::Changed),
            _ => Err(refusal(&answer, now)),
        }
    }
}

impl CalDav {
    async fn ask(
        &self,
        method: Method,
        name: &str,
        headers: Vec<(HeaderName, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, Lost> {
        let url = self.collection.join(name).map_err(|_| {
            Lost::Unasked(ProviderError::Permanent {
                code: "calendar_not_found",
                message: NOT_FOUND.into(),
            })
        })?;
        let MailSecret { username, password } = &self.secret;
        let login = (username.as_str(), password.expose_secret());
        let question = Question {
            method,
            url: &url,
            headers,
            login: Some(login).filter(|(name, _)| !name.is_empty()),
            body,
        };
        self.web.ask(question).await
    }
}

const WHAT_IS_IT: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<propfind xmlns="DAV:"><prop><resourcetype/></prop></propfind>"#;

/// Whether a server's description of the collection says so (RFC 4791 §4.2).
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

const NOT_FOUND: &str = "There is no calendar at the URL of this connection.";

fn maybe_done(lost: Lost) -> ProviderError {
    match lost {
        Lost::Unasked(error) => error,
        Lost::Unanswered(detail) => ProviderError::Unknown {
            code: "calendar_unanswered",
            detail: detail.into(),
        },
    }
}

/// Of a question that may be asked twice.
fn not_told(lost: Lost) -> ProviderError {
    match lost {
        Lost::Unasked(error) => error,
        Lost::Unanswered(detail) => ProviderError::Retryable {
            code: "calendar_unanswered",
            detail: detail.into(),
        },
    }
}

/// What an answer means that says no.
fn refusal(answer: &Answer, now: DateTime<Utc>) -> ProviderError {
    let permanent = |code, message: &str| ProviderError::Permanent {
        code,
        message: message.into(),
    };
    match answer.status {
        401 => ProviderError::Reauth {
            code: "calendar_auth_refused",
        },
        300..=399 => permanent(
            "calendar_moved",
            "The calendar answers with a redirect, which is not followed. Connect the URL it leads to.",
        ),
        404 | 405 | 409 | 410 => permanent("calendar_not_found", NOT_FOUND),
        429 => ProviderError::RateLimited {
            until: answer.again(now).unwrap_or(now + PAUSE),
        },
        507 => permanent("calendar_full", "The calendar has no room for it."),
        408 | 500.. => match answer.again(now) {
            Some(until) => ProviderError::RateLimited { until },
            None => ProviderError::Retryable {
                code: "calendar_failed",
                detail: format!("the server says {}", answer.status),
            },
        },
        _ => permanent("calendar_refused", "The calendar refuses this."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_is_told_from_other_collections_whatever_the_prefixes() {
        let told = |types: &str| {
            format!(
                r#"<a:multistatus xmlns:a="DAV:" xmlns:b="urn:ietf:params:xml:ns:caldav"><a:response><a:propstat><a:prop>
                   <a:resourcetype>{types}</a:resourcetype></a:prop></a:propstat></a:response></a:multistatus>"#
            )
        };
        for (text, is) in [
            (told("<a:collection/><b:calendar/>"), true),
            (told("<a:collection/>"), false),
            (told("<a:calendar/>"), false),
            ("<html>".to_owned(), false),
        ] {
            assert_eq!(is_calendar(&text), is, "{text}");
        }
    }
}
