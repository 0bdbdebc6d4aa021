//! Logging in with a password: one answer to every mistake, and not too many of them.

use crate::support::people::{LIFETIME, PASSWORD, TestTenant};
use jobs::{
    commands::sessions::{
        hashing::Verifier,
        log_in,
        log_in::{LogIn, LogInError},
        open::Opened,
    },
    domain::session::Origin,
};
use std::time::{Duration, Instant};

async fn attempt_from(
    acme: &TestTenant,
    ip: &str,
    (tenant, email, password): (&str, &str, &str),
) -> Result<Opened, LogInError> {
    let typed = LogIn {
        tenant: tenant.into(),
        email: email.into(),
        password: password.into(),
        code: None,
        origin: Origin::new(Some(ip.parse().unwrap()), None, Some("req-login".into())),
    };
    let (pool, notifier) = (acme.db.pool(), &acme.notifier);
    let verifier = Verifier {
        hasher: &acme.hasher,
        keys: None,
    };
    log_in(pool, notifier, verifier, LIFETIME, &typed).await
}

pub(super) async fn attempt(
    acme: &TestTenant,
    tenant: &str,
    email: &str,
    password: &str,
) -> Result<Opened, LogInError> {
    attempt_from(acme, "192.0.2.1", (tenant, email, password)).await
}

pub(super) const OWNER: &str = "owner@acme.example";

/// [`PASSWORD`] under argon2id with 8 MiB and one pass.
const OUTDATED: &str = "$argon2id$v=19$m=8192,t=1,p=1$6+prH6O3OqIxXRXcpwJPVQ$9+ICawKKYLEmuwKlWnNcwuNTHajtSaTLU0EwivNdlns";

#[tokio::test]
async fn right_password_opens_a_session() {
    let acme = TestTenant::open().await;
    let opened = attempt(&acme, "acme", "Owner@ACME.example", PASSWORD)
        .await
        .unwrap();
    assert_eq!(opened.session.user, acme.owner.user);
    assert_eq!(
        acme.present(&opened.token).await.unwrap().id,
        opened.session.id
    );
    assert_eq!(
        acme.db
            .one::<i64>("select count(*) from login_failures")
            .await,
        0
    );
    let entries: String = acme
        .db
        .one("select string_agg(action, ' ' order by id) from audit_entries where request_id = 'req-login'")
        .await;
    assert_eq!(entries, "session_created authn_login_success");
}

#[tokio::test]
async fn every_mistake_is_refused_alike_and_names_nobody_in_the_audit() {
    let acme = TestTenant::open().await;
    for (tenant, email, password) in [
        ("acme", OWNER, "not the password"),
        ("acme", "nobody@acme.example", PASSWORD),
        ("nowhere", OWNER, PASSWORD),
        ("acme", "", ""),
    ] {
        let refused = attempt(&acme, tenant, email, password).await.unwrap_err();
        assert!(
            matches!(refused, LogInError::Refused),
            "{tenant} {email}: {refused}"
        );
    }
    acme.db
        .execute("update users set status = 'suspended'")
        .await;
    let refused = attempt(&acme, "acme", OWNER, PASSWORD).await.unwrap_err();
    assert!(matches!(refused, LogInError::Refused), "{refused}");

    let written: String = acme
        .db
        .one("select string_agg(a::text, ' ') from audit_entries a where action = 'authn_login_fail'")
        .await;
    assert_eq!(written.matches("authn_login_fail").count(), 4, "{written}");
    assert!(
        !written.contains("example") && !written.contains("password"),
        "{written}"
    );
}

#[tokio::test]
async fn unknown_user_takes_as_long_as_a_wrong_password() {
    let acme = TestTenant::open().await;
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    // The fastest of several: what the machine does besides only adds. Without a hash for unknown users no number of rounds
    // brings the two together.
    let alike = |known: Duration, unknown: Duration| {
        (0.5..2.0).contains(&(known.as_secs_f64() / unknown.as_secs_f64()))
    };
    for n in 0..20 {
        if n >= 5 && alike(known, unknown) {
            break;
        }
        let ip = format!("192.0.2.{n}");
        let started = Instant::now();
        attempt_from(&acme, &ip, ("acme", OWNER, "not the password"))
            .await
            .unwrap_err();
        known = known.min(started.elapsed());
        let started = Instant::now();
        attempt_from(
            &acme,
            &ip,
            ("acme", "nobody@acme.example", "not the password"),
        )
        .await
        .unwrap_err();
        unknown = unknown.min(started.elapsed());
    }
    assert!(alike(known, unknown), "{known:?} against {unknown:?}");
}

async fn fail(acme: &TestTenant, ip: &str, email: &str) {
    let refused = attempt_from(acme, ip, ("acme", email, "not the password")).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, LogInError::Refused), "{ip}: {refused}");
}

/// As if this many more had failed just before for each subject of the last attempt: real ones would take the test a while.
async fn fail_again(acme: &TestTenant, times: u32) {
    acme
        .db
        .execute(&format!(
            "insert into login_failures (subject, at)
             select subject, now() - n * interval '1 ms'
             from (select subject from login_failures order by at desc, subject limit 3) s, generate_series(1, {times}) n"
        ))
        .await;
}

#[tokio::test]
async fn ten_failures_close_the_account_to_an_address_for_a_while_whether_it_exists_or_not() {
    for email in [OWNER, "nobody@acme.example"] {
        let acme = TestTenant::open().await;
        for _ in 0..10 {
            fail(&acme, "192.0.2.1", email).await;
        }
        let throttled = attempt(&acme, "acme", email, PASSWORD).await.unwrap_err();
        let LogInError::Throttled { retry_after } = throttled else {
            panic!("{throttled}");
        };
        assert!(
            retry_after > Duration::from_secs(800) && retry_after <= Duration::from_secs(900),
            "{retry_after:?}"
        );
        let locks: i64 = acme
            .db
            .one("select count(*) from audit_entries where action = 'authn_login_lock'")
            .await;
        assert_eq!(locks, 1);
    }
}

#[tokio::test]
async fn guesses_from_elsewhere_do_not_keep_the_owner_out() {
    let acme = TestTenant::open().await;
    for _ in 0..10 {
        fail(&acme, "192.0.2.1", OWNER).await;
    }
    let owner = attempt_from(&acme, "198.51.100.1", ("acme", OWNER, PASSWORD)).await;
    owner.unwrap();
    // Their success gives those who guess no further guesses.
    let throttled = attempt(&acme, "acme", OWNER, PASSWORD).await.unwrap_err();
    assert!(matches!(throttled, LogInError::Throttled { .. }));
}

#[tokio::test]
async fn hundred_guesses_from_everywhere_close_the_account_to_addresses_that_are_new() {
    let acme = TestTenant::open().await;
    attempt_from(&acme, "198.51.100.1", ("acme", OWNER, PASSWORD))
        .await
        .unwrap();
    fail(&acme, "192.0.2.1", OWNER).await;
    fail_again(&acme, 99).await;
    let new = attempt_from(&acme, "203.0.113.1", ("acme", OWNER, PASSWORD)).await;
    assert!(matches!(new, Err(LogInError::Throttled { .. })));
    attempt_from(&acme, "198.51.100.1", ("acme", OWNER, PASSWORD))
        .await
        .unwrap();
}

#[tokio::test]
async fn spellings_of_an_account_share_its_guesses() {
    let acme = TestTenant::open().await;
    let spellings = [
        "owner@acme.example",
        "OWNER@acme.example",
        "Owner@acme.example",
        "owner@ACME.example",
        "oWner@acme.example",
        "owneR@acme.example",
        "owner@acme.EXAMPLE",
        "owner@acme.exampLe",
    ];
    let mut compared = 0;
    for n in 0..16 {
        let spelling = spellings[n % spellings.len()];
        let guess = attempt(&acme, "acme", spelling, "not the password").await;
        compared += usize::from(matches!(guess, Err(LogInError::Refused)));
    }
    assert_eq!(compared, 10);
    // The key is the user: what Postgres takes for one user is one, whatever the letters are.
    let subjects: i64 = acme
        .db
        .one("select count(distinct subject) from login_failures")
        .await;
    assert_eq!(subjects, 3, "the account, the address, and both together");
}

#[tokio::test]
async fn hammering_does_not_lengthen_the_wait() {
    let acme = TestTenant::open().await;
    for _ in 0..10 {
        attempt(&acme, "acme", OWNER, "not the password")
            .await
            .unwrap_err();
    }
    for _ in 0..30 {
        let throttled = attempt(&acme, "acme", OWNER, "not the password")
            .await
            .unwrap_err();
        assert!(
            matches!(throttled, LogInError::Throttled { .. }),
            "{throttled}"
        );
    }
    acme.db
        .execute("update login_failures set at = at - interval '15 minutes'")
        .await;
    attempt(&acme, "acme", OWNER, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn one_address_cannot_try_many_accounts() {
    let acme = TestTenant::open().await;
    attempt(&acme, "acme", "a0@acme.example", "not the password")
        .await
        .unwrap_err();
    fail_again(&acme, 99).await;
    let throttled = attempt(&acme, "acme", "fresh@acme.example", PASSWORD)
        .await
        .unwrap_err();
    assert!(
        matches!(throttled, LogInError::Throttled { .. }),
        "{throttled}"
    );
    assert!(
        attempt_from(&acme, "198.51.100.1", ("acme", OWNER, PASSWORD))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn good_log_in_does_not_cover_guesses_at_other_accounts() {
    let acme = TestTenant::open().await;
    attempt(&acme, "acme", "ada@acme.example", "not the password")
        .await
        .unwrap_err();
    let before: i64 = acme.db.one("select count(*) from login_failures").await;
    attempt(&acme, "acme", OWNER, PASSWORD).await.unwrap();
    assert_eq!(
        acme.db
            .one::<i64>("select count(*) from login_failures")
            .await,
        before
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_do_not_overtake_the_count() {
    let acme = TestTenant::open().await;
    let guesses = (0..40).map(|_| attempt(&acme, "acme", OWNER, "not the password"));
    let tried = futures::future::join_all(guesses)
        .await
        .into_iter()
        .filter(|guess| matches!(guess, Err(LogInError::Refused)))
        .count();
    assert!(tried <= 10, "{tried} passwords were compared");
}

#[tokio::test]
async fn password_under_old_parameters_is_hashed_anew() {
    let acme = TestTenant::open().await;
    acme.db
        .execute(&format!("update users set password_hash = '{OUTDATED}'"))
        .await;
    attempt(&acme, "acme", OWNER, PASSWORD).await.unwrap();
    let now: String = acme.db.one("select password_hash from users").await;
    assert!(now.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{now}");
    attempt(&acme, "acme", OWNER, PASSWORD).await.unwrap();
    assert_eq!(
        acme.db
            .one::<String>("select password_hash from users")
            .await,
        now
    );
}
