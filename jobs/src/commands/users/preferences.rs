//! Changing a user's own preferences, with an audit entry.

use crate::{
    domain::{AuditAction, Detail, ResourceKind, Session, digest, draft::send_at::zone},
    store::{
        audit,
        preferences::{self, Preferences},
    },
};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// Replaces the preferences of the session's user. The next digest comes at the next time that is chosen now; a day that has
/// a digest gets no second one.
///
/// # Errors
/// If the database refuses; then nothing was changed.
pub async fn put_preferences(
    pool: &PgPool,
    session: &Session,
    preferences: &Preferences,
    now: DateTime<Utc>,
    request_id: &str,
) -> Result<(), sqlx::Error> {
    let zone = zone(&preferences.timezone);
    let next = preferences.digest_at.map(|at| digest::next(zone, at, now));
    let mut tx = pool.begin().await?;
    preferences::put(&mut tx, session.tenant, session.user, preferences, next).await?;
    let entry = session
        .audit(
            AuditAction::PreferencesChanged,
            ResourceKind::User,
            session.user,
        )
        .with_request(Some(request_id))
        .with_detail(
            Detail::new()
                .count("follow_up_days", preferences.follow_up_days.unwrap_or(0))
                .word("follow_up", preferences.follow_up.as_str())
                .flag("digest", preferences.digest_at.is_some())
                .flag("digest_by_email", preferences.digest_by_email),
        );
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await
}
