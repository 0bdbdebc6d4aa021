//! Guesses at the codes of a second factor, counted per user over all addresses: somebody who has the password could else guess
//! from many at once. Recovery codes are too long to guess and are not counted, so they also let the user in meanwhile.

use crate::{
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, ResourceKind, UserId,
        inbox::{ItemSource, NewItem, title_of},
        judgement::Priority,
        second_factor::TypedCode,
        session::Origin,
    },
    store::{
        audit, inbox_items,
        login_failures::{self, Subject},
    },
};
use base::TenantId;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::PgConnection;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Wrong codes of one user within the window. Three codes of a million are right at any time, so that a year of guesses finds
/// one with a probability of 2 %.
const LIMIT: i64 = 20;

/// Returns how long codes of the user's app are refused; `None` if this one may be compared. The caller holds the user's
/// row, or guesses beside each other would not see each other.
pub(in crate::commands) async fn refused_for(
    conn: &mut PgConnection,
    user: UserId,
    typed: Option<&SecretString>,
) -> Result<Option<Duration>, sqlx::Error> {
    if !typed.is_some_and(is_of_app) {
        return Ok(None);
    }
    let newest = login_failures::recent(conn, Subject::code(user), WINDOW, LIMIT - 1).await?;
    Ok((newest.failures >= LIMIT).then_some(newest.first_leaves_in))
}

/// Counts a wrong code. The one that reaches the limit is audited, and the user finds it in their inbox: their password is
/// known to somebody.
pub(in crate::commands) async fn count(
    conn: &mut PgConnection,
    (tenant, user): (TenantId, UserId),
    typed: Option<&SecretString>,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    if !typed.is_some_and(is_of_app) {
        return Ok(());
    }
    let subject = Subject::code(user);
    let at = login_failures::book(conn, &[subject]).await?;
    let newest = login_failures::recent(conn, subject, WINDOW, LIMIT).await?;
    if newest.failures != LIMIT {
        return Ok(());
    }
    let action = AuditAction::LoginLock;
    let entry = NewAuditEntry::new(tenant, Actor::Anonymous, action, ResourceKind::User, user)
        .with_origin(origin)
        .denied("SECOND_FACTOR_THROTTLED")
        .with_detail(Detail::new().count("failures", newest.failures));
    audit::insert(conn, &[entry]).await?;
    inbox_items::insert(conn, tenant, &warning(user, at)).await?;
    Ok(())
}

fn is_of_app(typed: &SecretString) -> bool {
    matches!(TypedCode::parse(typed), Some(TypedCode::App(_)))
}

fn warning(user: UserId, at: DateTime<Utc>) -> NewItem {
    NewItem {
        owner: Some(user),
        source: ItemSource::Manual,
        dedupe_key: format!("second_factor:{}", at.date_naive()),
        title: title_of("Somebody has your password and guesses the code of your second factor"),
        rationale: format!(
            "{LIMIT} wrong codes within a day came with your password. Change your password, unless all of them were yours. \
             For up to a day, codes of your app are refused from addresses that you have not logged in from, and to confirm \
             your password; recovery codes work."
        ),
        priority: Priority::Urgent,
        message: None,
        job: None,
    }
}
