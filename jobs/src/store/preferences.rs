//! What each user wants for themselves; columns of `users`.

use crate::domain::{UserId, follow_up::Reminder};
use base::TenantId;
use chrono::{DateTime, NaiveTime, Utc};
use sqlx::PgConnection;

/// A user's own preferences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// An IANA name.
    pub timezone: String,
    /// After how many days without an answer the user is reminded of an email they sent; `None` never.
    pub follow_up_days: Option<i16>,
    pub follow_up: Reminder,
    /// When the digest comes, in the user's time zone; `None` never.
    pub digest_at: Option<NaiveTime>,
    /// Whether the digest is sent by email too.
    pub digest_by_email: bool,
}

/// # Errors
/// When the database does not answer, or has no such user.
pub async fn find(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
) -> Result<Preferences, sqlx::Error> {
    sqlx::query_as!(
        Preferences,
        r#"
        select timezone, follow_up_days, follow_up as "follow_up: Reminder", digest_at, digest_by_email
        from users where tenant_id = $1 and id = $2
        "#,
        tenant.0,
        user.0,
    )
    .fetch_one(conn)
    .await
}

/// Replaces the preferences. `next_digest_at` is the next moment at which it is `digest_at` there, set exactly with it.
pub async fn put(
    conn: &mut PgConnection,
    tenant: TenantId,
    user: UserId,
    preferences: &Preferences,
    next_digest_at: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users
         set timezone = $3, follow_up_days = $4, follow_up = $5, digest_at = $6, digest_by_email = $7, next_digest_at = $8
         where tenant_id = $1 and id = $2",
        tenant.0,
        user.0,
        preferences.timezone,
        preferences.follow_up_days,
        preferences.follow_up.as_str(),
        preferences.digest_at,
        preferences.digest_by_email,
        next_digest_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}
