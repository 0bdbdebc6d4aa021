//! Reads the retry delay that a provider requests, from headers or body: [`delay`].
//!
//! `classify` and `retry` decide what the delay means for the call.

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// Longer delays are cut to this, so that an error of the server cannot delay work for a year.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Returns the requested delay from the most exact source present.
pub(crate) fn delay(headers: &HeaderMap, error: &Value, now: DateTime<Utc>) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |text: &str| {
        let at = DateTime::parse_from_rfc2822(text).ok()?;
        (at.to_utc() - now).to_std().ok()
    };
    // Proxies such as LiteLLM rename the provider's headers.
    header("retry-after-ms")
        .and_then(|text| number(text, 0.001))
        .or_else(|| header("retry-after").and_then(|text| number(text, 1.0)))
        .or_else(|| header("retry-after").and_then(date))
        .or_else(|| header("llm_provider-retry-after-ms").and_then(|text| number(text, 0.001)))
        .or_else(|| header("llm_provider-retry-after").and_then(|text| number(text, 1.0)))
        .or_else(|| header("llm_provider-retry-after").and_then(date))
        .or_else(|| retry_info(error))
        .or_else(|| retry_sentence(error))
        .filter(|wait| !wait.is_zero())
        .map(|wait| wait.min(LONGEST))
}

/// Parses a plain number of `unit` seconds. Servers send 0 and -1 for "unknown", which count as absent.
fn number(text: &str, unit: f64) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()? * unit;
    if !(seconds.is_finite() && seconds > 0.0) {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST))
}

/// Reads Gemini's `google.rpc.RetryInfo`.
fn retry_info(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let info = details.iter().find(|detail| {
        let kind = detail.get("@type").and_then(Value::as_str);
        kind.is_some_and(|kind| kind.ends_with("google.rpc.RetryInfo"))
    })?;
    with_unit(info.get("retryDelay")?.as_str()?)
}

/// Reads "Please retry in 34.07s.", or OpenAI's "Please try again in 6m0s."
fn retry_sentence(error: &Value) -> Option<Duration> {
    let message = error.get("message")?.as_str()?;
    let rest = ["Please retry in ", "Please try again in "]
        .iter()
        .find_map(|start| message.split_once(start))?
        .1;
    let word = rest.split_whitespace().next()?;
    with_unit(word.trim_end_matches(['.', ',', ';']))
}

/// Parses a duration with units: `34.07s`, `900ms`, `6m0s`, `1h2m3s`.
fn with_unit(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|char: char| !char.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        seconds += value
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    number(&seconds.to_string(), 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use serde_json::json;

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
        delay(&headers, &Value::Null, now()).map(|delay| delay.as_secs_f64())
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
            delay(&HeaderMap::new(), &error, now()).map(|delay| (delay.as_secs_f64() * 1e3).round())
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
            ("Please retry in a while", None),
            ("Please retry in ", None),
            ("Please retry in .", None),
            ("Please retry in 5", None),
        ] {
            assert_eq!(millis(json!({"message": message})), wait, "{message}");
        }
    }
}
