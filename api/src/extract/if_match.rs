//! The versions that a change may be based on, from `If-Match`: [`IfMatch`].

use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use jobs::domain::SeenVersions;

/// The versions that the caller has read. `*` is refused: a decision names the version that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(pub SeenVersions);

/// What the header demands of the present version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `*`: that there is one.
    Any,
    /// That it is one of these.
    Seen(SeenVersions),
}

impl Condition {
    /// Reads a list of entity tags (RFC 9110, section 13.1.1). Weak ones, and those that are not ours, match no version.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
        values.peek()?;
        let mut tags = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .peekable();
        if tags.peek() == Some(&"*") {
            return Some(Self::Any);
        }
        let version = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Some(Self::Seen(tags.filter_map(version).collect()))
    }
}

impl IfMatch {
    /// # Errors
    /// 428 if it is missing or `*`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        match Condition::of(headers) {
            None | Some(Condition::Any) => Err(required()),
            Some(Condition::Seen(seen)) => Ok(Self(seen)),
        }
    }
}

fn required() -> ApiError {
    ApiError::new(
        Code::PreconditionRequired,
        "Send If-Match with the ETag of the version that you have read.",
    )
}

/// 412: the resource was changed since the caller read it.
pub fn stale() -> ApiError {
    ApiError::new(
        Code::PreconditionFailed,
        "The resource was changed since you read it. Read it again and repeat your change on the current version.",
    )
}

impl FromRequestParts<AppState> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        Self::from_headers(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(values: &[&'static str]) -> Result<Vec<i32>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, HeaderValue::from_static(value));
        }
        let read = IfMatch::from_headers(&headers).map_err(|error| error.code());
        read.map(|IfMatch(seen)| (0..10).filter(|version| seen.include(*version)).collect())
    }

    #[test]
    fn every_strong_etag_of_ours_names_a_version() {
        assert_eq!(read(&["\"7\""]), Ok(vec![7]));
        assert_eq!(read(&["\"1\", \"2\"", "\"3\""]), Ok(vec![1, 2, 3]));
        assert_eq!(read(&["W/\"1\", \"x\",\"2\" ,"]), Ok(vec![2]));
        for bad in ["7", "W/\"7\"", "\"x\"", "", "\"99999999999\"", "\"1\"2"] {
            assert_eq!(read(&[bad]), Ok(vec![]), "{bad}");
        }
        for none in [&["*"][..], &[" * "], &[]] {
            assert_eq!(read(none), Err(Code::PreconditionRequired));
        }
    }
}
