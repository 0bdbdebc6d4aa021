//! The codes of failures: [`Code`]. Each has one status and one title.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

macro_rules! codes {
    ($($name:ident $code:literal $status:ident $title:literal;)*) => {
        /// What went wrong, for programs: stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
        #[schemars(rename = "ErrorCode")]
        pub enum Code { $(#[serde(rename = $code)] $name),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// The same for every occurrence; what is particular to one is its detail.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    MalformedRequest "MALFORMED_REQUEST" BAD_REQUEST "The request cannot be read";
    MalformedJson "MALFORMED_JSON" BAD_REQUEST "The body is not strict JSON";
    InvalidParameter "INVALID_PARAMETER" BAD_REQUEST "A parameter is invalid";
    IdempotencyKeyMissing "IDEMPOTENCY_KEY_MISSING" BAD_REQUEST "The Idempotency-Key header is missing";
    IdempotencyKeyInvalid "IDEMPOTENCY_KEY_INVALID" BAD_REQUEST "The Idempotency-Key is invalid";
    Unauthenticated "UNAUTHENTICATED" UNAUTHORIZED "A valid session is required";
    LoginRefused "LOGIN_REFUSED" UNAUTHORIZED "The log-in was refused";
    SecondFactorRequired "SECOND_FACTOR_REQUIRED" UNAUTHORIZED "A code of the second factor is required";
    TokenRefused "TOKEN_REFUSED" UNAUTHORIZED "The identity provider's token was refused";
    NoUser "NO_USER" FORBIDDEN "The tenant has no such user";
    Forbidden "FORBIDDEN" FORBIDDEN "Your role or API key does not allow this";
    ConfirmationRequired "CONFIRMATION_REQUIRED" FORBIDDEN "The password must be confirmed first";
    EnrolmentRequired "ENROLMENT_REQUIRED" FORBIDDEN "A second factor must be enrolled first";
    TenantPaused "TENANT_PAUSED" FORBIDDEN "The tenant is paused";
    NotYours "NOT_YOURS" FORBIDDEN "It belongs to another user";
    OwnRequest "OWN_REQUEST" FORBIDDEN "Another person must approve this";
    NotOperator "NOT_OPERATOR" FORBIDDEN "Only operators of this installation may do this";
    NotFound "NOT_FOUND" NOT_FOUND "Not found";
    MethodNotAllowed "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED "The method is not allowed on this path";
    RequestTimeout "REQUEST_TIMEOUT" REQUEST_TIMEOUT "The request did not arrive in time";
    Conflict "CONFLICT" CONFLICT "The current state does not allow this";
    IdempotencyKeyInFlight "IDEMPOTENCY_KEY_IN_FLIGHT" CONFLICT "The first request with this key is still running";
    DedupeKeyInFlight "DEDUPE_KEY_IN_FLIGHT" CONFLICT "Another request with this dedupe_key is still running";
    Gone "GONE" GONE "The resource is no longer available";
    PreconditionFailed "PRECONDITION_FAILED" PRECONDITION_FAILED "The resource was changed in the meantime";
    BodyTooLarge "BODY_TOO_LARGE" PAYLOAD_TOO_LARGE "The body is too large";
    TargetTooLong "TARGET_TOO_LONG" URI_TOO_LONG "The path and the query are too long";
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" UNSUPPORTED_MEDIA_TYPE "The media type is not supported";
    InvalidBody "INVALID_BODY" UNPROCESSABLE_ENTITY "The body is invalid";
    NotAnEmail "NOT_AN_EMAIL" UNPROCESSABLE_ENTITY "The message is not an email";
    InvalidRules "INVALID_RULES" UNPROCESSABLE_ENTITY "The rule set is invalid";
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" UNPROCESSABLE_ENTITY "The Idempotency-Key was used for another request";
    ExternalIdReused "EXTERNAL_ID_REUSED" UNPROCESSABLE_ENTITY "The external_id was used for other work";
    PreconditionRequired "PRECONDITION_REQUIRED" PRECONDITION_REQUIRED "The If-Match header is missing";
    TooManyRequests "TOO_MANY_REQUESTS" TOO_MANY_REQUESTS "Too many requests";
    HeadersTooLarge "HEADERS_TOO_LARGE" REQUEST_HEADER_FIELDS_TOO_LARGE "The request headers are too large";
    Internal "INTERNAL" INTERNAL_SERVER_ERROR "Internal error";
    NotConfigured "NOT_CONFIGURED" NOT_IMPLEMENTED "This installation does not offer this";
    Overloaded "OVERLOADED" SERVICE_UNAVAILABLE "The service is overloaded";
    Unavailable "UNAVAILABLE" SERVICE_UNAVAILABLE "The service is unavailable";
    Timeout "TIMEOUT" GATEWAY_TIMEOUT "The request took too long";
}

impl Code {
    /// Whether the session was known and not allowed to do what it asked for.
    pub fn is_denial(self) -> bool {
        self.status() == StatusCode::FORBIDDEN
    }

    /// The variant's name, for names that are made from it.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_in_screaming_snake_case() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(
                text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
                "{text}"
            );
        }
    }
}
