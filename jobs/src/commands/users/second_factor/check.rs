//! Whether a typed code is the user's second factor: [`check`]. A right code is used up in the caller's transaction.
//!
//! Does not count guesses: the caller does.

use super::place;
use crate::{
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, ResourceKind, UserId,
        second_factor::{TotpSecret, TypedCode},
        session::Origin,
    },
    secrets::{KeyRing, Unsealable},
    store::{
        audit,
        second_factors::{self, StoredFactor},
    },
};
use base::TenantId;
use secrecy::SecretString;
use sqlx::PgConnection;

/// What a code is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeCheck {
    /// Right, or the user has no second factor.
    Passed,
    /// The user has a second factor, and no code was typed.
    Missing,
    /// Wrong, or used before.
    Wrong,
}

/// The code was not checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("CREDENTIAL_KEYS is not set, and a second factor is sealed with it")]
    NoKeys,
    #[error("could not open the second factor")]
    Sealed(#[from] Unsealable),
    #[error("could not read the second factor")]
    Database(#[from] sqlx::Error),
}

/// Compares what was typed with the user's second factor, and uses up a right code.
///
/// # Errors
/// If the factor cannot be read or opened; then nobody gets in without it.
pub async fn check(
    conn: &mut PgConnection,
    keys: Option<&KeyRing>,
    (tenant, user): (TenantId, UserId),
    typed: Option<&SecretString>,
    origin: &Origin,
) -> Result<CodeCheck, CheckError> {
    let factor = second_factors::find(conn, tenant, user).await?;
    let Some(factor) = factor.filter(|factor| factor.confirmed_at.is_some()) else {
        return Ok(CodeCheck::Passed);
    };
    let Some(typed) = typed else {
        return Ok(CodeCheck::Missing);
    };
    let used_up = match TypedCode::parse(typed) {
        None => false,
        Some(TypedCode::App(code)) => {
            let keys = keys.ok_or(CheckError::NoKeys)?;
            match step_of(keys, (tenant, user), &factor, &code)? {
                Some(step) => second_factors::use_step(conn, tenant, user, step).await?,
                None => false,
            }
        }
        Some(TypedCode::Recovery(code)) => {
            let right = second_factors::use_recovery_code(conn, tenant, user, &code.hash()).await?;
            if right {
                let left = factor.recovery_codes_left - 1;
                audit::insert(conn, &[recovery_code_used(tenant, user, left, origin)]).await?;
            }
            right
        }
    };
    Ok(if used_up {
        CodeCheck::Passed
    } else {
        CodeCheck::Wrong
    })
}

/// Returns the step of a code of the app; `None` if it is wrong at this time.
pub(super) fn step_of(
    keys: &KeyRing,
    (tenant, user): (TenantId, UserId),
    factor: &StoredFactor,
    code: &SecretString,
) -> Result<Option<i64>, CheckError> {
    let text = keys.open(place(tenant, user), &factor.secret)?;
    let secret = TotpSecret::parse(text).ok_or(Unsealable::Malformed)?;
    let now = u64::try_from(factor.now).unwrap_or_default();
    let step = secret.accepted_step(code, now);
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

fn recovery_code_used(tenant: TenantId, user: UserId, left: i64, origin: &Origin) -> NewAuditEntry {
    let actor = Actor::User {
        user,
        session: None,
    };
    let action = AuditAction::RecoveryCodeUsed;
    NewAuditEntry::new(tenant, actor, action, ResourceKind::User, user)
        .with_origin(origin)
        .with_detail(Detail::new().count("left", left))
}
