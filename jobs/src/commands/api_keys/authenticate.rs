//! From a key's token to the session of one request: [`authenticate_key`], the first step of a request with a key.

use crate::{
    commands::sessions::authenticate::{AuthenticateError, Refusal},
    domain::{ApiKeyToken, Session},
    store::api_keys::{self, KeyStanding},
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
    let (session, standing) = api_keys::present(&mut conn, &token.hash(), ip)
        .await
        .map_err(AuthenticateError::LookUp)?
        .ok_or(AuthenticateError::Refused(Refusal::Unknown))?;
    match refusal(standing) {
        None => Ok(session),
        Some(refusal) => Err(AuthenticateError::Refused(refusal)),
    }
}

const fn refusal(standing: KeyStanding) -> Option<Refusal> {
    match standing {
        KeyStanding::Alive => None,
        KeyStanding::Revoked => Some(Refusal::Revoked),
        KeyStanding::Expired => Some(Refusal::Expired),
        KeyStanding::RotatedAway => Some(Refusal::RotatedAway),
        KeyStanding::Closed => Some(Refusal::Closed),
        KeyStanding::WrongAddress => Some(Refusal::WrongAddress),
    }
}
