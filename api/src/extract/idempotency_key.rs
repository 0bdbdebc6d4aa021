//! The `Idempotency-Key` header: [`IdempotencyKey`].

use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};

const NAME: &str = "idempotency-key";
/// Of a bare key, and with the quotes of a quoted one.
pub const MAX_LENGTH: usize = 257;
/// Accepts what [`IdempotencyKey::from_headers`] accepts.
pub const PATTERN: &str = r#"^(?:"[!#-~]{1,255}"|[!#-~]{1,255})$"#;

/// The client's name for one request: 1 to 255 visible ASCII characters. Quoted (as in the IETF draft) and bare are the
/// same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// # Errors
    /// 400 if it is missing, given twice or invalid.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(NAME).iter();
        let value = values.next().ok_or_else(|| {
            ApiError::new(
                Code::IdempotencyKeyMissing,
                "Send an Idempotency-Key header, such as a new UUID, and send the same one when you repeat this request.",
            )
        })?;
        if values.next().is_some() {
            return Err(invalid());
        }
        let text = value.to_str().map_err(|_| invalid())?;
        let bare = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or_else(invalid)?,
            None => text,
        };
        let visible = bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        if !visible || !(1..=255).contains(&bare.len()) {
            return Err(invalid());
        }
        Ok(Self(bare.to_owned()))
    }
}

fn invalid() -> ApiError {
    ApiError::new(
        Code::IdempotencyKeyInvalid,
        "Send one Idempotency-Key of 1 to 255 visible ASCII characters, quoted or bare.",
    )
}

impl FromRequestParts<AppState> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        Self::from_headers(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn parse(values: &[&[u8]]) -> Result<IdempotencyKey, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        IdempotencyKey::from_headers(&headers).map_err(|error| error.code())
    }

    #[test]
    fn key_is_the_same_quoted_and_bare() {
        assert_eq!(parse(&[b"abc-1"]), parse(&[b"\"abc-1\""]));
        assert_eq!(parse(&[b"abc-1"]).unwrap().as_str(), "abc-1");
    }

    #[test]
    fn key_is_refused_unless_it_is_one_and_visible() {
        assert_eq!(parse(&[]), Err(Code::IdempotencyKeyMissing));
        let long = [b'a'; 256];
        let bad: [&[&[u8]]; 8] = [
            &[b""],
            &[b"\"\""],
            &[b"\"open"],
            &[b"two words"],
            &[b"in\"side"],
            &["schlüssel".as_bytes()],
            &[&long],
            &[b"one", b"two"],
        ];
        for values in bad {
            assert_eq!(
                parse(values),
                Err(Code::IdempotencyKeyInvalid),
                "{values:?}"
            );
        }
        assert!(parse(&[&long[..255]]).is_ok());
    }
}
