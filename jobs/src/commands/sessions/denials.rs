//! Auditing requests that the role does not allow: [`record_denial`].
//!
//! Writes on a connection of its own, since the refused request has no transaction. Capped per user: a client that
//! repeats a refused request all day would fill the audit log, which nothing can empty.

use crate::domain::ResourceKind;
use crate::{
    domain::{
        AuditAction, Detail, Session, UserId,
        session::{Origin, Scope},
    },
    store::audit,
};
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(60);
const PER_WINDOW: u32 = 20;
/// Above that many users, those whose window is over are dropped.
const MANY: usize = 10_000;

/// Counts each user's recent denials in this process.
#[derive(Debug, Default)]
pub struct Denials {
    recent: Mutex<HashMap<UserId, (Instant, u32)>>,
}

/// Writes that `operation`, which needs `scope`, was refused with this `code`; unless the user was refused too often in
/// the last minute. The last entry before the cap says so.
///
/// # Errors
/// If the database does not answer; the request is refused all the same.
pub async fn record_denial(
    pool: &PgPool,
    denials: &Denials,
    session: &Session,
    operation: &'static str,
    scope: Scope,
    code: &'static str,
    origin: &Origin,
) -> Result<(), sqlx::Error> {
    let nth = denials.count(session.user, Instant::now());
    if nth > PER_WINDOW {
        return Ok(());
    }
    let entry = session
        .audit(AuditAction::AuthzFail, ResourceKind::Operation, operation)
        .denied(code)
        .with_origin(origin)
        .with_detail(
            Detail::new()
                .word("scope", scope.as_str())
                .word("role", session.caller.as_str())
                .flag("more_are_left_out", nth == PER_WINDOW),
        );
    audit::insert(&mut *pool.acquire().await?, &[entry]).await
}

impl Denials {
    /// Returns the number of this denial within the user's window, from 1.
    fn count(&self, user: UserId, now: Instant) -> u32 {
        // A panic elsewhere leaves at worst a count that is one off.
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() > MANY {
            recent.retain(|_, (began, _)| now.duration_since(*began) < WINDOW);
        }
        let (began, count) = recent.entry(user).or_insert((now, 0));
        if now.duration_since(*began) >= WINDOW {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_counted_per_user_and_window() {
        let denials = Denials::default();
        let (ada, eve) = (UserId::new(), UserId::new());
        let start = Instant::now();
        for nth in 1..=30 {
            assert_eq!(denials.count(ada, start), nth);
        }
        assert_eq!(denials.count(eve, start), 1);
        assert_eq!(denials.count(ada, start + WINDOW), 1);
    }
}
