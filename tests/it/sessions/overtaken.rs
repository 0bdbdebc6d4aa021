//! Comparing a password takes a while: what it was compared with may be another when the comparison ends.

use super::log_in::{OWNER, attempt};
use crate::support::{
    people::{PASSWORD, TestTenant},
    wait::statement_waits,
};
use jobs::{
    commands::{
        sessions::{hashing::Verifier, log_in::LogInError},
        users::password::{PasswordError, Proof, change_password},
    },
    domain::password::NewPassword,
};
use sqlx::{AssertSqlSafe, PgTransaction};

/// A change of the user that nobody sees yet, and that others wait for.
async fn begun<'a>(acme: &TestTenant, change: &str) -> PgTransaction<'a> {
    let mut tx = acme.db.pool().begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("update users set {change}")))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx
}

async fn ends_once_waited_for(acme: &TestTenant, change: PgTransaction<'_>) {
    statement_waits(&acme.db).await;
    change.commit().await.unwrap();
}

#[tokio::test]
async fn log_in_opens_no_session_if_its_user_was_changed_meanwhile() {
    for change in ["password_hash = 'changed'", "status = 'suspended'"] {
        let acme = TestTenant::open().await;
        let changing = begun(&acme, change).await;
        let (answer, ()) = tokio::join!(
            attempt(&acme, "acme", OWNER, PASSWORD),
            ends_once_waited_for(&acme, changing)
        );
        let refused = answer.unwrap_err();
        assert!(
            matches!(refused, LogInError::Refused),
            "{change}: {refused}"
        );
        let sessions: i64 = acme.db.one("select count(*) from sessions").await;
        assert_eq!(sessions, 1, "{change}");
    }
}

#[tokio::test]
async fn log_in_is_welcome_beside_one_that_stores_a_new_hash_of_its_password() {
    let acme = TestTenant::open().await;
    let same = NewPassword::parse(PASSWORD.into()).unwrap();
    let renewed = acme.hasher.hash(same).await.unwrap();
    let changing = begun(&acme, &format!("password_hash = '{renewed}'")).await;
    let (answer, ()) = tokio::join!(
        attempt(&acme, "acme", OWNER, PASSWORD),
        ends_once_waited_for(&acme, changing)
    );
    answer.unwrap();
}

/// Changes the owner's password while `change` is committed.
async fn change_beside(acme: &TestTenant, change: &str) -> Result<(), PasswordError> {
    let changing = begun(acme, change).await;
    let verifier = Verifier {
        hasher: &acme.hasher,
        keys: None,
    };
    let proof = Proof {
        password: PASSWORD.into(),
        code: None,
    };
    let new = NewPassword::parse("another quiet owl".into()).unwrap();
    let (pool, notifier) = (acme.db.pool(), &acme.notifier);
    let (owner, request) = (&acme.owner, "req-change");
    let (answer, ()) = tokio::join!(
        change_password(pool, notifier, verifier, owner, proof, new, request),
        ends_once_waited_for(acme, changing)
    );
    answer
}

#[tokio::test]
async fn password_is_not_changed_with_one_that_was_replaced_meanwhile() {
    let acme = TestTenant::open().await;
    let answer = change_beside(&acme, "password_hash = 'changed'").await;
    let refused = answer.unwrap_err();
    assert!(matches!(refused, PasswordError::Wrong), "{refused}");
    let kept: String = acme.db.one("select password_hash from users").await;
    assert_eq!(kept, "changed");
}

#[tokio::test]
async fn password_is_changed_beside_a_log_in_that_stores_a_new_hash_of_it() {
    let acme = TestTenant::open().await;
    let same = NewPassword::parse(PASSWORD.into()).unwrap();
    let renewed = acme.hasher.hash(same).await.unwrap();
    change_beside(&acme, &format!("password_hash = '{renewed}'"))
        .await
        .expect("the password is right");
    attempt(&acme, "acme", OWNER, "another quiet owl")
        .await
        .unwrap();
}
