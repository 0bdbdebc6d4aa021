//! Everything that goes wrong, as RFC 9457 problem JSON: [`ApiError`]. The only file that knows the status codes of failures.
//!
//! A handler's error travels to the edge inside its response and is written there, where the request id is known:
//! see [`ApiError::render`]. Two audiences: `detail` is for the user; the cause goes to the log, once, and nowhere else.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use base::db::{self, SqlError};
use schemars::JsonSchema;
use serde::Serialize;
use std::{borrow::Cow, error::Error, sync::Arc};

/// The statuses of success, so that no other file spells a status out.
pub mod success {
    use axum::http::StatusCode;

    pub const OK: StatusCode = StatusCode::OK;
    pub const CREATED: StatusCode = StatusCode::CREATED;
    pub const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
    pub const MULTI_STATUS: StatusCode = StatusCode::MULTI_STATUS;
    pub const NO_CONTENT: StatusCode = StatusCode::NO_CONTENT;
    pub const NOT_MODIFIED: StatusCode = StatusCode::NOT_MODIFIED;
}

/// The media type of every failure.
pub const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($name:ident $code:literal $status:ident $title:literal;)*) => {
        /// What went wrong, for programs: stable, and listed in the README.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($name),* }

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
    InvalidParameter "INVALID_PARAMETER" BAD_REQUEST "A parameter cannot be used";
    IdempotencyKeyMissing "IDEMPOTENCY_KEY_MISSING" BAD_REQUEST "This operation needs an Idempotency-Key";
    IdempotencyKeyInvalid "IDEMPOTENCY_KEY_INVALID" BAD_REQUEST "The Idempotency-Key cannot be used";
    Unauthenticated "UNAUTHENTICATED" UNAUTHORIZED "A valid session is needed";
    LoginRefused "LOGIN_REFUSED" UNAUTHORIZED "The log-in was refused";
    Forbidden "FORBIDDEN" FORBIDDEN "Your role does not allow this";
    NotOperator "NOT_OPERATOR" FORBIDDEN "Only operators of this installation may do this";
    NotFound "NOT_FOUND" NOT_FOUND "There is nothing here";
    MethodNotAllowed "METHOD_NOT_ALLOWED" METHOD_NOT_ALLOWED "This method is not offered here";
    RequestTimeout "REQUEST_TIMEOUT" REQUEST_TIMEOUT "The request did not arrive in time";
    Conflict "CONFLICT" CONFLICT "The present state does not allow this";
    IdempotencyKeyInFlight "IDEMPOTENCY_KEY_IN_FLIGHT" CONFLICT "The first request with this key is still at work";
    Gone "GONE" GONE "This is no longer available";
    PreconditionFailed "PRECONDITION_FAILED" PRECONDITION_FAILED "It was changed in the meantime";
    BodyTooLarge "BODY_TOO_LARGE" PAYLOAD_TOO_LARGE "The body is too large";
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" UNSUPPORTED_MEDIA_TYPE "This media type is not accepted here";
    InvalidBody "INVALID_BODY" UNPROCESSABLE_ENTITY "The body does not fit this operation";
    NotAMail "NOT_A_MAIL" UNPROCESSABLE_ENTITY "The message is not a mail";
    InvalidRules "INVALID_RULES" UNPROCESSABLE_ENTITY "The rule set cannot be used";
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED" UNPROCESSABLE_ENTITY "The Idempotency-Key was used for another request";
    ExternalIdReused "EXTERNAL_ID_REUSED" UNPROCESSABLE_ENTITY "The external id names other work";
    PreconditionRequired "PRECONDITION_REQUIRED" PRECONDITION_REQUIRED "This operation needs an If-Match header";
    TooManyRequests "TOO_MANY_REQUESTS" TOO_MANY_REQUESTS "Too many requests";
    HeadersTooLarge "HEADERS_TOO_LARGE" REQUEST_HEADER_FIELDS_TOO_LARGE "The request's headers are too large";
    Internal "INTERNAL" INTERNAL_SERVER_ERROR "Something broke on our side";
    NotConfigured "NOT_CONFIGURED" NOT_IMPLEMENTED "This installation does not offer this";
    Overloaded "OVERLOADED" SERVICE_UNAVAILABLE "Too much is going on right now";
    Unavailable "UNAVAILABLE" SERVICE_UNAVAILABLE "The service cannot answer right now";
    Timeout "TIMEOUT" GATEWAY_TIMEOUT "The request took too long";
}

/// A refusal or a failure on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u32>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// One fault of a body or a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// JSON pointer into the body, or `?name` for a query parameter.
    pub pointer: String,
    pub code: String,
    pub detail: String,
}

/// The JSON of every failure (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    pub r#type: String,
    pub title: String,
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// Stable and machine-readable.
    pub code: String,
    /// Names this request in the log, its jobs and the audit.
    pub request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl ApiError {
    /// `detail` is read by the user: what happened and what to do, no internals.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
            cause: None,
        }
    }

    /// Our fault; the user can only report the request id.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "An unexpected fault occurred. Try again; if it stays, report the request id.",
        )
        .caused_by(cause)
    }

    /// The same words whether it never existed or belongs to somebody else.
    pub fn not_found() -> Self {
        Self::new(
            Code::NotFound,
            "Nothing was found at this address. Check the path and the id.",
        )
    }

    /// For the operator's log; the client never sees it.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    #[must_use]
    pub fn at(
        mut self,
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        self.errors.push(FieldError {
            pointer: pointer.into(),
            code: code.into(),
            detail: detail.into(),
        });
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong field by field.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// The error that a response carries, or what its status says when a library made it.
    pub fn of<B>(response: &Response<B>) -> Option<Arc<Self>> {
        if let Some(error) = response.extensions().get::<Arc<Self>>() {
            return Some(error.clone());
        }
        let status = response.status();
        if status.is_success() || status.is_redirection() || status.is_informational() {
            return None;
        }
        let code = Code::ALL
            .iter()
            .copied()
            .find(|code| code.status() == status)
            .unwrap_or(if status.is_server_error() {
                Code::Internal
            } else {
                Code::MalformedRequest
            });
        Some(Arc::new(Self::new(
            code,
            "The request was not accepted. Check it against /openapi.json.",
        )))
    }

    /// The same faults as those of a part of the body, which lies at `pointer`.
    #[must_use]
    pub fn below(mut self, pointer: &str) -> Self {
        for error in &mut self.errors {
            error.pointer.insert_str(0, pointer);
        }
        self
    }

    /// What the client is told. `instance` is a path without its query, which may hold what must not be repeated.
    pub fn problem(&self, request_id: &str, instance: &str) -> Problem {
        Problem {
            r#type: format!("urn:postroom:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.to_string(),
            instance: instance.to_owned(),
            code: self.code.as_str().to_owned(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    /// The whole answer.
    pub fn render(&self, request_id: &str, instance: &str) -> Response<Body> {
        let status = self.code.status();
        let problem = self.problem(request_id, instance);
        let body = serde_json::to_vec(&problem).expect("a problem is plain strings");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Bearer realm="postroom""#),
            );
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// Only the status and the error itself; [`ApiError::render`] writes the body at the edge.
    fn into_response(self) -> Response<Body> {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        if db::is_transient(&error) {
            // Never a 401 or 404 for a database that does not answer: clients would throw good tokens away.
            Self::new(
                Code::Unavailable,
                "The service cannot reach its database. Try again in a moment.",
            )
            .retry_after(1)
            .caused_by(error)
        } else {
            Self::internal(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_screaming_snake_case() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(
                text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'),
                "{text}"
            );
        }
    }

    #[test]
    fn the_cause_is_not_in_the_answer() {
        let error = ApiError::internal("secret cause");
        assert!(error.cause().is_some());
        let response = error.render("r-12345678", "/v1/jobs");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn a_library_s_refusal_is_told_by_its_status() {
        let response = Response::builder().status(413).body(()).unwrap();
        assert_eq!(ApiError::of(&response).unwrap().code(), Code::BodyTooLarge);
        let response = Response::builder().status(418).body(()).unwrap();
        assert_eq!(
            ApiError::of(&response).unwrap().code(),
            Code::MalformedRequest
        );
        let response = Response::builder().status(304).body(()).unwrap();
        assert!(ApiError::of(&response).is_none());
    }
}
