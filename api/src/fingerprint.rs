//! What makes two HTTP requests the same request: [`of_request`].

use crate::route_table::Operation;
use axum::http::Uri;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The body as far as it counts.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Spacing and the order of keys make no difference (RFC 8785).
    Json(&'a Value),
    Bytes(&'a [u8]),
}

/// SHA-256 over version, operation, path, query in sorted order, and body. Headers do not count: they are about the
/// transport.
///
/// # Errors
/// If a number of the body has no canonical form.
pub fn of_request(
    operation: &Operation,
    uri: &Uri,
    content: Content<'_>,
) -> Result<[u8; 32], serde_json::Error> {
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        // With its length in front, no field can run into the next one.
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
    fn order_of_keys_and_of_parameters_makes_no_difference() {
        assert_eq!(
            fingerprint("/a?x=1&y=2", Content::Json(&json!({"a": 1, "b": [2]}))),
            fingerprint("/a?y=2&x=1", Content::Json(&json!({"b": [2], "a": 1.0}))),
        );
    }

    #[test]
    fn anything_else_makes_another_request() {
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
