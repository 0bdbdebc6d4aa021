//! What an operation answers: [`SuccessResponse`] and the headers that it carries ([`ResponseHeader`]).

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

/// Writes the schema of a type into the document and refers to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A success; what can go wrong is in `Operation::errors`.
#[derive(Clone, Debug)]
pub struct SuccessResponse {
    pub status: u16,
    pub description: &'static str,
    /// The body's media type and schema.
    pub content: Option<(&'static str, SchemaOf)>,
    pub headers: Vec<ResponseHeader>,
}

/// A header that a response carries beside those that every response has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResponseHeader {
    ClearSiteData,
    ClientRequestId,
    ContentLocation,
    ETag,
    IdempotentReplayed,
    Location,
    PreferenceApplied,
    RequestId,
    RetryAfter,
    WwwAuthenticate,
}

impl ResponseHeader {
    pub const ALL: [Self; 10] = [
        Self::ClearSiteData,
        Self::ClientRequestId,
        Self::ContentLocation,
        Self::ETag,
        Self::IdempotentReplayed,
        Self::Location,
        Self::PreferenceApplied,
        Self::RequestId,
        Self::RetryAfter,
        Self::WwwAuthenticate,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::ClearSiteData => "Clear-Site-Data",
            Self::ClientRequestId => "X-Client-Request-Id",
            Self::ContentLocation => "Content-Location",
            Self::ETag => "ETag",
            Self::IdempotentReplayed => "Idempotent-Replayed",
            Self::Location => "Location",
            Self::PreferenceApplied => "Preference-Applied",
            Self::RequestId => "X-Request-Id",
            Self::RetryAfter => "Retry-After",
            Self::WwwAuthenticate => "WWW-Authenticate",
        }
    }

    pub const fn description(self) -> &'static str {
        match self {
            Self::ClearSiteData => "Tells a browser to drop what it stored for the last user.",
            Self::ClientRequestId => {
                "Your own `X-Request-Id`, if it was 1 to 128 printable ASCII characters. Kept beside ours in logs, jobs and \
                 the audit log."
            }
            Self::ContentLocation => "Path of the resource in the body.",
            Self::ETag => "Version of the resource. Send it as `If-Match` with a change.",
            Self::IdempotentReplayed => {
                "`true` if this is the stored response to an earlier request with the same key."
            }
            Self::Location => "Path of what was created; of a job, to poll it.",
            Self::PreferenceApplied => "The wait that was applied, if `Prefer: wait=N` was sent.",
            Self::RequestId => {
                "Names this request in logs, jobs and the audit log. Ours, and unique."
            }
            Self::RetryAfter => "Seconds to wait before you ask again.",
            Self::WwwAuthenticate => "The accepted scheme: `Bearer`.",
        }
    }

    /// Whether each response that declares the header carries it.
    pub const fn is_always_sent(self) -> bool {
        !matches!(
            self,
            Self::ClientRequestId
                | Self::IdempotentReplayed
                | Self::PreferenceApplied
                | Self::RetryAfter
        )
    }

    pub fn schema(self) -> Value {
        match self {
            Self::ETag => json!({ "type": "string", "pattern": "^\"[!#-~]+\"$" }),
            Self::ClientRequestId => json!({ "type": "string", "pattern": "^[ -~]{1,128}$" }),
            Self::IdempotentReplayed => json!({ "type": "string", "const": "true" }),
            Self::PreferenceApplied => json!({ "type": "string", "pattern": "^wait=[0-9]+$" }),
            Self::RequestId => json!({ "type": "string", "format": "uuid" }),
            Self::RetryAfter => json!({ "type": "integer", "minimum": 1 }),
            Self::ClearSiteData
            | Self::ContentLocation
            | Self::Location
            | Self::WwwAuthenticate => json!({ "type": "string" }),
        }
    }
}
