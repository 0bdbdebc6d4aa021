//! The version that a change is based on, from `If-Match`: [`IfMatch`].

use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

/// One version, as its ETag names it. `*` is refused: a decision names the version that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IfMatch(pub i32);

impl IfMatch {
    /// # Errors
    /// 428 if it is missing or `*`, 412 if it is no ETag of ours.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let value = headers.get(header::IF_MATCH).ok_or_else(required)?;
        let text = value.to_str().map(str::trim).unwrap_or_default();
        if text == "*" {
            return Err(required());
        }
        text.strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .and_then(|version| version.parse().ok())
            .map(Self)
            .ok_or_else(stale)
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

    #[test]
    fn only_a_strong_etag_with_a_version_names_one() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(text));
            IfMatch::from_headers(&headers).map_err(|error| error.code())
        };
        assert_eq!(read("\"7\""), Ok(IfMatch(7)));
        for bad in [
            "7",
            "W/\"7\"",
            "\"x\"",
            "",
            "\"99999999999\"",
            "\"1\", \"2\"",
        ] {
            assert_eq!(read(bad), Err(Code::PreconditionFailed), "{bad}");
        }
        assert_eq!(read("*"), Err(Code::PreconditionRequired));
        assert_eq!(
            IfMatch::from_headers(&HeaderMap::new()).map_err(|error| error.code()),
            Err(Code::PreconditionRequired)
        );
    }
}
