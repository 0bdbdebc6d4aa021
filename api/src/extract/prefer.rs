//! How long a client waits for a result: [`Wait`], from `Prefer: wait=N` (RFC 7240) or `?wait=N`.

use axum::http::{HeaderMap, HeaderName};
use std::time::Duration;

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Names the preference that was applied.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Longer waits hit the timeouts of proxies; the client asks again.
const MAX_WAIT_SECONDS: u64 = 30;

/// At most 30 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    pub seconds: u64,
    /// It came as a preference, so the response names what was applied.
    pub preferred: bool,
}

impl Wait {
    /// The query comes first: it was written for this request, where a header may be a client's default.
    pub fn of(headers: &HeaderMap, query: Option<u64>) -> Self {
        let preferred = headers
            .get_all(PREFER)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([',', ';']))
            .find_map(|preference| {
                let (name, value) = preference.split_once('=')?;
                name.trim()
                    .eq_ignore_ascii_case("wait")
                    .then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
            });
        Self {
            seconds: query.or(preferred).unwrap_or(0).min(MAX_WAIT_SECONDS),
            preferred: query.is_none() && preferred.is_some(),
        }
    }

    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn wait(prefer: &'static str, query: Option<u64>) -> (u64, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(PREFER, HeaderValue::from_static(prefer));
        let wait = Wait::of(&headers, query);
        (wait.seconds, wait.preferred)
    }

    #[test]
    fn preference_is_found_among_others_and_capped() {
        assert_eq!(wait("wait=5", None), (5, true));
        assert_eq!(wait("respond-async, Wait = \"7\"", None), (7, true));
        assert_eq!(wait("wait=3600", None), (30, true));
        assert_eq!(wait("wait=5", Some(2)), (2, false));
    }

    #[test]
    fn preference_is_ignored_if_it_does_not_parse() {
        for prefer in ["wait", "wait=", "wait=-1", "wait=soon", "await=5"] {
            assert_eq!(wait(prefer, None), (0, false), "{prefer}");
        }
    }
}
