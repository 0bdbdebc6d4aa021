//! `login_failures`: recent failed logins per account and per network address.
//!
//! An attempt is recorded as a failure *before* its password is checked, and removed if it was right: parallel guesses
//! cannot overtake the count. Stores only hashes; decides nothing (see `commands::log_in`).

use crate::domain::UserId;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::{net::IpAddr, time::Duration};

/// The subject of a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Subject([u8; 32]);

impl Subject {
    /// A user, however their address was typed: Postgres and Unicode do not agree on which letters are the same.
    pub fn user(user: UserId) -> Self {
        Self::of("user", &user.0.to_string())
    }

    /// An account that does not exist, as it was typed, so that it is counted like one that does.
    pub fn account(tenant_slug: &str, email: &str) -> Self {
        Self::of(
            "account",
            &format!("{tenant_slug}\0{}", email.to_lowercase()),
        )
    }

    /// The address; for IPv6 its /64 network, which one customer gets.
    pub fn address(ip: IpAddr) -> Self {
        let network = match ip.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("{:x?}", &v6.segments()[..4]),
        };
        Self::of("address", &network)
    }

    /// An account from one address: what a person who mistypes and a program that guesses have in common.
    pub fn account_from(self, address: Option<Self>) -> Self {
        let address = address.map_or([0; 32], |Self(hash)| hash);
        let mut hash = Sha256::new();
        hash.update("account from address");
        hash.update([0]);
        hash.update(self.0);
        hash.update(address);
        Self(hash.finalize().into())
    }

    /// The user of a session who confirms their password in it.
    pub fn confirmation(user: UserId) -> Self {
        Self::of("confirmation", &user.to_string())
    }

    /// The codes of a user's second factor, from wherever they are typed.
    pub fn code(user: UserId) -> Self {
        Self::of("code", &user.to_string())
    }

    fn of(scope: &str, value: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(scope);
        hash.update([0]);
        hash.update(value);
        Self(hash.finalize().into())
    }
}

/// The failures of a subject within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Counted up to the limit plus one.
    pub failures: i64,
    /// When the oldest of them leaves the window.
    pub first_leaves_in: Duration,
}

/// Records a failure of each subject; returns the time, which identifies these rows for [`unbook`].
pub async fn book(
    conn: &mut PgConnection,
    subjects: &[Subject],
) -> Result<DateTime<Utc>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        "insert into login_failures (subject) select * from unnest($1::bytea[]) returning at",
        &columns(subjects),
    )
    .fetch_all(conn)
    .await?;
    rows.first().copied().ok_or(sqlx::Error::RowNotFound)
}

/// Lists the subject's newest failures, at most `limit` plus one.
pub async fn recent(
    conn: &mut PgConnection,
    subject: Subject,
    window: Duration,
    limit: i64,
) -> Result<Recent, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        with newest as (
            select at from login_failures
            where subject = $1 and at > now() - make_interval(secs => $2::float8)
            order by at desc
            limit $3
        )
        select count(*) as "failures!",
            coalesce(extract(epoch from min(at) - now())::float8 + $2, 0) as "first_leaves_in!"
        from newest
        "#,
        &subject.0,
        window.as_secs_f64(),
        limit + 1,
    )
    .fetch_one(conn)
    .await?;
    Ok(Recent {
        failures: row.failures,
        first_leaves_in: Duration::from_secs_f64(row.first_leaves_in.max(0.0)),
    })
}

/// Removes a record: the attempt was not made, or was right.
pub async fn unbook(
    conn: &mut PgConnection,
    subjects: &[Subject],
    booked_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from login_failures where subject = any($1) and at = $2",
        &columns(subjects),
        booked_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes all failures of a subject.
pub async fn forget(conn: &mut PgConnection, subject: Subject) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from login_failures where subject = $1", &subject.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes up to `limit` failures older than any window; returns how many.
pub async fn purge(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from login_failures where ctid = any(array(
             select ctid from login_failures where at < now() - interval '1 day'
             order by at limit $1 for update skip locked))",
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

fn columns(subjects: &[Subject]) -> Vec<Vec<u8>> {
    subjects.iter().map(|s| s.0.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_do_not_make_another_account_nor_a_mapped_address_another_network() {
        let address = |ip: &str| Subject::address(ip.parse().unwrap());
        assert!(Subject::account("a", "Ada@x.org") == Subject::account("a", "ada@X.org"));
        assert!(Subject::account("a", "b\0c") != Subject::account("a\0b", "d"));
        assert!(address("192.0.2.1") == address("::ffff:192.0.2.1"));
        assert!(address("2001:db8::1") == address("2001:db8::ffff:1"));
        assert!(address("2001:db8::1") != address("2001:db8:0:1::1"));
    }
}
