//! Replacing tokens: a lost answer costs nothing, a stolen token costs the thief.

use crate::support::people::TestTenant;
use jobs::{
    commands::sessions::{
        authenticate::{AuthenticateError, Refusal},
        rotate::{RotateError, Rotated},
        rotate_session,
    },
    domain::{Session, SessionToken},
};

async fn rotate(
    acme: &TestTenant,
    session: &Session,
    token: &SessionToken,
) -> Result<Rotated, RotateError> {
    let (pool, notifier) = (acme.db.pool(), &acme.notifier);
    rotate_session(pool, notifier, session, token, &acme.origin).await
}

fn refusal(result: Result<Session, AuthenticateError>) -> Option<Refusal> {
    match result {
        Err(AuthenticateError::Refused(refusal)) => Some(refusal),
        Ok(_) => None,
        Err(error) => panic!("{error}"),
    }
}

/// As if the grace of every replaced token had just ended.
async fn end_all_graces(acme: &TestTenant) {
    acme
        .db
        .execute("update session_tokens set grace_until = now() - interval '1 ms' where grace_until > now()")
        .await;
}

async fn count(acme: &TestTenant, action: &'static str) -> i64 {
    sqlx::query_scalar("select count(*) from audit_entries where action = $1")
        .bind(action)
        .fetch_one(acme.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn replaced_token_answers_until_its_grace_ends() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let new = rotate(&acme, &session, &old).await.unwrap().token;
    assert!(
        acme.present(&old).await.is_ok(),
        "its successor may be lost"
    );
    assert!(acme.present(&new).await.is_ok());
    assert!(
        acme.present(&old).await.is_ok(),
        "requests may be on their way"
    );
    end_all_graces(&acme).await;
    assert_eq!(refusal(acme.present(&old).await), Some(Refusal::Reused));
}

#[tokio::test]
async fn first_use_of_the_successor_shortens_the_grace_to_ten_seconds() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let new = rotate(&acme, &session, &old).await.unwrap().token;
    let grace = "select extract(epoch from max(grace_until) - now())::float8 from session_tokens";
    let before: f64 = acme.db.one(grace).await;
    assert!((290.0..=300.0).contains(&before), "{before}");
    acme.present(&new).await.unwrap();
    let after: f64 = acme.db.one(grace).await;
    assert!((0.0..=10.0).contains(&after), "{after}");
    acme.db.execute("update session_tokens set grace_until = now() + interval '1 s' where superseded_at is not null").await;
    acme.present(&new).await.unwrap();
    let later: f64 = acme.db.one(grace).await;
    assert!(later <= 1.0, "a second use lengthens nothing: {later}");
}

#[tokio::test]
async fn grace_never_outlasts_the_session() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    acme.db.execute("update sessions set expires_at = now() + interval '20 s', idle_expires_at = now() + interval '20 s'").await;
    rotate(&acme, &session, &old).await.unwrap();
    let beyond: bool = acme
        .db
        .one("select bool_or(t.grace_until > s.expires_at) from session_tokens t join sessions s on s.id = t.session_id")
        .await;
    assert!(!beyond);
}

#[tokio::test]
async fn reused_token_ends_the_session_although_the_request_fails() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let (other, other_token) = acme.sign_in().await;
    let new = rotate(&acme, &session, &old).await.unwrap().token;
    end_all_graces(&acme).await;
    assert_eq!(refusal(acme.present(&old).await), Some(Refusal::Reused));
    assert_eq!(
        refusal(acme.present(&new).await),
        Some(Refusal::Revoked),
        "the family is ended"
    );
    assert_eq!(refusal(acme.present(&old).await), Some(Refusal::Revoked));
    assert_eq!(count(&acme, "authn_token_reuse").await, 1);
    assert_eq!(
        acme.present(&other_token).await.unwrap().id,
        other.id,
        "other sessions live on"
    );
    let reason: String = sqlx::query_scalar("select revoke_reason from sessions where id = $1")
        .bind(session.id)
        .fetch_one(acme.db.pool())
        .await
        .unwrap();
    assert_eq!(reason, "reuse");
}

#[tokio::test]
async fn rotating_with_a_reused_token_ends_the_session_too() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let new = rotate(&acme, &session, &old).await.unwrap().token;
    end_all_graces(&acme).await;
    let refused = rotate(&acme, &session, &old).await.unwrap_err();
    assert!(
        matches!(refused, RotateError::Refused(Refusal::Reused)),
        "{refused}"
    );
    assert_eq!(refusal(acme.present(&new).await), Some(Refusal::Revoked));
    assert_eq!(count(&acme, "authn_token_reuse").await, 1);
}

#[tokio::test]
async fn older_generations_have_no_grace() {
    let acme = TestTenant::open().await;
    let (session, first) = acme.sign_in().await;
    let second = rotate(&acme, &session, &first).await.unwrap().token;
    let third = rotate(&acme, &session, &second).await.unwrap().token;
    assert!(acme.present(&second).await.is_ok());
    assert!(acme.present(&third).await.is_ok());
    assert_eq!(refusal(acme.present(&first).await), Some(Refusal::Reused));
    assert_eq!(refusal(acme.present(&third).await), Some(Refusal::Revoked));
}

#[tokio::test]
async fn lost_answer_is_asked_for_again() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let lost = rotate(&acme, &session, &old).await.unwrap().token;
    let sibling = rotate(&acme, &session, &old).await.unwrap().token;
    assert!(acme.present(&sibling).await.is_ok());
    assert_eq!(
        refusal(acme.present(&lost).await),
        Some(Refusal::Reused),
        "the finder of the lost token is not the owner"
    );
    assert_eq!(
        refusal(acme.present(&sibling).await),
        Some(Refusal::Revoked)
    );
}

#[tokio::test]
async fn used_successor_cannot_be_forked() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let new = rotate(&acme, &session, &old).await.unwrap().token;
    acme.present(&new).await.unwrap();
    let refused = rotate(&acme, &session, &old).await.unwrap_err();
    assert!(matches!(refused, RotateError::AlreadyRotated), "{refused}");
    assert!(acme.present(&new).await.is_ok(), "the session lives");
    assert!(acme.present(&old).await.is_ok(), "and so does the grace");
}

#[tokio::test]
async fn rotation_does_not_move_the_absolute_end() {
    let acme = TestTenant::open().await;
    let (session, mut token) = acme.sign_in().await;
    for _ in 0..5 {
        let rotated = rotate(&acme, &session, &token).await.unwrap();
        assert_eq!(rotated.session.expires_at, session.expires_at);
        token = rotated.token;
        let found = acme.present(&token).await.unwrap();
        assert_eq!(found.expires_at, session.expires_at);
    }
}

#[tokio::test]
async fn token_rotates_only_its_own_session() {
    let acme = TestTenant::open().await;
    let (session, _) = acme.sign_in().await;
    let (_, others) = acme.sign_in().await;
    let refused = rotate(&acme, &session, &others).await.unwrap_err();
    assert!(
        matches!(refused, RotateError::Refused(Refusal::Unknown)),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_rotations_at_once_leave_one_living_chain() {
    let acme = TestTenant::open().await;
    let (session, old) = acme.sign_in().await;
    let rotations = (0..50).map(|_| rotate(&acme, &session, &old));
    let minted: Vec<SessionToken> = futures::future::join_all(rotations)
        .await
        .into_iter()
        .map(|rotated| rotated.unwrap().token)
        .collect();
    assert_eq!(minted.len(), 50);
    let living: i64 = sqlx::query_scalar(
        "select count(*) from session_tokens
         where session_id = $1 and retired_at is null and superseded_at is null",
    )
    .bind(session.id)
    .fetch_one(acme.db.pool())
    .await
    .unwrap();
    assert_eq!(living, 1);
    // The one that lives is the one that works; it comes first, because any other ends the session.
    let mut heir = None;
    for token in minted {
        let retired: bool = sqlx::query_scalar(
            "select retired_at is not null from session_tokens where token_hash = $1",
        )
        .bind(token.hash().as_bytes())
        .fetch_one(acme.db.pool())
        .await
        .unwrap();
        if !retired {
            heir = Some(token);
        }
    }
    let heir = heir.unwrap();
    assert!(acme.present(&heir).await.is_ok());
    assert!(rotate(&acme, &session, &heir).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_and_rotations_that_meet_wait_in_one_order() {
    let acme = TestTenant::open().await;
    for _ in 0..8 {
        let (session, old) = acme.sign_in().await;
        let new = rotate(&acme, &session, &old).await.unwrap().token;
        // Stale, so that every use wants to write to the session's row as well as to the token's.
        acme.db
            .execute("update sessions set last_used_at = now() - interval '2 minutes'")
            .await;
        let uses = futures::future::join_all((0..6).map(|_| acme.present(&new)));
        let rotations = futures::future::join_all((0..3).map(|_| rotate(&acme, &session, &old)));
        let (uses, rotations) = tokio::join!(uses, rotations);
        // Whichever came first decides whether the new token or a sibling of it lives; the database refused nobody.
        for used in uses {
            refusal(used);
        }
        for rotated in rotations {
            let decided = !matches!(rotated, Err(RotateError::Database(_)));
            assert!(decided, "{rotated:?}");
        }
    }
}
