//! Every failure as RFC 9457 problem JSON: [`ApiError`]. The only module that knows the status codes of failures.
//!
//! A handler's error travels to the edge inside its response and is written there, where the request id is known:
//! see [`ApiError::render`]. Two audiences: `detail` is for the user; the cause goes to the log, once, and nowhere else.

mod code;

pub use code::Code;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use base::db::{self, SqlError};
use queue::EnqueueError;
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

/// A refusal or a failure on its way to the client.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u32>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// One fault in a body, a parameter or a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// JSON pointer into the body, `?name` for a query parameter, or the name of a header.
    pub pointer: String,
    /// Stable and machine-readable, such as `MISSING_FIELD`.
    #[schemars(regex(pattern = "^[A-Z][A-Z0-9_]*$"))]
    pub code: String,
    pub detail: String,
}

/// The body of every failure (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// `urn:postroom:problem:` and the code.
    pub r#type: String,
    /// The same for every occurrence of a code.
    pub title: String,
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// The path of the request.
    pub instance: String,
    /// Stable and machine-readable.
    pub code: Code,
    /// Names this request in logs, jobs and the audit log.
    pub request_id: String,
    /// What is wrong, field by field; empty if no field is at fault.
    pub errors: Vec<FieldError>,
}

impl ApiError {
    /// `detail` tells the user what happened and what to do, without internals.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: None,
            cause: None,
        }
    }

    /// A fault of ours; the user can only report the request id.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "Something went wrong on our side. Try again; if it happens again, report the request id.",
        )
        .caused_by(cause)
    }

    /// The same text whether it never existed or belongs to another tenant.
    pub fn not_found() -> Self {
        Self::new(
            Code::NotFound,
            "Nothing was found at this path. Check the path and the id.",
        )
    }

    /// Adds the cause for the operators' log; the client never sees it.
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

    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds
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

    /// Returns the error that a response carries, or one for its status if a library made the response.
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
            "The request was refused. Check it against /docs.",
        )))
    }

    /// Moves all pointers below `pointer`, for faults in a part of the body.
    #[must_use]
    pub fn below(mut self, pointer: &str) -> Self {
        for error in &mut self.errors {
            error.pointer.insert_str(0, pointer);
        }
        self
    }

    /// Moves all pointers from the body to the query, for fields that were sent as parameters.
    #[must_use]
    pub fn in_query(mut self) -> Self {
        if self.code == Code::InvalidBody {
            self.code = Code::InvalidParameter;
        }
        for error in &mut self.errors {
            if let Some(name) = error.pointer.strip_prefix('/') {
                error.pointer = format!("?{name}");
            }
        }
        self
    }

    /// The body for the client. `instance` is a path without its query, which may hold secrets.
    pub fn problem(&self, request_id: &str, instance: &str) -> Problem {
        Problem {
            r#type: format!("urn:postroom:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.to_string(),
            instance: instance.to_owned(),
            code: self.code,
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    /// Writes the whole response.
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
            // Never 401 or 404 while the database does not answer: clients would discard good tokens.
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

impl From<EnqueueError> for ApiError {
    /// For routes that name no external id: there the key of another request's work is a fault of ours.
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(source) => source.into(),
            error @ EnqueueError::DedupeKeyLocked(_) => Self::new(
                Code::Conflict,
                "The same request is still running. Repeat it in a moment.",
            )
            .retry_after(1)
            .caused_by(error),
            other => Self::internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_is_not_in_the_response() {
        let error = ApiError::internal("secret cause");
        assert!(error.cause().is_some());
        let response = error.render("r-12345678", "/v1/jobs");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn fault_of_a_field_is_one_of_a_parameter_if_it_was_sent_as_one() {
        let fault = |code| ApiError::new(code, "").at("/run_at", "INVALID_VALUE", "");
        let moved = fault(Code::InvalidBody).in_query();
        assert_eq!(moved.code(), Code::InvalidParameter);
        assert_eq!(moved.errors()[0].pointer, "?run_at");
        assert_eq!(
            fault(Code::ExternalIdReused).in_query().code(),
            Code::ExternalIdReused
        );
    }

    #[test]
    fn response_of_a_library_becomes_a_problem_by_its_status() {
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
