//! Whether two HTTP requests are the same request: [`of_request`].

use crate::route_table::Operation;
use axum::http::Uri;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The part of the body that counts.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Spacing and the order of keys make no difference (RFC 8785).
    Json(&'a Value),
    Bytes(&'a [u8]),
}

/// Hashes version, operation, path, sorted query and body. Headers do not count: they concern the transport.
///
/// # Errors
/// If a number in the body has no canonical form.
pub fn of_request(
    operation: &Operation,
    uri: &Uri,
    content: Content<'_>,
) -> Result<[u8; 32], serde_json::Error> {
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        // The length in front keeps fields apart.
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    field(b"v1");
    field(operation.method.as_str().as_bytes());
    field(operation.path.as_bytes());
    // Holds the path's parameters.
    field(uri.path().as_bytes());
    field(query.join("&").as_bytes());
    match content {
        Content::Json(value) => {
            field(b"json");
            field(&serde_json_canonicalizer::to_vec(value)?);
        }
        Content::Bytes(bytes) => {
            field(b"bytes");
            field(bytes);
        }
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route_table::{Access, Route};
    use axum::http::Method;
    use serde_json::json;

    fn fingerprint(uri: &str, content: Content<'_>) -> [u8; 32] {
        let route = Route::new(Method::POST, "/a", "a", Access::Public, async || "");
        of_request(&route.operation, &uri.parse().unwrap(), content).unwrap()
    }

    #[test]
    fn fingerprint_ignores_the_order_of_keys_and_parameters() {
        assert_eq!(
            fingerprint("/a?x=1&y=2", Content::Json(&json!({"a": 1, "b": [2]}))),
            fingerprint("/a?y=2&x=1", Content::Json(&json!({"b": [2], "a": 1.0}))),
        );
    }

    #[test]
    fn fingerprint_differs_for_anything_else() {
        let all = [
            fingerprint("/a", Content::Json(&json!({"a": 1}))),
            fingerprint("/a", Content::Json(&json!({"a": 2}))),
            fingerprint("/a", Content::Bytes(br#"{"a":1}"#)),
            fingerprint("/b", Content::Json(&json!({"a": 1}))),
            fingerprint("/a?x=1", Content::Json(&json!({"a": 1}))),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
    }
}
