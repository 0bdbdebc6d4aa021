//! Versions of what is served: [`strong`] names bytes, [`Versioned`] a resource by its version.

use axum::{
    Json,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use base::hex;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A resource whose version is its ETag.
pub trait HasVersion {
    fn version(&self) -> i32;
}

/// Implements [`HasVersion`] for types with a field `version`.
macro_rules! has_version {
    ($($name:ty),+ $(,)?) => {
        $(impl $crate::etag::HasVersion for $name {
            fn version(&self) -> i32 {
                self.version
            }
        })+
    };
}

pub(crate) use has_version;

/// A JSON body with its version as ETag.
#[derive(Debug)]
pub struct Versioned<T>(pub T);

impl<T: HasVersion + Serialize> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let etag = format!("\"{}\"", self.0.version());
        ([(header::ETAG, etag)], Json(self.0)).into_response()
    }
}

/// Returns an ETag that names exactly these bytes.
pub fn strong(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    format!("\"{}\"", hex(&digest[..16]))
}

/// Whether `If-None-Match` names this version, by weak comparison as RFC 9110 asks for.
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == etag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn etag_names_the_bytes_and_is_found_in_a_list_of_known_ones() {
        let etag = strong(b"one");
        assert_eq!(etag, strong(b"one"));
        assert_ne!(etag, strong(b"two"));
        let known = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::IF_NONE_MATCH,
                HeaderValue::from_str(text).expect("ASCII"),
            );
            is_known(&headers, &etag)
        };
        assert!(known(&etag) && known("*"));
        assert!(known(&format!("\"x\", W/{etag}")));
        assert!(!known("\"x\"") && !is_known(&HeaderMap::new(), &etag));
    }
}
