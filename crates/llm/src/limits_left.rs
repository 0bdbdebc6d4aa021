//! What a provider says is left of its rate limits: [`LimitsLeft`], read from the headers of any response.
//!
//! Knows the headers of OpenAI and Anthropic, also behind a proxy that renames them. What they mean for the next request is
//! the caller's business.

use crate::retry_after::{PREFIXES, moment::moment, text};
use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use std::time::Duration;

/// The headers of one limit: its size, what is left, and when all of it is there again.
type Names = (&'static str, &'static str, &'static str);

const REQUESTS: [Names; 2] = [
    (
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    (
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
];
const TOKENS: [Names; 4] = [
    (
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ),
    (
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
];

/// What is left of a provider's limits; none if it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsLeft {
    pub requests: Option<Left>,
    /// Of the limit on tokens with the least left.
    pub tokens: Option<Left>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub units: u64,
    /// The time in which the provider renews one unit.
    pub unit_renewed_in: Duration,
}

/// Reads what is left.
pub(crate) fn limits_left(headers: &HeaderMap, now: DateTime<Utc>) -> LimitsLeft {
    LimitsLeft {
        requests: least(headers, &REQUESTS, now),
        tokens: least(headers, &TOKENS, now),
    }
}

fn least(headers: &HeaderMap, names: &[Names], now: DateTime<Utc>) -> Option<Left> {
    let found = PREFIXES.iter().flat_map(|prefix| {
        names
            .iter()
            .filter_map(move |names| left(headers, prefix, *names, now))
    });
    found.min_by_key(|left| left.units)
}

fn left(
    headers: &HeaderMap,
    prefix: &str,
    (limit, remaining, reset): Names,
    now: DateTime<Utc>,
) -> Option<Left> {
    let header = |name: &str| text(headers, &format!("{prefix}{name}"));
    // Azure sends -1 for "unknown", which is no number here.
    let units: u64 = header(remaining)?.parse().ok()?;
    let missing = header(limit)
        .and_then(|limit| limit.parse::<u64>().ok())
        .map_or(1, |limit| limit.saturating_sub(units).max(1));
    let renewed_in = header(reset).and_then(|reset| moment(reset, now));
    Some(Left {
        units,
        unit_renewed_in: renewed_in
            .unwrap_or_default()
            .div_f64(u32::try_from(missing).unwrap_or(u32::MAX).into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn read(pairs: &[(&'static str, &'static str)]) -> LimitsLeft {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        });
        limits_left(&pairs.collect(), "2026-11-23T02:00:00Z".parse().unwrap())
    }

    fn of(units: u64, millis: u64) -> Option<Left> {
        let unit_renewed_in = Duration::from_millis(millis);
        Some(Left {
            units,
            unit_renewed_in,
        })
    }

    #[test]
    fn what_is_left_is_read_from_the_headers_of_openai_and_anthropic() {
        let openai = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0s"),
            ("x-ratelimit-limit-tokens", "1000"),
            ("x-ratelimit-remaining-tokens", "400"),
            ("x-ratelimit-reset-tokens", "600ms"),
        ];
        let left = read(&openai);
        assert_eq!((left.requests, left.tokens), (of(0, 1000), of(400, 1)));
        let anthropic = [
            ("anthropic-ratelimit-requests-remaining", "7"),
            ("anthropic-ratelimit-requests-reset", "2026-11-23T02:00:03Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "900"),
            ("anthropic-ratelimit-output-tokens-remaining", "20"),
        ];
        let left = read(&anthropic);
        assert_eq!((left.requests, left.tokens), (of(7, 3000), of(20, 0)));
        let proxy = [("llm_provider-x-ratelimit-remaining-requests", "3")];
        assert_eq!(read(&proxy).requests, of(3, 0));
    }

    #[test]
    fn meaningless_headers_say_nothing() {
        for left in ["-1", "", "many", "1.5"] {
            let headers = [("x-ratelimit-remaining-requests", left)];
            assert_eq!(read(&headers), LimitsLeft::default(), "{left}");
        }
    }
}
