//! Guessing the code of a second factor with the right password, from many addresses.

use super::second_factor::{OWNER, enrol, forget_steps, open};
use crate::support::people::{LIFETIME, PASSWORD, TestTenant};
use jobs::{
    commands::sessions::{
        hashing::Verifier,
        log_in,
        log_in::{LogIn, LogInError},
        open::Opened,
    },
    domain::session::Origin,
    secrets::KeyRing,
};
use serde_json::json;

async fn attempt(
    acme: &TestTenant,
    keys: &KeyRing,
    ip: &str,
    code: &str,
) -> Result<Opened, LogInError> {
    let typed = LogIn {
        tenant: "acme".into(),
        email: OWNER.into(),
        password: PASSWORD.into(),
        code: Some(code.to_owned().into()),
        origin: Origin::new(Some(ip.parse().unwrap()), None, None),
    };
    let verifier = Verifier {
        hasher: &acme.hasher,
        keys: Some(keys),
    };
    log_in(acme.db.pool(), &acme.notifier, verifier, LIFETIME, &typed).await
}

#[tokio::test]
async fn codes_that_are_guessed_from_many_addresses_are_refused_after_twenty_a_day() {
    let (acme, api, caller) = open().await;
    let (app, recovery) = enrol(&caller, acme.owner_token.expose()).await;
    let keys = api.app.config.keys.as_ref().unwrap();
    for n in 0..20 {
        let wrong = if app.code() == "000000" {
            "000001"
        } else {
            "000000"
        };
        let refused = attempt(&acme, keys, &format!("198.51.100.{n}"), wrong).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, LogInError::WrongCode), "{n}: {refused}");
    }
    forget_steps(&acme.db).await;
    let right = attempt(&acme, keys, "198.51.100.99", &app.code()).await;
    let refused = right.unwrap_err();
    assert!(
        matches!(refused, LogInError::Throttled { retry_after } if retry_after.as_secs() > 80_000),
        "{refused}"
    );
    let locks = "select count(*) from audit_entries
        where action = 'authn_login_lock' and error_code = 'SECOND_FACTOR_THROTTLED'";
    assert_eq!(acme.db.one::<i64>(locks).await, 1);
    let item: String = acme
        .db
        .one("select title || ' ' || rationale from inbox_items where owner_id is not null")
        .await;
    assert!(item.contains("has your password"), "{item}");

    // Its owner is not kept out: a recovery code cannot be guessed, and an address that they came from before may go on.
    attempt(&acme, keys, "198.51.100.100", &recovery[0])
        .await
        .expect("a recovery code");
    attempt(&acme, keys, "198.51.100.100", &app.code())
        .await
        .expect("from an address that is known now");
}

#[tokio::test]
async fn wrong_codes_that_confirm_a_password_count_to_the_twenty_a_day() {
    let (acme, api, caller) = open().await;
    let (app, recovery) = enrol(&caller, acme.owner_token.expose()).await;
    let keys = api.app.config.keys.as_ref().unwrap();
    let wrong = if app.code() == "000000" {
        "000001"
    } else {
        "000000"
    };
    let confirm = async |code: &str| {
        let (token, body) = (
            acme.owner_token.expose(),
            json!({"password": PASSWORD, "code": code}),
        );
        caller
            .post_json("/v1/sessions/current/confirm", token, &body)
            .await
    };
    for n in 0..15 {
        let refused = attempt(&acme, keys, &format!("198.51.100.{n}"), wrong).await;
        assert!(matches!(refused, Err(LogInError::WrongCode)), "{n}");
    }
    for _ in 0..5 {
        confirm(wrong)
            .await
            .assert_problem(401, "LOGIN_REFUSED", "a wrong code");
    }
    forget_steps(&acme.db).await;
    let right = attempt(&acme, keys, "198.51.100.99", &app.code()).await;
    let refused = right.unwrap_err();
    assert!(matches!(refused, LogInError::Throttled { .. }), "{refused}");
    let right = confirm(&app.code()).await;
    assert_eq!(right.status, 429, "{}", right.text);
    assert!(right.retry_after() > Some(80_000), "{}", right.text);
    assert_eq!(confirm(&recovery[0]).await.status, 204);
}
