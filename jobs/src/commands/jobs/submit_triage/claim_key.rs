//! How every request under a key begins: [`claim_key`].

use super::{SubmitError, SubmitOutcome, Submitted};
use crate::store::request_keys::{self, RequestKey};
use sqlx::PgConnection;

/// Claims the key of a request for the transaction that does its work. Returns the stored answer if the same request was
/// answered before: then there is nothing left to do.
///
/// # Errors
/// If another request used the key or is using it.
pub(in crate::commands) async fn claim_key(
    conn: &mut PgConnection,
    key: &RequestKey<'_>,
    fingerprint: &[u8; 32],
) -> Result<Option<Submitted>, SubmitError> {
    if request_keys::claim(conn, key, fingerprint).await? {
        return Ok(None);
    }
    let stored = request_keys::find(conn, key).await?;
    if stored.fingerprint != fingerprint {
        return Err(SubmitError::KeyReused);
    }
    let replayed = Submitted::new(stored.answer, SubmitOutcome::Replayed);
    Ok(Some(replayed))
}
