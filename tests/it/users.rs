//! A person's account: the own password, a forgotten one, and what owners and admins may do to others.

mod delegates;
mod erase;
mod four_eyes;
mod guesses;
mod lost_rights;
mod on_behalf;
mod plan;
mod second_factor;
mod suspended;

use crate::support::{
    Client, TestDb,
    caller::{Caller, admin},
    client::{TestResponse, send},
    people::{PASSWORD, TestTenant},
    system::{TestApi, Worker},
};
use jobs::domain::{UserId, session::Role};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const CONFIRM: &str = "/v1/sessions/current/confirm";
const OWN_PASSWORD: &str = "/v1/users/me/password";
const OTHER: &str = "another quiet owl";

fn put(caller: &Caller, token: &str, current: &str, new: &str) -> RequestBuilder {
    caller
        .anonymous(Method::PUT, OWN_PASSWORD)
        .bearer_auth(token)
        .json(&json!({"current_password": current, "new_password": new}))
}

async fn log_in(caller: &Caller, password: &str) -> TestResponse {
    let body = json!({"tenant": "acme", "email": "owner@acme.example", "password": password});
    send(caller.anonymous(Method::POST, "/v1/sessions").json(&body)).await
}

pub(crate) async fn user_of(db: &TestDb, client: &Client) -> UserId {
    let id = sqlx::query_scalar("select user_id from sessions where id = $1");
    UserId(
        id.bind(client.session.0)
            .fetch_one(db.pool())
            .await
            .unwrap(),
    )
}

pub(crate) async fn change(client: &Client, user: UserId, body: &Value) -> TestResponse {
    let path = format!("/v1/users/{user}");
    send(client.request(Method::PATCH, &path).json(body)).await
}

async fn remove(client: &Client, user: UserId) -> TestResponse {
    send(client.request(Method::DELETE, &format!("/v1/users/{user}"))).await
}

#[tokio::test]
async fn password_is_changed_with_the_old_one_and_other_sessions_end() {
    let acme = TestTenant::open().await;
    let api = TestApi::start(&acme.db).await;
    let caller = Caller::at(api.addr);
    let (_, elsewhere) = acme.sign_in().await;
    let token = acme.owner_token.expose();
    let refused = send(put(&caller, token, "not the password", OTHER)).await;
    refused.assert_problem(401, "LOGIN_REFUSED", "the old one is asked");
    let refused = send(put(&caller, token, PASSWORD, "owner@ACME.example")).await;
    refused.assert_problem(422, "INVALID_BODY", "the address is no password");
    assert_eq!(refused.body["errors"][0]["pointer"], "/new_password");
    let changed = send(put(&caller, token, PASSWORD, OTHER)).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    assert_eq!(caller.get("/v1/sessions", token).await.status, 200);
    assert_eq!(
        caller.get("/v1/sessions", elsewhere.expose()).await.status,
        401
    );
    assert_eq!(log_in(&caller, PASSWORD).await.status, 401);
    assert_eq!(log_in(&caller, OTHER).await.status, 201);
}

#[tokio::test]
async fn forgotten_password_is_reset_once_by_a_token_from_an_owner() {
    let acme = TestTenant::open().await;
    let api = TestApi::start(&acme.db).await;
    let caller = Caller::at(api.addr);
    let path = format!("/v1/users/{}/password-reset", acme.owner.user);
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let created = caller.post(&path, acme.owner_token.expose()).await;
        assert_eq!(created.status, 201, "{}", created.text);
        tokens.push(created.body["token"].as_str().unwrap().to_owned());
    }
    let reset = async |token: &str, password: &str| {
        let body = json!({"token": token, "password": password});
        let request = caller.anonymous(Method::POST, "/v1/onboarding/reset-password");
        send(request.json(&body)).await
    };
    reset(&tokens[0], OTHER)
        .await
        .assert_problem(410, "GONE", "it was replaced");
    let weak = reset(&tokens[1], "owner@acme.example").await;
    weak.assert_problem(422, "INVALID_BODY", "a weak password uses nothing up");
    assert_eq!(reset(&tokens[1], OTHER).await.status, 204);
    reset(&tokens[1], OTHER)
        .await
        .assert_problem(410, "GONE", "it was used");
    assert_eq!(
        caller
            .get("/v1/sessions", acme.owner_token.expose())
            .await
            .status,
        401
    );
    assert_eq!(log_in(&caller, OTHER).await.status, 201);

    let shell = admin(
        &acme.db.url(),
        &[
            "user",
            "reset-password",
            "--tenant",
            "acme",
            "--email",
            "owner@acme.example",
        ],
    )
    .await;
    let token = shell.stdout.trim_end();
    acme.db
        .execute("update password_resets set expires_at = now()")
        .await;
    reset(token, PASSWORD)
        .await
        .assert_problem(410, "GONE", "it has expired");
    assert!(
        !acme.db.dump().await.contains(&tokens[1]),
        "only a hash is stored"
    );
}

#[tokio::test]
async fn what_concerns_access_asks_for_a_recent_password() {
    let acme = TestTenant::open().await;
    let api = TestApi::start(&acme.db).await;
    let caller = Caller::at(api.addr);
    let token = acme.owner_token.expose();
    let invite = json!({"email": "new@acme.example", "role": "member"});
    assert_eq!(
        caller.post_json("/v1/invites", token, &invite).await.status,
        201
    );
    let later = "update sessions set authenticated_at = now() - interval '601 s'";
    acme.db.execute(later).await;
    for (method, path) in [
        (Method::POST, "/v1/invites"),
        (Method::POST, "/v1/api-keys"),
        (Method::PUT, "/v1/settings"),
        (Method::POST, "/v1/connections"),
        (
            Method::PATCH,
            "/v1/users/0198c1d2-0000-7000-8000-000000000000",
        ),
        (
            Method::DELETE,
            "/v1/users/0198c1d2-0000-7000-8000-000000000000",
        ),
        (
            Method::POST,
            "/v1/users/0198c1d2-0000-7000-8000-000000000000/password-reset",
        ),
        (
            Method::POST,
            "/v1/api-keys/0198c1d2-0000-7000-8000-000000000000/rotate",
        ),
    ] {
        let request = caller
            .anonymous(method, path)
            .bearer_auth(token)
            .json(&json!({}));
        send(request)
            .await
            .assert_problem(403, "CONFIRMATION_REQUIRED", path);
    }
    let wrong = caller
        .post_json(CONFIRM, token, &json!({"password": "not the password"}))
        .await;
    wrong.assert_problem(401, "LOGIN_REFUSED", "a wrong password");
    assert_eq!(
        caller.post_json("/v1/invites", token, &invite).await.status,
        403
    );
    let right = caller
        .post_json(CONFIRM, token, &json!({"password": PASSWORD}))
        .await;
    assert_eq!(right.status, 204, "{}", right.text);
    assert_eq!(
        caller.post_json("/v1/invites", token, &invite).await.status,
        201
    );
}

#[tokio::test]
async fn guesses_in_a_stolen_session_are_slowed_down_and_do_not_lock_the_owner_out() {
    let acme = TestTenant::open().await;
    let api = TestApi::start(&acme.db).await;
    let caller = Caller::at(api.addr);
    let token = acme.owner_token.expose();
    for _ in 0..10 {
        let wrong = json!({"password": "not the password"});
        assert_eq!(caller.post_json(CONFIRM, token, &wrong).await.status, 401);
    }
    let throttled = caller
        .post_json(CONFIRM, token, &json!({"password": PASSWORD}))
        .await;
    throttled.assert_problem(429, "TOO_MANY_REQUESTS", "the eleventh");
    assert!(throttled.retry_after().is_some());
    let throttled = send(put(&caller, token, PASSWORD, OTHER)).await;
    throttled.assert_problem(429, "TOO_MANY_REQUESTS", "no way around it");
    assert_eq!(log_in(&caller, PASSWORD).await.status, 201);
}

#[tokio::test]
async fn tenant_keeps_an_owner_and_nobody_rises_above_themselves() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let boss = user_of(&db, &owner).await;
    let (admin, member) = (
        owner.colleague(&db, Role::Admin).await,
        owner.colleague(&db, Role::Member).await,
    );
    let worker = user_of(&db, &member).await;
    for body in [json!({"role": "member"}), json!({"suspended": true})] {
        change(&owner, boss, &body)
            .await
            .assert_problem(409, "CONFLICT", "the last owner");
        change(&admin, boss, &body)
            .await
            .assert_problem(403, "FORBIDDEN", "of an owner");
    }
    remove(&owner, boss)
        .await
        .assert_problem(409, "CONFLICT", "the last owner");
    remove(&admin, boss)
        .await
        .assert_problem(403, "FORBIDDEN", "of an owner");
    let raised = change(&admin, worker, &json!({"role": "owner"})).await;
    raised.assert_problem(403, "FORBIDDEN", "an admin makes no owner");
    let raised = change(&admin, worker, &json!({"role": "operator"})).await;
    assert_eq!(
        (raised.status.as_u16(), &raised.body["role"]),
        (200, &json!("operator"))
    );
    assert_eq!(
        change(&owner, worker, &json!({"role": "owner"}))
            .await
            .status,
        200
    );
    assert_eq!(
        change(&owner, boss, &json!({"role": "admin"})).await.status,
        200
    );
    assert_eq!(
        owner.get("/v1/users").await.status,
        200,
        "the role is that of today"
    );
    let all = member.get("/v1/users?limit=2").await.body;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert!(all["next_cursor"].is_string());
}

#[tokio::test]
async fn two_owners_who_remove_each_other_leave_one() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let one = api.sign_in(&db).await;
    let two = one.colleague(&db, Role::Owner).await;
    let (first, second) = (user_of(&db, &one).await, user_of(&db, &two).await);
    tokio::join!(remove(&one, second), remove(&two, first));
    let left: i64 = db
        .one("select count(*) from users where role = 'owner' and status = 'active'")
        .await;
    assert_eq!(left, 1);
}

#[tokio::test]
async fn suspended_user_is_out_at_once_and_removed_one_is_forgotten() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let user = owner.colleague(&db, Role::Member).await;
    let id = user_of(&db, &user).await;
    let address = format!("{}@postroom.example", id.0.simple());
    assert_eq!(
        change(&owner, id, &json!({"suspended": true})).await.status,
        200
    );
    assert_eq!(user.get("/v1/sessions").await.status, 401);
    assert_eq!(
        change(&owner, id, &json!({"suspended": false}))
            .await
            .status,
        200
    );
    assert_eq!(
        user.get("/v1/sessions").await.status,
        401,
        "the session has ended"
    );
    assert_eq!(remove(&owner, id).await.status, 204);
    remove(&owner, id)
        .await
        .assert_problem(404, "NOT_FOUND", "removed already");
    let users = owner.get("/v1/users").await.text;
    assert!(!users.contains(&address), "{users}");
    let stored: i64 = db
        .one("select count(*) from users where email like '%@postroom.example'")
        .await;
    assert_eq!(stored, 1, "the address is free again");
}

#[tokio::test]
async fn paused_tenant_is_read_accepts_nothing_and_runs_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (paused, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let slug = format!("t-{}", paused.tenant.0.simple());
    let mail = b"From: a@client.example\r\nSubject: Hi\r\nMessage-ID: <p1@b>\r\n\r\nHi.\r\n";
    let waiting = paused.submitted(mail, "before").await;
    let done = admin(&db.url(), &["tenant", "pause", &slug]).await;
    assert!(done.status.success(), "{}", done.stderr);
    let refused = paused.submit(mail, "after").await;
    refused.assert_problem(403, "TENANT_PAUSED", "it accepts nothing");
    let request = paused.request(Method::PUT, "/v1/users/me/preferences");
    let refused = send(request.json(&json!({"timezone": "UTC"}))).await;
    refused.assert_problem(403, "TENANT_PAUSED", "it changes nothing");
    let _worker = Worker::spawn(&db).await;
    let first = other.submitted(mail, "first").await;
    assert_eq!(other.finished(&first).await["state"], "succeeded");
    assert_eq!(
        paused.job(&waiting).await["state"],
        "available",
        "it can be read"
    );
    assert_eq!(paused.job(&waiting).await["attempts"], 0);
    let done = admin(&db.url(), &["tenant", "resume", &slug]).await;
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(paused.finished(&waiting).await["state"], "succeeded");
    let limits: i64 = db.one("select count(*) from queue_limits").await;
    assert_eq!(limits, 0);
}

#[tokio::test]
async fn limit_of_a_paused_tenant_applies_when_it_is_resumed() {
    let db = TestDb::new().await;
    let owner = Client::owner_of_new_tenant(&db).await;
    let slug = format!("t-{}", owner.tenant.0.simple());
    let run = async |args: &[&str]| {
        let done = admin(&db.url(), args).await;
        assert!(done.status.success(), "{args:?}: {}", done.stderr);
        db.one::<String>(
            "select coalesce(string_agg(max_running::text, ' '), '') from queue_limits",
        )
        .await
    };
    assert_eq!(run(&["limits", "set", "tenant", &slug, "7"]).await, "7");
    assert_eq!(run(&["tenant", "pause", &slug]).await, "0");
    assert_eq!(run(&["tenant", "pause", &slug]).await, "0");
    assert_eq!(run(&["limits", "set", "tenant", &slug, "9"]).await, "0");
    assert_eq!(run(&["tenant", "resume", &slug]).await, "9");
}
