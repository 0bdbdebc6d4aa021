//! Onboarding as people meet it: the command line first, then invites over HTTP.

use super::email;
use crate::support::{
    TestDb,
    caller::{Caller, admin},
    client::{TestResponse, send},
    people::{PASSWORD, TestTenant},
    system::Api,
};
use jobs::{commands::onboarding::bootstrap, domain::session::Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const INVITES: &str = "/v1/invites";

async fn accept(caller: &Caller, token: &str, password: &str) -> TestResponse {
    let body = json!({ "token": token, "password": password });
    send(
        caller
            .anonymous(Method::POST, "/v1/onboarding/accept")
            .json(&body),
    )
    .await
}

#[tokio::test]
async fn command_line_prints_one_token_and_refuses_a_second_owner() {
    let db = TestDb::new().await;
    let bootstrap = [
        "bootstrap",
        "--tenant",
        "acme",
        "--email",
        "ada@acme.example",
    ];
    let plain = admin(&db.url(), &bootstrap).await;
    assert!(plain.status.success(), "{}", plain.stderr);
    let token = plain.stdout.trim_end();
    assert!(
        token.starts_with("pr_i_") && token.len() == 54,
        "nothing but the token"
    );
    assert!(!plain.stderr.contains("pr_i_"));

    let as_json = admin(&db.url(), &[&bootstrap[..], &["--json"]].concat()).await;
    let printed: Value = serde_json::from_str(&as_json.stdout).unwrap();
    assert_eq!(printed["tenant"], "acme");
    let token = printed["token"].as_str().unwrap();

    let api = Api::spawn(&db).await;
    let accepted = accept(&Caller::at(api.addr), token, PASSWORD).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{}", accepted.body);
    assert_eq!(accepted.body["tenant"], "acme");
    let refused = admin(&db.url(), &bootstrap).await;
    assert!(!refused.status.success());
    assert!(
        refused.stdout.is_empty() && refused.stderr.contains("has an owner already"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn command_line_refuses_what_is_no_slug_address_or_role() {
    let db = TestDb::new().await;
    for args in [
        &[
            "bootstrap",
            "--tenant",
            "Not A Slug",
            "--email",
            "ada@acme.example",
        ][..],
        &["bootstrap", "--tenant", "acme", "--email", "nobody"],
        &["grant", "--role", "a\"; drop table users; --"],
        &["grant", "--role", "nobody_has_this_name"],
        &[
            "revoke-sessions",
            "--tenant",
            "acme",
            "--email",
            "ada@acme.example",
        ],
    ] {
        let refused = admin(&db.url(), args).await;
        assert!(!refused.status.success(), "{args:?}");
        assert!(
            refused.stdout.is_empty() && !refused.stderr.is_empty(),
            "{args:?}"
        );
    }
    assert_eq!(db.one::<i64>("select count(*) from tenants").await, 0);
}

#[tokio::test]
async fn command_line_ends_all_sessions_of_a_user() {
    let acme = TestTenant::open().await;
    let (_, colleague) = acme.join("ada@acme.example", Role::Member).await;
    acme.sign_in().await;
    let args = [
        "revoke-sessions",
        "--tenant",
        "acme",
        "--email",
        "OWNER@acme.example",
    ];
    let ended = admin(&acme.db.url(), &args).await;
    assert_eq!(ended.stdout, "2 session(s) ended\n", "{}", ended.stderr);
    assert!(acme.present(&acme.owner_token).await.is_err());
    assert!(acme.present(&colleague).await.is_ok());
    let actor: String = acme
        .db
        .one("select actor_kind from audit_entries where action = 'session_revoked'")
        .await;
    assert_eq!(actor, "cli");
}

#[tokio::test]
async fn invite_goes_from_an_admin_to_a_new_user() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let owner = acme.owner_token.expose();
    let ada = json!({ "email": "ada@acme.example", "role": "operator" });
    let lost = caller.post_json(INVITES, owner, &ada).await;
    assert_eq!(lost.status, StatusCode::CREATED, "{}", lost.body);
    let sent = caller.post_json(INVITES, owner, &ada).await;
    let listed = caller.get(INVITES, owner).await.body;
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        1,
        "a resend replaces"
    );
    assert!(
        !listed.to_string().contains("pr_i_"),
        "tokens are shown once"
    );

    let token = |answer: &TestResponse| answer.body["token"].as_str().unwrap().to_owned();
    let accepted = accept(&caller, &token(&sent), PASSWORD).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{}", accepted.body);
    assert_eq!(accepted.body["session"]["role"], "operator");
    let session = token(&accepted);
    assert_eq!(
        caller.get("/v1/sessions", &session).await.status,
        StatusCode::OK
    );
    assert_eq!(
        caller.get(INVITES, &session).await.status,
        StatusCode::FORBIDDEN
    );
    let denials: i64 = acme
        .db
        .one("select count(*) from audit_entries where action = 'authz_fail' and resource_id = 'list_invites'")
        .await;
    assert_eq!(denials, 1);

    let again = accept(&caller, &token(&sent), PASSWORD).await;
    assert_eq!(again.status, StatusCode::GONE, "{}", again.body);
}

#[tokio::test]
async fn every_dead_or_foreign_token_gets_one_answer() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let owner = acme.owner_token.expose();
    let of = |address: &str| json!({ "email": address, "role": "member" });
    let taken = caller
        .post_json(INVITES, owner, &of("owner@acme.example"))
        .await;
    assert_eq!(
        taken.status,
        StatusCode::CREATED,
        "an address with an account is invited like any other"
    );
    let back = caller
        .post_json(INVITES, owner, &of("back@acme.example"))
        .await;
    let path = format!("{INVITES}/{}", back.body["invite"]["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(
            caller.delete(&path, owner).await.status,
            StatusCode::NO_CONTENT
        );
    }
    let unknown = jobs::domain::InviteToken::generate();
    let mut bodies = Vec::new();
    for token in [
        taken.body["token"].as_str().unwrap(),
        back.body["token"].as_str().unwrap(),
        unknown.expose(),
        owner,
        "garbage",
        "",
    ] {
        let mut answer = accept(&caller, token, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::GONE, "{}", answer.body);
        answer.body["request_id"] = Value::Null;
        bodies.push(answer.body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[tokio::test]
async fn weak_password_is_refused_and_the_invite_stands() {
    let db = TestDb::new().await;
    let slug = "acme".parse().unwrap();
    let invited = bootstrap(db.pool(), &slug, &email("ada@acme.example"))
        .await
        .unwrap();
    let api = Api::spawn(&db).await;
    let caller = Caller::at(api.addr);
    let long = "a".repeat(129);
    for (password, code) in [
        ("short", "TOO_SHORT"),
        (&*long, "TOO_LONG"),
        ("Password123", "TOO_COMMON"),
    ] {
        let refused = accept(&caller, invited.token.expose(), password).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{}",
            refused.body
        );
        assert_eq!(refused.body["errors"][0]["pointer"], "/password");
        assert_eq!(refused.body["errors"][0]["code"], code);
        assert!(!refused.body.to_string().contains(password));
    }
    let accepted = accept(&caller, invited.token.expose(), PASSWORD).await;
    assert_eq!(accepted.status, StatusCode::CREATED, "{}", accepted.body);
}

#[tokio::test]
async fn invites_of_another_tenant_cannot_be_seen_or_revoked() {
    let acme = TestTenant::open().await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    let other = bootstrap(
        acme.db.pool(),
        &"other".parse().unwrap(),
        &email("o@other.example"),
    )
    .await
    .unwrap();
    let stranger = accept(&caller, other.token.expose(), PASSWORD).await.body;
    let stranger = stranger["token"].as_str().unwrap();
    let body = json!({ "email": "ada@acme.example", "role": "member" });
    let invited = caller
        .post_json(INVITES, acme.owner_token.expose(), &body)
        .await
        .body;
    let id = invited["invite"]["id"].as_str().unwrap();
    assert_eq!(caller.get(INVITES, stranger).await.body["items"], json!([]));
    let foreign = caller.delete(&format!("{INVITES}/{id}"), stranger).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let accepted = accept(&caller, invited["token"].as_str().unwrap(), PASSWORD).await;
    assert_eq!(accepted.status, StatusCode::CREATED);
}

#[tokio::test]
async fn nobody_invites_above_their_own_role_or_without_an_address() {
    let acme = TestTenant::open().await;
    let (_, admin) = acme.join("admin@acme.example", Role::Admin).await;
    let api = Api::spawn(&acme.db).await;
    let caller = Caller::at(api.addr);
    for (body, status) in [
        (
            json!({ "email": "a@acme.example", "role": "owner" }),
            StatusCode::FORBIDDEN,
        ),
        (
            json!({ "email": "a@acme.example", "role": "admin" }),
            StatusCode::CREATED,
        ),
        (
            json!({ "email": "nobody", "role": "member" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "email": "a@acme.example", "role": "emperor" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({ "email": "a@acme.example", "role": "member", "tenant": "x" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let answer = caller.post_json(INVITES, admin.expose(), &body).await;
        assert_eq!(answer.status, status, "{body} {}", answer.body);
    }
}
