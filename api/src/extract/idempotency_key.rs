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

/// The name a client gave to one request: 1 to 255 visible ASCII characters. Quoted (as the IETF draft has it) and bare
/// are the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// # Errors
    /// 400 if it is missing, given twice, or not a key.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(NAME).iter();
        let value = values.next().ok_or_else(|| {
            ApiError::new(
                Code::IdempotencyKeyMissing,
                "Send an Idempotency-Key header, such as a new UUID, and the same one when you repeat this request.",
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
    fn quoted_and_bare_are_one_key() {
        assert_eq!(parse(&[b"abc-1"]), parse(&[b"\"abc-1\""]));
        assert_eq!(parse(&[b"abc-1"]).unwrap().as_str(), "abc-1");
    }

    #[test]
    fn what_is_no_single_key_is_refused() {
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
