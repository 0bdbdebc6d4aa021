//! From a key's token to the session of one request: [`authenticate_key`], the first step of a request with a key.

use crate::{
    commands::sessions::authenticate::{AuthenticateError, Refusal},
    domain::{ApiKeyToken, Session},
    store::api_keys::{self, KeyState},
};
use sqlx::PgPool;
use std::net::IpAddr;

/// Returns what a key may do, if it is valid from this address.
///
/// # Errors
/// [`AuthenticateError::Refused`] refuses the token; the others mean that the database could not be asked.
pub async fn authenticate_key(
    pool: &PgPool,
    token: &ApiKeyToken,
    ip: Option<IpAddr>,
) -> Result<Session, AuthenticateError> {
    let mut conn = pool.acquire().await.map_err(AuthenticateError::LookUp)?;
    let (session, state) = api_keys::present(&mut conn, &token.hash(), ip)
        .await
        .map_err(AuthenticateError::LookUp)?
        .ok_or(AuthenticateError::Refused(Refusal::Unknown))?;
    match refusal(state) {
        None => Ok(session),
        Some(refusal) => Err(AuthenticateError::Refused(refusal)),
    }
}

const fn refusal(state: KeyState) -> Option<Refusal> {
    match state {
        KeyState::Alive => None,
        KeyState::Revoked => Some(Refusal::Revoked),
        KeyState::Expired => Some(Refusal::Expired),
        KeyState::RotatedAway => Some(Refusal::RotatedAway),
        KeyState::Closed => Some(Refusal::Closed),
        KeyState::WrongAddress => Some(Refusal::WrongAddress),
    }
}
