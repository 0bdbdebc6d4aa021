//! Logging in with a password, and with a code for those who have a second factor.
//!
//! Whether tenant, user or password is wrong makes no difference to the answer, nor to the time it takes. Repeated
//! failures are slowed down: first per account from one address, so that guesses from elsewhere do not keep the owner out,
//! then per address and per account. Nobody is locked out for good. Wrong codes are counted apart, in `code_guesses`.

use super::{
    code_guesses,
    hashing::{HashingError, PasswordHasher, Verifier},
    open::{NewSession, Opened, open_session},
    signals::announce_revoked,
    unchanged::begin_if_unchanged,
};
use crate::commands::users::second_factor::{CheckError, CodeCheck, check};
use crate::domain::ResourceKind;
use crate::{
    domain::{
        Actor, AuditAction, Detail, NewAuditEntry, UserId,
        password::Verified,
        session::{AuthMethod, Origin, SessionLifetime},
    },
    store::{
        audit,
        login_failures::{self, Subject},
        sessions, tenants,
        users::{self, Credentials},
    },
};
use chrono::{DateTime, Utc};
use queue::signals::notifier::Notifier;
use secrecy::SecretString;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use std::time::Duration;

/// Failures older than this are forgiven.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Failures of one account from one address within the window; 10 guesses in 15 minutes never find a password that is not
/// common.
const PAIR_LIMIT: i64 = 10;
/// Failures of one account from all addresses; it does not count for an address that the user has logged in from.
const ACCOUNT_LIMIT: i64 = 100;
/// Failures from one address; higher, since an office shares one.
const ADDRESS_LIMIT: i64 = 100;

/// The credentials that a person typed.
#[derive(Clone, Debug)]
pub struct LogIn {
    pub tenant: String,
    pub email: String,
    pub password: SecretString,
    /// Of the second factor, for those who have one.
    pub code: Option<SecretString>,
    pub origin: Origin,
}

/// No session was opened.
#[derive(Debug, thiserror::Error)]
pub enum LogInError {
    /// Tenant, address or password is wrong, or the account is suspended.
    #[error("the log-in was refused")]
    Refused,
    /// The password is right, and a code of the second factor must come with it.
    #[error("the log-in needs a code of the second factor")]
    SecondFactorRequired,
    /// The password is right, and the code is wrong or was used before.
    #[error("the code of the second factor was refused")]
    WrongCode,
    #[error("too many log-ins failed; the next may be tried in {} s", retry_after.as_secs())]
    Throttled { retry_after: Duration },
    #[error("could not compare the password")]
    Hashing(#[from] HashingError),
    #[error("could not compare the code")]
    Code(#[from] CheckError),
    #[error("could not log in")]
    Database(#[from] sqlx::Error),
}

/// Opens a session for a user with the right password and, if they have a second factor, the right code.
///
/// # Errors
/// See [`LogInError`]; a refusal is written to the tenant's audit log.
pub async fn log_in(
    pool: &PgPool,
    notifier: &Notifier,
    verifier: Verifier<'_>,
    lifetime: SessionLifetime,
    log_in: &LogIn,
) -> Result<Opened, LogInError> {
    let credentials =
        users::credentials(&mut *pool.acquire().await?, &log_in.tenant, &log_in.email).await?;
    let booking = Booking::make(pool, log_in, credentials.as_ref()).await?;
    let stored = credentials
        .as_ref()
        .map(|found| found.password_hash.clone());
    let verified = verifier
        .hasher
        .verify(stored, log_in.password.clone())
        .await;
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => {
            booking.cancel(pool).await?;
            return Err(error.into());
        }
    };
    let named = credentials.as_ref().map(|found| found.user);
    let welcome = credentials.filter(|found| found.open && verified != Verified::Wrong);
    let Some(credentials) = welcome else {
        record_failure(pool, log_in, named, &booking, "LOGIN_REFUSED").await?;
        return Err(LogInError::Refused);
    };
    let renewed = match verified {
        // If the hasher has no slot now, the next log-in does it.
        Verified::RightButOutdated => verifier.hasher.rehash(log_in.password.clone()).await.ok(),
        Verified::Right | Verified::Wrong => None,
    };
    let begun = match begin(pool, verifier.hasher, log_in, credentials).await {
        Ok(begun) => begun,
        Err(error) => {
            booking.cancel(pool).await?;
            return Err(error);
        }
    };
    let Some((mut tx, credentials)) = begun else {
        record_failure(pool, log_in, named, &booking, "LOGIN_REFUSED").await?;
        return Err(LogInError::Refused);
    };
    let account = (credentials.tenant, credentials.user);
    let code = log_in.code.as_ref();
    if !is_known(&mut tx, log_in, Some(&credentials)).await?
        && let Some(retry_after) =
            code_guesses::refused_for(&mut tx, credentials.user, code).await?
    {
        tx.rollback().await?;
        booking.cancel(pool).await?;
        return Err(LogInError::Throttled { retry_after });
    }
    match check(&mut tx, verifier.keys, account, code, &log_in.origin).await? {
        CodeCheck::Passed => {}
        CodeCheck::Missing => {
            tx.rollback().await?;
            // The next request brings the code: nobody has guessed yet, and nothing failed.
            booking.cancel(pool).await?;
            return Err(LogInError::SecondFactorRequired);
        }
        CodeCheck::Wrong => {
            code_guesses::count(&mut tx, account, code, &log_in.origin).await?;
            tx.commit().await?;
            record_failure(pool, log_in, named, &booking, "WRONG_CODE").await?;
            return Err(LogInError::WrongCode);
        }
    }
    if let Some(renewed) = renewed {
        users::replace_password(&mut tx, account, &credentials.password_hash, &renewed).await?;
    }
    booking.forgive(&mut tx).await?;
    let opened = welcome_in(&mut tx, &credentials, lifetime, &log_in.origin).await?;
    tx.commit().await?;
    for &ended in &opened.ended {
        announce_revoked(notifier, ended);
    }
    Ok(opened)
}

/// Begins the transaction in which the session is opened, with the user as they are now. Returns nothing if the password was
/// changed meanwhile, or the account closed.
async fn begin(
    pool: &PgPool,
    hasher: &PasswordHasher,
    log_in: &LogIn,
    verified: Credentials,
) -> Result<Option<(Transaction<'static, Postgres>, Credentials)>, LogInError> {
    let account = (verified.tenant, verified.user);
    let hash = verified.password_hash;
    let Some((mut tx, _)) =
        begin_if_unchanged::<LogInError>(pool, hasher, account, hash, &log_in.password).await?
    else {
        return Ok(None);
    };
    let present = users::credentials(&mut tx, &log_in.tenant, &log_in.email).await?;
    let present = present.filter(|present| present.open && present.user == account.1);
    Ok(present.map(|present| (tx, present)))
}

async fn welcome_in(
    conn: &mut PgConnection,
    credentials: &Credentials,
    lifetime: SessionLifetime,
    origin: &Origin,
) -> Result<Opened, sqlx::Error> {
    let opened = open_session(
        conn,
        &NewSession {
            tenant: credentials.tenant,
            user: credentials.user,
            role: credentials.role,
            auth_method: AuthMethod::Password,
            lifetime,
            origin: origin.clone(),
        },
    )
    .await?;
    let actor = Actor::User {
        user: credentials.user,
        session: Some(opened.session.id),
    };
    let entry = NewAuditEntry::new(
        credentials.tenant,
        actor,
        AuditAction::LoginSuccess,
        ResourceKind::User,
        credentials.user,
    );
    audit::insert(conn, &[entry.with_origin(origin)]).await?;
    Ok(opened)
}

/// An attempt that counts as failed until it succeeds.
struct Booking {
    /// The account from this address.
    pair: Subject,
    /// The account from everywhere, and the address with all accounts.
    others: Vec<Subject>,
    at: DateTime<Utc>,
    /// The pair's failures, this attempt included.
    failures: i64,
}

impl Booking {
    /// Records the attempt first and counts then: of concurrent attempts each sees all that were recorded before it, so
    /// no more than the limit pass.
    async fn make(
        pool: &PgPool,
        log_in: &LogIn,
        found: Option<&Credentials>,
    ) -> Result<Self, LogInError> {
        let account = found.map_or_else(
            || Subject::account(&log_in.tenant, &log_in.email),
            |found| Subject::user(found.user),
        );
        let address = log_in.origin.ip.map(Subject::address);
        let pair = account.account_from(address);
        let mut conn = pool.acquire().await?;
        let mut booking = Self {
            pair,
            others: [Some(account), address].into_iter().flatten().collect(),
            at: DateTime::UNIX_EPOCH,
            failures: 0,
        };
        booking.at = login_failures::book(&mut conn, &booking.subjects()).await?;
        let mut limits = vec![(pair, PAIR_LIMIT)];
        limits.extend(address.map(|address| (address, ADDRESS_LIMIT)));
        if !is_known(&mut conn, log_in, found).await? {
            limits.push((account, ACCOUNT_LIMIT));
        }
        let mut wait = None;
        for (subject, limit) in limits {
            let recent = login_failures::recent(&mut conn, subject, WINDOW, limit).await?;
            if subject == pair {
                booking.failures = recent.failures;
            }
            if recent.failures > limit {
                wait = wait.max(Some(recent.first_leaves_in));
            }
        }
        match wait {
            None => Ok(booking),
            Some(retry_after) => {
                // Attempts that were not made do not count, or a flood would lock the account for good.
                login_failures::unbook(&mut conn, &booking.subjects(), booking.at).await?;
                Err(LogInError::Throttled { retry_after })
            }
        }
    }

    fn subjects(&self) -> Vec<Subject> {
        let mut subjects = self.others.clone();
        subjects.push(self.pair);
        subjects
    }

    async fn cancel(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut conn = pool.acquire().await?;
        login_failures::unbook(&mut conn, &self.subjects(), self.at).await
    }

    /// Clears the failures of the account from this address. The address keeps its others, or one good account would cover
    /// guesses at others, and the account keeps those from elsewhere, or its owner would make room for further guesses.
    async fn forgive(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        login_failures::forget(conn, self.pair).await?;
        login_failures::unbook(conn, &self.others, self.at).await
    }
}

/// Whether the user has logged in from this address before.
async fn is_known(
    conn: &mut PgConnection,
    log_in: &LogIn,
    found: Option<&Credentials>,
) -> Result<bool, sqlx::Error> {
    match (found, log_in.origin.ip) {
        (Some(found), Some(ip)) => sessions::opened_from(conn, found.tenant, found.user, ip).await,
        _ => Ok(false),
    }
}

/// Writes the refusal to the audit log of the tenant, if it exists. The throttle bounds the number of entries, and the
/// last one says that it begins.
async fn record_failure(
    pool: &PgPool,
    log_in: &LogIn,
    named: Option<UserId>,
    booking: &Booking,
    code: &'static str,
) -> Result<(), sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let Some(tenant) = tenants::find(&mut conn, &log_in.tenant).await? else {
        return Ok(());
    };
    let entry = |action| {
        // Names only a user who exists: the typed text may be anything, even a password in the wrong field.
        let (kind, id) = named.map_or((ResourceKind::Tenant, tenant.0), |user| {
            (ResourceKind::User, user.0)
        });
        NewAuditEntry::new(tenant, Actor::Anonymous, action, kind, id)
            .with_origin(&log_in.origin)
            .with_detail(Detail::new().count("failures", booking.failures))
    };
    let mut entries = vec![entry(AuditAction::LoginFail).failed(code)];
    if booking.failures == PAIR_LIMIT {
        entries.push(entry(AuditAction::LoginLock).denied("LOGIN_THROTTLED"));
    }
    audit::insert(&mut conn, &entries).await
}
