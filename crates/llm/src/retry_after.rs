//! Reads the delay that a provider requests, from headers or body: [`delay`].
//!
//! [`moment`](moment::moment) parses one value. `classify` and `retry` decide what the delay means for the call.

pub(crate) mod moment;

use chrono::{DateTime, Utc};
use moment::{moment, number, sentence};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// Longer delays are cut to this, so that an error of the server cannot delay work for a year.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Proxies such as LiteLLM put this before the provider's header names.
pub(crate) const PREFIXES: [&str; 2] = ["", "llm_provider-"];

/// Rate limits that answer with the time of their renewal: the header with the time, and the one with what is left.
const RESETS: [(&str, &str); 10] = [
    (
        "x-ratelimit-reset-requests",
        "x-ratelimit-remaining-requests",
    ),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    (
        "anthropic-ratelimit-requests-reset",
        "anthropic-ratelimit-requests-remaining",
    ),
    (
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-tokens-remaining",
    ),
    (
        "anthropic-ratelimit-input-tokens-reset",
        "anthropic-ratelimit-input-tokens-remaining",
    ),
    (
        "anthropic-ratelimit-output-tokens-reset",
        "anthropic-ratelimit-output-tokens-remaining",
    ),
    ("ratelimitbysize-reset", "ratelimitbysize-remaining"),
    ("x-ratelimit-reset-after", "x-ratelimit-remaining"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
];

/// Fields of a body with a delay, and the length of their unit in seconds.
const FIELDS: [(&str, f64); 5] = [
    ("retry_after_ms", 0.001),
    ("retry_after", 1.0),
    ("retry_after_seconds", 1.0),
    ("retryAfter", 1.0),
    ("retry-after", 1.0),
];

/// Returns the requested delay from the most exact source present. `bodies` are the error object and what is around it.
pub(crate) fn delay(
    status: u16,
    headers: &HeaderMap,
    bodies: [&Value; 2],
    now: DateTime<Utc>,
) -> Option<Duration> {
    retry_after(headers, now)
        .or_else(|| bodies.iter().find_map(|body| retry_info(body)))
        .or_else(|| bodies.iter().find_map(|body| retry_field(body, now)))
        .or_else(|| bodies.iter().find_map(|body| retry_sentence(body)))
        .or_else(|| renewal(status, headers, now))
        .filter(|wait| !wait.is_zero())
        .map(|wait| wait.min(LONGEST))
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    PREFIXES.iter().find_map(|prefix| {
        let header = |name: &str| text(headers, &format!("{prefix}{name}"));
        header("retry-after-ms")
            .and_then(|text| number(text, 0.001))
            // Azure's older name.
            .or_else(|| header("x-ms-retry-after-ms").and_then(|text| number(text, 0.001)))
            // A number is always a delay here, however large, and a date may be one of either standard.
            .or_else(|| header("retry-after").and_then(|text| number(text, 1.0)))
            .or_else(|| header("retry-after").and_then(|text| moment(text, now)))
    })
}

/// Reads when the exhausted limit is renewed; the longest wait, if several are exhausted.
///
/// Servers send these headers with every response, so that on any other status than 429 only a limit counts that says of
/// itself that nothing is left.
fn renewal(status: u16, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let mut exhausted = None;
    let mut unstated = None;
    let mut others = None;
    for prefix in PREFIXES {
        for (reset, remaining) in RESETS {
            let wait = text(headers, &format!("{prefix}{reset}")).and_then(|at| moment(at, now));
            let left = text(headers, &format!("{prefix}{remaining}"));
            let group = match left.and_then(|left| left.parse::<f64>().ok()) {
                Some(left) if left >= 1.0 => &mut others,
                Some(_) => &mut exhausted,
                None => &mut unstated,
            };
            *group = (*group).max(wait);
        }
    }
    match status {
        429 => exhausted.or(unstated).or(others),
        _ => exhausted,
    }
}

/// Reads Gemini's `google.rpc.RetryInfo`.
fn retry_info(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let info = details.iter().find(|detail| {
        let kind = detail.get("@type").and_then(Value::as_str);
        kind.is_some_and(|kind| kind.ends_with("google.rpc.RetryInfo"))
    })?;
    moment::with_units(info.get("retryDelay")?.as_str()?)
}

/// Reads a field of the body: a number, a number as text, or text with a unit or a date.
fn retry_field(body: &Value, now: DateTime<Utc>) -> Option<Duration> {
    FIELDS
        .iter()
        .find_map(|(name, unit)| match body.get(name)? {
            Value::Number(value) => number(&value.to_string(), *unit),
            Value::String(text) => number(text.trim(), *unit).or_else(|| moment(text.trim(), now)),
            _ => None,
        })
}

/// Reads "Please retry in 34.07s.", "Try again in 30 seconds." and the like.
fn retry_sentence(body: &Value) -> Option<Duration> {
    let said = ["message", "detail"]
        .iter()
        .find_map(|field| body.get(field)?.as_str());
    sentence(said.or_else(|| body.as_str())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

    const NO_BODY: [&Value; 2] = [&Value::Null, &Value::Null];

    fn now() -> DateTime<Utc> {
        "2026-11-23T02:00:00Z".parse().unwrap()
    }

    fn from_headers(pairs: &[(&'static str, &'static str)]) -> Option<f64> {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_static(value);
                (HeaderName::from_static(name), value)
            })
            .collect();
        delay(429, &headers, NO_BODY, now()).map(|delay| delay.as_secs_f64())
    }

    #[test]
    fn most_exact_header_wins() {
        let all = [
            ("llm_provider-retry-after", "5"),
            ("llm_provider-retry-after-ms", "4000"),
            ("retry-after", "3"),
            ("retry-after-ms", "1500.5"),
        ];
        assert_eq!(from_headers(&all), Some(1.5005));
        assert_eq!(from_headers(&all[..3]), Some(3.0));
        assert_eq!(from_headers(&all[..2]), Some(4.0));
        assert_eq!(from_headers(&all[..1]), Some(5.0));
        assert_eq!(from_headers(&[]), None);
    }

    #[test]
    fn date_is_a_delay_from_now() {
        for (date, wait) in [
            ("Mon, 23 Nov 2026 02:00:30 GMT", Some(30.0)),
            ("Mon, 23 Nov 2026 01:59:59 GMT", None),
            ("Mon, 23 Nov 2026 02:00:00 GMT", None),
            ("soon", None),
        ] {
            assert_eq!(from_headers(&[("retry-after", date)]), wait, "{date}");
            assert_eq!(
                from_headers(&[("llm_provider-retry-after", date)]),
                wait,
                "{date}"
            );
        }
    }

    #[test]
    fn meaningless_numbers_are_skipped_for_the_next_source() {
        for nothing in [
            "0", "-1", "NaN", "inf", "-inf", "", "1e400", "0.0", "7 apples",
        ] {
            let found = from_headers(&[("retry-after-ms", nothing), ("retry-after", "2")]);
            assert_eq!(found, Some(2.0), "{nothing}");
            assert_eq!(from_headers(&[("retry-after", nothing)]), None, "{nothing}");
        }
        assert_eq!(
            from_headers(&[("retry-after", "1e300")]),
            Some(LONGEST.as_secs_f64())
        );
    }

    #[test]
    fn gemini_delay_is_read_from_the_body() {
        let millis = |error: Value| {
            let bodies = [&error, &Value::Null];
            let delay = delay(429, &HeaderMap::new(), bodies, now());
            delay.map(|delay| (delay.as_secs_f64() * 1e3).round())
        };
        let info = |delay: &str| {
            json!({"details": [
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
            ]})
        };
        assert_eq!(millis(info("34.07s")), Some(34_070.0));
        assert_eq!(millis(info("900ms")), Some(900.0));
        assert_eq!(millis(info("0s")), None);
        assert_eq!(millis(info("later")), None);
        for (message, wait) in [
            ("Quota exceeded. Please retry in 12.5s.", Some(12_500.0)),
            ("Please retry in 900ms", Some(900.0)),
            (
                "Limit 3 / min. Please try again in 6m0s. Contact us",
                Some(360_000.0),
            ),
            (
                "Too many requests. Try again in 30 seconds.",
                Some(30_000.0),
            ),
            (
                "Please retry after 2 minutes and 5 seconds",
                Some(125_000.0),
            ),
            ("Rate limited, please wait 1 min", Some(60_000.0)),
            ("Please try again in 1h0m0.5s.", Some(3_600_500.0)),
            ("Please retry in a while", None),
            ("Please retry in ", None),
            ("Please retry in .", None),
            ("Please retry in 5", None),
        ] {
            assert_eq!(millis(json!({"message": message})), wait, "{message}");
        }
    }

    #[test]
    fn field_of_the_body_is_read_in_its_unit_wherever_it_stands() {
        let read = |error: Value, beside: Value| {
            delay(429, &HeaderMap::new(), [&error, &beside], now()).map(|delay| delay.as_millis())
        };
        assert_eq!(read(json!({"retry_after": 12.5}), json!({})), Some(12_500));
        assert_eq!(read(json!({}), json!({"retry_after": "3"})), Some(3_000));
        assert_eq!(read(json!({"retry_after_ms": 250}), json!({})), Some(250));
        assert_eq!(read(json!({"retryAfter": "1m"}), json!({})), Some(60_000));
        assert_eq!(read(json!({"retry_after": -1}), json!({})), None);
        assert_eq!(
            read(json!({"retry_after": {"seconds": 3}}), json!({})),
            None
        );
    }

    #[test]
    fn renewal_of_a_limit_is_read_in_every_form_that_providers_send() {
        for (headers, wait) in [
            (vec![("x-ratelimit-reset-requests", "20ms")], Some(0.02)),
            (vec![("x-ratelimit-reset-tokens", "6m0s")], Some(360.0)),
            (
                vec![("llm_provider-x-ratelimit-reset-tokens", "2s")],
                Some(2.0),
            ),
            (
                vec![("anthropic-ratelimit-tokens-reset", "2026-11-23T02:00:45Z")],
                Some(45.0),
            ),
            (vec![("ratelimit-reset", "17")], Some(17.0)),
            // 2026-11-23T02:00:30Z as seconds and milliseconds since 1970.
            (vec![("x-ratelimit-reset", "1795399230")], Some(30.0)),
            (vec![("x-ratelimit-reset", "1795399230000")], Some(30.0)),
            (vec![("x-ratelimit-reset", "1795399100")], None),
            (vec![("x-ratelimit-reset-requests", "-1")], None),
            (
                vec![("retry-after", "3"), ("x-ratelimit-reset-requests", "9s")],
                Some(3.0),
            ),
        ] {
            assert_eq!(from_headers(&headers), wait, "{headers:?}");
        }
    }

    #[test]
    fn limit_that_is_exhausted_decides_and_others_only_if_none_is() {
        let requests = ("x-ratelimit-reset-requests", "50ms");
        let tokens = ("x-ratelimit-reset-tokens", "4s");
        let left = |requests, tokens| {
            [
                ("x-ratelimit-remaining-requests", requests),
                ("x-ratelimit-remaining-tokens", tokens),
            ]
        };
        let read = |more: [(&'static str, &'static str); 2]| {
            from_headers(&[[requests, tokens], more].concat())
        };
        assert_eq!(read(left("0", "900")), Some(0.05));
        assert_eq!(read(left("9", "0")), Some(4.0));
        assert_eq!(read(left("9", "900")), Some(4.0));
        assert_eq!(from_headers(&[requests, tokens]), Some(4.0));
    }

    #[test]
    fn renewal_counts_on_other_statuses_only_if_nothing_is_left() {
        let headers = |left: &'static str| -> HeaderMap {
            [
                ("x-ratelimit-reset-requests", "8s"),
                ("x-ratelimit-remaining-requests", left),
            ]
            .into_iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
        };
        assert_eq!(delay(503, &headers("9"), NO_BODY, now()), None);
        let exhausted = delay(503, &headers("0"), NO_BODY, now());
        assert_eq!(exhausted, Some(Duration::from_secs(8)));
    }
}
