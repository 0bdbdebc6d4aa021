//! What many operations share: parameters, response headers, and the responses of failures ([`ErrorResponses`]).

use crate::{
    cursor,
    error::{Code, PROBLEM_JSON},
    extract::{idempotency_key, paged},
    route_table::ResponseHeader,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A list of strong entity tags.
const IF_MATCH: &str = "^\"[0-9]+\"( *, *\"[0-9]+\")*$";

/// Parameters by the name of their component.
pub(super) fn parameters() -> Value {
    json!({
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": true,
            "description": "Names this request: the same key with the same request returns the stored response for 7 days, \
                            with another request 422. 1 to 255 visible ASCII characters, quoted or bare.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": idempotency_key::MAX_LENGTH,
                "pattern": idempotency_key::PATTERN,
            },
            "example": "6f1c2d3e-4b5a-4c6d-8e7f-9a0b1c2d3e4f",
        },
        "IfMatch": {
            "name": "If-Match",
            "in": "header",
            "required": true,
            "description": "The ETag of the version that you have read, or several: one of them must be the current one.",
            "schema": { "type": "string", "pattern": IF_MATCH },
            "example": "\"1\"",
        },
        "IfMatchOrAny": {
            "name": "If-Match",
            "in": "header",
            "required": true,
            "description": "The ETag of the version to replace: `\"0\"` if there is none, `*` for any.",
            "schema": { "type": "string", "pattern": "^(\"[0-9]+\"( *, *\"[0-9]+\")*|\\*)$" },
            "example": "\"1\"",
        },
        "IfMatchToReplace": {
            "name": "If-Match",
            "in": "header",
            "required": false,
            "description": "The ETag of the version to replace. Without it, only a new resource is stored.",
            "schema": { "type": "string", "pattern": IF_MATCH },
            "example": "\"1\"",
        },
        "Limit": {
            "name": "limit",
            "in": "query",
            "required": false,
            "description": "The most items to return.",
            "schema": {
                "type": "integer",
                "minimum": 1,
                "maximum": paged::MAX_LIMIT,
                "default": paged::DEFAULT_LIMIT,
            },
        },
        "Cursor": {
            "name": "cursor",
            "in": "query",
            "required": false,
            "description": "The `next_cursor` of the previous page. Keep the filters.",
            "schema": { "type": "string", "pattern": cursor::PATTERN },
        },
    })
}

/// Response headers by the name of their component.
pub(super) fn headers() -> Value {
    let all = ResponseHeader::ALL.map(|header| {
        let described = json!({
            "description": header.description(),
            "required": header.is_always_sent(),
            "schema": header.schema(),
        });
        (header.name().to_owned(), described)
    });
    Value::Object(all.into_iter().collect())
}

pub(super) fn header_references(headers: impl IntoIterator<Item = ResponseHeader>) -> Value {
    let references = headers.into_iter().map(|header| {
        let name = header.name();
        let reference = json!({ "$ref": format!("#/components/headers/{name}") });
        (name.to_owned(), reference)
    });
    Value::Object(references.collect())
}

/// The responses of failures, each set of codes of one status once.
#[derive(Default)]
pub(super) struct ErrorResponses(BTreeMap<String, Value>);

impl ErrorResponses {
    /// Refers to the response for these codes, which share one status.
    pub(super) fn reference(&mut self, codes: &[Code]) -> Value {
        let names: Vec<String> = codes.iter().map(|code| code.name()).collect();
        let name = names.join("Or");
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        self.0.entry(name).or_insert_with(|| describe(codes));
        reference
    }

    pub(super) fn into_components(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }
}

fn describe(codes: &[Code]) -> Value {
    let lines: Vec<String> = codes
        .iter()
        .map(|code| format!("`{}`: {}.", code.as_str(), code.title()))
        .collect();
    let texts: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let mut headers = vec![ResponseHeader::ClientRequestId, ResponseHeader::RequestId];
    headers.extend(codes.iter().filter_map(|code| match code {
        Code::Unauthenticated | Code::LoginRefused | Code::TokenRefused => {
            Some(ResponseHeader::WwwAuthenticate)
        }
        Code::Overloaded
        | Code::Unavailable
        | Code::TooManyRequests
        | Code::Conflict
        | Code::DedupeKeyInFlight
        | Code::IdempotencyKeyInFlight => Some(ResponseHeader::RetryAfter),
        _ => None,
    }));
    headers.sort_unstable();
    headers.dedup();
    json!({
        "description": lines.join("\n"),
        "headers": header_references(headers),
        "content": {
            PROBLEM_JSON: {
                "schema": {
                    "allOf": [{ "$ref": "#/components/schemas/Problem" }],
                    "properties": { "code": { "enum": texts } },
                },
            },
        },
    })
}
