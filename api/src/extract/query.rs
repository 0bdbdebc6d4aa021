//! The query string: [`StrictQuery`] refuses unknown parameters.

use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

/// Parameters of type `T`, which denies unknown fields: a token in a query string is one.
#[derive(Clone, Debug)]
pub struct StrictQuery<T>(pub T);

impl<T: DeserializeOwned> StrictQuery<T> {
    /// # Errors
    /// 400 if a parameter is unknown, given twice or cannot be read, or holds U+0000, which Postgres cannot take. The
    /// value is not repeated.
    pub fn parse(uri: &Uri) -> Result<Self, ApiError> {
        Self::parse_text(uri.query().unwrap_or_default())
    }

    /// # Errors
    /// As [`StrictQuery::parse`].
    pub fn parse_text(query: &str) -> Result<Self, ApiError> {
        let refusal = || {
            ApiError::new(
                Code::InvalidParameter,
                "A query parameter is unknown, repeated or invalid. Check the parameters against /docs.",
            )
        };
        if query.contains("%00") {
            return Err(refusal());
        }
        let uri: Uri = format!("/?{query}").parse().map_err(|_| refusal())?;
        // The rejection is dropped, not logged: it may quote a value that should never have been in a URL.
        let Query(query) = Query::try_from_uri(&uri).map_err(|_| refusal())?;
        Ok(Self(query))
    }
}

impl<T: DeserializeOwned> FromRequestParts<AppState> for StrictQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        Self::parse(&parts.uri)
    }
}

/// For operations that take no query parameters and refuse any.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}
