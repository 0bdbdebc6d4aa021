//! The query string: [`StrictQuery`] refuses unknown parameters.

use super::mismatch::Mismatch;
use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use schemars::JsonSchema;
use serde::{
    Deserialize,
    de::{DeserializeOwned, value},
};
use std::{error::Error, iter::successors};

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
        if let Some(pair) = query.split('&').find(|pair| pair.contains("%00")) {
            let name = pair.split('=').next().unwrap_or_default();
            return Err(refusal().at(pointer(name), "NUL", "Must not contain U+0000."));
        }
        let uri: Uri = format!("/?{query}").parse().map_err(|_| refusal())?;
        // The rejection is dropped, not logged: it may quote a value that should never have been in a URL.
        let Query(query) = Query::try_from_uri(&uri).map_err(|rejection| at_fault(&rejection))?;
        Ok(Self(query))
    }
}

fn refusal() -> ApiError {
    ApiError::new(
        Code::InvalidParameter,
        "A query parameter is unknown, repeated or invalid. Check the parameters against /docs.",
    )
}

/// The refusal with the parameter at fault, which axum's rejection has inside.
fn at_fault(rejection: &(dyn Error + 'static)) -> ApiError {
    let error = successors(Some(rejection), |&error| error.source())
        .find_map(|error| error.downcast_ref::<serde_path_to_error::Error<value::Error>>());
    let Some(error) = error else {
        return refusal();
    };
    let mismatch = Mismatch::of(error.path(), &error.inner().to_string());
    let Some(name) = mismatch.steps.first() else {
        return refusal();
    };
    let detail = match mismatch.code {
        // Those of a page are read apart, so that no list of all would be complete.
        "UNKNOWN_FIELD" => "Unknown parameter.".to_owned(),
        _ => mismatch.detail,
    };
    refusal().at(pointer(name), mismatch.code, detail)
}

/// Names a parameter, cut to keep the response small: it comes from the client.
fn pointer(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("?{short}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct DiffParameters {
        #[expect(dead_code, reason = "only its type matters")]
        from: i32,
        #[expect(dead_code, reason = "only its type matters")]
        dry_run: Option<bool>,
    }

    #[test]
    fn parameter_at_fault_is_named_and_its_value_is_not_repeated() {
        for (query, pointer, code, detail) in [
            (
                "from=secret",
                "?from",
                "INVALID_VALUE",
                "Must be an integer.",
            ),
            ("from=", "?from", "INVALID_VALUE", "Must be an integer."),
            (
                "from=1&dry_run=secret",
                "?dry_run",
                "INVALID_VALUE",
                "Must be true or false.",
            ),
            ("", "?from", "MISSING_FIELD", "Is required."),
            (
                "from=1&from=2",
                "?from",
                "DUPLICATE_KEY",
                "Must not occur twice.",
            ),
            (
                "from=1&to=secret",
                "?to",
                "UNKNOWN_FIELD",
                "Unknown parameter.",
            ),
            ("from=%00", "?from", "NUL", "Must not contain U+0000."),
        ] {
            let refused = StrictQuery::<DiffParameters>::parse_text(query).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidParameter, "{query}");
            let [fault] = refused.errors() else {
                panic!("{query}: one fault: {refused:?}");
            };
            let found = (&*fault.pointer, &*fault.code, &*fault.detail);
            assert_eq!(found, (pointer, code, detail), "{query}");
            assert!(!format!("{refused:?}").contains("secret"), "{query}");
        }
        let long = format!("{}=1&from=1", "x".repeat(5_000));
        let refused = StrictQuery::<DiffParameters>::parse_text(&long).unwrap_err();
        assert_eq!(refused.errors()[0].pointer.len(), 65);
    }
}
