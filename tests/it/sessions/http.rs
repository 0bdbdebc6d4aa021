//! Sessions as a client meets them: over HTTP, with real processes, from log-in to log-out.

use crate::support::{
    TestDb,
    caller::{Caller, admin},
    client::{TestResponse, send},
    eventually,
    gate::Gate,
    people::{PASSWORD, TestTenant},
    system::Api,
    wait::SOON,
};
use jobs::domain::{InviteToken, SessionToken, session::Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const SESSIONS: &str = "/v1/sessions";
const ROTATE: &str = "/v1/sessions/current/rotate";

fn token(answer: &TestResponse) -> String {
    answer.body["token"].as_str().expect("a token").to_owned()
}

async fn log_in(caller: &Caller, tenant: &str, email: &str, password: &str) -> TestResponse {
    let body = json!({ "tenant": tenant, "email": email, "password": password });
    send(caller.anonymous(Method::POST, SESSIONS).json(&body)).await
}

#[tokio::test]
async fn session_lives_from_the_first_invite_to_log_out() {
    let db = TestDb::new().await;
    let args = [
        "bootstrap",
        "--tenant",
        "acme",
        "--email",
        "ada@acme.example",
    ];
    let printed = admin(&db.url(), &args).await.stdout;
    let invite = printed.trim_end();
    let api = Api::spawn(&db).await;
    let caller = Caller::at(api.addr);

    let accept = json!({ "token": invite, "password": PASSWORD });
    let accepted = send(
        caller
            .anonymous(Method::POST, "/v1/onboarding/accept")
            .json(&accept),
    )
    .await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{}", accepted.body);
    assert_eq!(accepted.body["session"]["role"], "owner");
    let first = token(&accepted);
    assert_eq!(caller.get(SESSIONS, &first).await.status, StatusCode::OK);

    let rotated = caller.post(ROTATE, &first).await;
    assert_eq!(rotated.status, StatusCode::OK, "{}", rotated.body);
    assert_eq!(
        rotated.body["session"]["expires_at"],
        accepted.body["session"]["expires_at"]
    );
    let second = token(&rotated);
    assert_eq!(
        caller.get(SESSIONS, &first).await.status,
        StatusCode::OK,
        "grace"
    );
    assert_eq!(caller.get(SESSIONS, &second).await.status, StatusCode::OK);

    db.execute("update session_tokens set grace_until = now() - interval '1 ms' where grace_until is not null").await;
    assert_eq!(
        caller.get(SESSIONS, &first).await.status,
        StatusCode::UNAUTHORIZED,
        "reuse"
    );
    assert_eq!(
        caller.get(SESSIONS, &second).await.status,
        StatusCode::UNAUTHORIZED,
        "the family is ended"
    );
    let reason: String = db.one("select revoke_reason from sessions").await;
    assert_eq!(reason, "reuse");

    let again = log_in(&caller, "acme", "ada@acme.example", PASSWORD).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
    assert!(again.header("clear-site-data").is_some());
    assert_eq!(again.header("cache-control"), Some("no-store"));
    let third = token(&again);
    let out = caller.delete("/v1/sessions/current", &third).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("clear-site-data").is_some());
    assert_eq!(
        caller.get(SESSIONS, &third).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn every_operation_that_needs_a_session_refuses_whatever_is_not_a_living_one() {
    let acme = TestTenant::open().await;
    let (ended, ended_token) = acme.sign_in().await;
    let (expired, expired_token) = acme.sign_in().await;
    acme.db
        .execute(&format!(
            "update sessions set revoked_at = now(), revoke_reason = 'logout' where id = '{}';
             update sessions set expires_at = now() where id = '{}'",
            ended.id, expired.id
        ))
        .await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let living = acme.owner_token.expose();
    let another = if living.ends_with('x') { 'y' } else { 'x' };
    let misspelt = format!("{}{another}", &living[..living.len() - 1]);
    let bad: Vec<(&str, Option<String>)> = vec![
        ("missing", None),
        ("garbage", Some("Bearer garbage".into())),
        ("basic", Some(format!("Basic {living}"))),
        (
            "unknown",
            Some(format!("Bearer {}", SessionToken::generate().expose())),
        ),
        (
            "invite",
            Some(format!("Bearer {}", InviteToken::generate().expose())),
        ),
        ("typing error", Some(format!("Bearer {misspelt}"))),
        ("ended", Some(format!("Bearer {}", ended_token.expose()))),
        (
            "expired",
            Some(format!("Bearer {}", expired_token.expose())),
        ),
    ];
    let mut operations = 0;
    for operation in api::routes::all().iter().map(|route| &route.operation) {
        if operation.access == api::route_table::Access::Public {
            continue;
        }
        operations += 1;
        let path = operation
            .path
            .replace("{id}", &uuid::Uuid::now_v7().to_string());
        for (what, authorization) in &bad {
            let mut request = caller.anonymous(operation.method.clone(), &path);
            if let Some(value) = authorization {
                request = request.header("Authorization", value);
            }
            let answer = send(request).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{} {what}",
                operation.name
            );
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            assert!(
                answer
                    .header("www-authenticate")
                    .unwrap()
                    .starts_with("Bearer")
            );
            assert_eq!(answer.body["code"], "UNAUTHENTICATED");
        }
    }
    assert!(operations >= 10, "{operations}");
    assert_eq!(
        caller.get(SESSIONS, living).await.status,
        StatusCode::OK,
        "and the living one is not"
    );
}

#[tokio::test]
async fn token_in_the_url_is_refused_and_not_logged() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let living = acme.owner_token.expose();
    for query in ["token", "access_token", "anything"] {
        let path = format!("{SESSIONS}?{query}={living}");
        let alone = send(caller.anonymous(Method::GET, &path)).await;
        assert_eq!(alone.status, StatusCode::UNAUTHORIZED, "{query}");
        assert_eq!(
            caller.get(&path, living).await.status,
            StatusCode::UNAUTHORIZED,
            "{query}"
        );
    }
    assert_eq!(caller.get(SESSIONS, living).await.status, StatusCode::OK);
    // The log names the session of the last request, so it holds the lines of those before it too.
    let session = acme.owner.id.to_string();
    eventually(SOON, async || {
        let log = api.process.log();
        log.contains(&session).then_some(()).ok_or(log)
    })
    .await;
    let log = api.process.log();
    assert!(!log.contains("pr_s_"), "{log}");
}

#[tokio::test]
async fn two_authorization_headers_are_one_too_many() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let value = format!("Bearer {}", acme.owner_token.expose());
    let request = caller
        .anonymous(Method::GET, SESSIONS)
        .header("Authorization", &value)
        .header("Authorization", &value);
    let answer = send(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
}

#[tokio::test]
async fn session_is_the_same_on_every_process_and_outlives_them() {
    let acme = TestTenant::open().await;
    let (mut first, second) = (Api::spawn(&acme.db).await, Api::spawn(&acme.db).await);
    let (at_first, at_second) = (Caller::at(first.addr), Caller::at(second.addr));
    let opened = log_in(&at_first, "acme", "owner@acme.example", PASSWORD).await;
    let old = token(&opened);
    assert_eq!(at_second.get(SESSIONS, &old).await.status, StatusCode::OK);
    let new = token(&at_second.post(ROTATE, &old).await);
    assert_eq!(at_first.get(SESSIONS, &new).await.status, StatusCode::OK);

    first.process.kill();
    let third = Api::spawn(&acme.db).await;
    let at_third = Caller::at(third.addr);
    assert_eq!(at_third.get(SESSIONS, &new).await.status, StatusCode::OK);
    at_third.delete("/v1/sessions/current", &new).await;
    assert_eq!(
        at_second.get(SESSIONS, &new).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn database_that_is_away_is_no_reason_to_throw_a_token_away() {
    let acme = TestTenant::open().await;
    let gate = Gate::before(&acme.db).await;
    let api = Api::spawn_at(gate.url()).await;
    let caller = Caller::at(api.addr);
    let living = acme.owner_token.expose();
    assert_eq!(caller.get(SESSIONS, living).await.status, StatusCode::OK);
    gate.shut();
    let away = caller.get(SESSIONS, living).await;
    assert_eq!(
        away.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        away.body
    );
    assert!(away.retry_after().is_some());
    let log_in = log_in(&caller, "acme", "owner@acme.example", PASSWORD).await;
    assert_eq!(
        log_in.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        log_in.body
    );
    gate.open();
    eventually(SOON, async || {
        let back = caller.get(SESSIONS, living).await;
        (back.status == StatusCode::OK)
            .then_some(())
            .ok_or_else(|| back.body.to_string())
    })
    .await;
}

#[tokio::test]
async fn dump_of_the_database_opens_no_session() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let opened = token(&log_in(&caller, "acme", "owner@acme.example", PASSWORD).await);
    let rotated = token(&caller.post(ROTATE, &opened).await);
    let invite = json!({ "email": "new@acme.example", "role": "member" });
    let invited = caller.post_json("/v1/invites", &rotated, &invite).await;
    log_in(&caller, "acme", "owner@acme.example", "wrong password 1").await;
    let secrets = [
        opened,
        rotated,
        token(&invited),
        PASSWORD.into(),
        "wrong password 1".into(),
    ];

    let dump = acme.db.dump().await;
    assert!(
        dump.contains("new@acme.example"),
        "the dump holds what was written"
    );
    for secret in secrets {
        assert!(!dump.contains(&secret), "a secret stands in the dump");
        // A bytea column would show it in hex.
        assert!(
            !dump.contains(&base::hex(secret.as_bytes())),
            "a secret stands in the dump in hex"
        );
    }
}

#[tokio::test]
async fn every_wrong_log_in_gets_the_same_answer() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let mut answers = Vec::new();
    for (tenant, email) in [
        ("acme", "owner@acme.example"),
        ("acme", "nobody@acme.example"),
        ("nowhere", "owner@acme.example"),
    ] {
        let mut answer = log_in(&caller, tenant, email, "not the password").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        answer.body["request_id"] = Value::Null;
        answers.push(answer.body);
    }
    assert_eq!(answers[0]["code"], "LOGIN_REFUSED");
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    for _ in 0..9 {
        log_in(&caller, "acme", "owner@acme.example", "not the password").await;
    }
    let throttled = log_in(&caller, "acme", "owner@acme.example", PASSWORD).await;
    assert_eq!(
        throttled.status,
        StatusCode::TOO_MANY_REQUESTS,
        "{}",
        throttled.body
    );
    assert!(
        throttled
            .retry_after()
            .is_some_and(|seconds| (800..=901).contains(&seconds))
    );
    assert_eq!(
        caller.get(SESSIONS, acme.owner_token.expose()).await.status,
        StatusCode::OK,
        "who is signed in is not locked out"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_rotations_at_once_over_http_leave_one_living_chain() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let old = acme.owner_token.expose();
    let answers = futures::future::join_all((0..50).map(|_| caller.post(ROTATE, old))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let living: i64 = acme
        .db
        .one("select count(*) from session_tokens where retired_at is null and superseded_at is null")
        .await;
    assert_eq!(living, 1);
    let all: i64 = acme.db.one("select count(*) from session_tokens").await;
    assert_eq!(all, 51);
}

#[tokio::test]
async fn user_sees_and_ends_their_own_sessions_only() {
    let acme = TestTenant::open().await;
    let (_, colleague) = acme.join("ada@acme.example", Role::Admin).await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let opened = log_in(&caller, "acme", "owner@acme.example", PASSWORD).await;
    let mine = token(&opened);
    let list = caller.get(SESSIONS, &mine).await.body;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{list}");
    assert_eq!(
        (&items[0]["current"], &items[1]["current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(items[0]["ip"], "127.0.0.1");
    assert_eq!(items[1]["user_agent"], "test/1");

    let other = format!("{SESSIONS}/{}", items[1]["id"].as_str().unwrap());
    let unknown = format!("{SESSIONS}/{}", uuid::Uuid::now_v7());
    let mut refused = caller.delete(&other, colleague.expose()).await;
    let mut missing = caller.delete(&unknown, colleague.expose()).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    for answer in [&mut refused, &mut missing] {
        answer.body["request_id"] = Value::Null;
        answer.body["instance"] = Value::Null;
    }
    assert_eq!(
        refused.body, missing.body,
        "another's session and none look alike"
    );

    for _ in 0..2 {
        assert_eq!(
            caller.delete(&other, &mine).await.status,
            StatusCode::NO_CONTENT
        );
    }
    assert_eq!(
        caller.get(SESSIONS, acme.owner_token.expose()).await.status,
        StatusCode::UNAUTHORIZED
    );
    let all = json!({ "scope": "global" });
    assert_eq!(
        caller
            .post_json("/v1/sessions/revoke", &mine, &all)
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        caller.get(SESSIONS, &mine).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        caller.get(SESSIONS, colleague.expose()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn suspended_user_is_out_at_once() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let living = acme.owner_token.expose();
    assert_eq!(caller.get(SESSIONS, living).await.status, StatusCode::OK);
    acme.db
        .execute("update users set status = 'suspended'")
        .await;
    assert_eq!(
        caller.get(SESSIONS, living).await.status,
        StatusCode::UNAUTHORIZED
    );
    let refused = log_in(&caller, "acme", "owner@acme.example", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}
