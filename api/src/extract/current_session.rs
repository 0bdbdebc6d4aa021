//! The session that a request speaks for: [`CurrentSession`].

use crate::{
    AppState,
    error::{ApiError, Code},
};
use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::domain::session::{Scope, Session};
use std::convert::Infallible;

/// A living session whose role carries the operation's scope: [`establish`] has seen to that before the handler runs.
#[derive(Clone, Debug)]
pub struct CurrentSession(pub Session);

/// Puts the [`CurrentSession`] into the request.
///
/// # Errors
/// 401 without a living session, 403 if its role does not carry `scope`, 503 if the database cannot be asked.
#[expect(
    clippy::unused_async,
    reason = "the look-up lands with the session commands"
)]
pub async fn establish(_: &AppState, _: &mut Parts, _: Scope) -> Result<(), ApiError> {
    Err(ApiError::new(Code::Unauthenticated, "Sign in first."))
}

impl FromRequestParts<AppState> for CurrentSession {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        Ok(parts
            .extensions
            .get::<Self>()
            .expect("only operations that need a session ask for it")
            .clone())
    }
}
