//! A password that was right stays right until what it opens is committed: [`begin_if_unchanged`].

use super::hashing::{HashingError, PasswordHasher};
use crate::{
    domain::{UserId, password::Verified},
    store::users,
};
use base::TenantId;
use secrecy::SecretString;
use sqlx::{PgPool, Postgres, Transaction};

/// Locks the user and reads their hash again: comparing the password takes a while, and nothing must be done with one that was
/// changed meanwhile, since the change has already ended the user's sessions. Returns the transaction with the present hash;
/// nothing if the password is no longer theirs or they are suspended.
///
/// # Errors
/// If the password cannot be compared again, or the database refuses.
pub(in crate::commands) async fn begin_if_unchanged<E>(
    pool: &PgPool,
    hasher: &PasswordHasher,
    (tenant, user): (TenantId, UserId),
    mut verified: String,
    password: &SecretString,
) -> Result<Option<(Transaction<'static, Postgres>, String)>, E>
where
    E: From<HashingError> + From<sqlx::Error>,
{
    // A request beside this one may have stored a new hash of the same password, once.
    for _ in 0..2 {
        let mut tx = pool.begin().await?;
        users::lock(&mut tx, tenant, user).await?;
        let Some(present) = users::password_hash(&mut tx, tenant, user).await? else {
            return Ok(None);
        };
        if present == verified {
            return Ok(Some((tx, present)));
        }
        tx.rollback().await?;
        let again = hasher
            .verify(Some(present.clone()), password.clone())
            .await?;
        if again == Verified::Wrong {
            return Ok(None);
        }
        verified = present;
    }
    Ok(None)
}
