//! The query string: [`StrictQuery`] refuses parameters that nobody reads.

use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use serde::de::DeserializeOwned;

/// Parameters of type `T`, which denies unknown fields. A token in a query string is one of them.
#[derive(Clone, Debug)]
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> StrictQuery<T> {
    /// # Errors
    /// 400 if a parameter is unknown, given twice or cannot be read, or holds U+0000, which Postgres cannot take. The
    /// value is not repeated.
    pub fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let refusal = || {
            ApiError::new(
                Code::InvalidParameter,
                "A query parameter is unknown, repeated or cannot be read. Check them against /openapi.json.",
            )
        };
        if uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(refusal());
        }
        // The rejection is dropped, not logged: it may quote a value that should never have been in a URL.
        let Query(query) = Query::try_from_uri(uri).map_err(|_| refusal())?;
        Ok(Self(query))
    }
}

impl<T: DeserializeOwned> FromRequestParts<AppState> for StrictQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        Self::parse(&parts.uri)
    }
}
