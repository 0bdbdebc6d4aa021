//! Sign-in by others: a token of the tenant's identity provider opens an ordinary session, once, and nothing else does.

mod keys;
mod signing;

use crate::support::{
    caller::{Caller, admin},
    client::{TestResponse, send},
    people::{PASSWORD, TestTenant},
    system::TestApi,
};
use hmac::{Hmac, KeyInit, Mac};
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use signing::{SigningKey, key_set, signed};
use std::time::SystemTime;

const OWN: &str = "/v1/identity-provider";
const ISSUER: &str = "https://login.acme.example/";
const AUDIENCE: &str = "postroom";
const ADA: &str = "ada@acme.example";

/// Seconds since 1970, so much later.
fn at(later: i64) -> i64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    i64::try_from(now).unwrap() + later
}

/// What a good token says.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "4711", "exp": at(300), "nbf": at(-5), "iat": at(-5),
        "email": ADA, "email_verified": true, "nonce": rand::random::<u64>().to_string(),
    })
}

/// A good token's claims with one of them replaced; null leaves it out.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

async fn exchange(caller: &Caller, token: &str) -> TestResponse {
    let body = json!({"tenant": "acme", "token": token});
    let request = caller.anonymous(Method::POST, "/v1/sessions/exchange");
    send(request.json(&body)).await
}

async fn put(caller: &Caller, token: &str, body: &Value) -> TestResponse {
    send(
        caller
            .anonymous(Method::PUT, OWN)
            .bearer_auth(token)
            .json(body),
    )
    .await
}

/// A provider with these keys.
fn provider(keys: &[&SigningKey]) -> Value {
    json!({"issuer": ISSUER, "audience": AUDIENCE, "jwks": key_set(keys)})
}

/// A tenant with its owner and Ada, and an API.
async fn open() -> (TestTenant, TestApi, Caller) {
    let acme = TestTenant::open().await;
    acme.join(ADA, Role::Member).await;
    let api = TestApi::start(&acme.db).await;
    let caller = Caller::at(api.addr);
    (acme, api, caller)
}

#[tokio::test]
async fn token_of_the_provider_opens_an_ordinary_session_once() {
    let (acme, _api, caller) = open().await;
    let keys = [
        SigningKey::rsa("r"),
        SigningKey::p256("p"),
        SigningKey::ed25519("e"),
    ];
    let token = keys[0].token(&claims());
    let off = exchange(&caller, &token).await;
    off.assert_problem(401, "TOKEN_REFUSED", "the tenant has not switched it on");
    let body = provider(&[&keys[0], &keys[1], &keys[2]]);
    let stored = put(&caller, acme.owner_token.expose(), &body).await;
    assert_eq!(stored.status, 200, "{}", stored.text);
    assert_eq!(stored.body["key_ids"], json!(["r", "p", "e"]));

    for key in &keys {
        let claims = claims_with("email", json!("ADA@acme.example"));
        let token = key.token(&claims);
        let opened = exchange(&caller, &token).await;
        assert_eq!(opened.status, 201, "{}: {}", key.algorithm(), opened.text);
        assert_eq!(opened.body["session"]["auth_method"], "oidc");
        assert_eq!(opened.body["session"]["role"], "member");
        assert!(opened.header("clear-site-data").is_some());
        let session = opened.body["token"].as_str().unwrap();
        assert_eq!(caller.get("/v1/jobs", session).await.status, 200);
        // ES256 gives the same claims another signature each time.
        for copy in [token, key.token(&claims)] {
            let again = exchange(&caller, &copy).await;
            again.assert_problem(401, "TOKEN_REFUSED", "each opens one session");
            assert_eq!(again.body["errors"][0]["code"], "TOKEN_USED");
        }
    }
    let mut audiences = claims_with("aud", json!(["another", AUDIENCE]));
    audiences["azp"] = json!(AUDIENCE);
    assert_eq!(
        exchange(&caller, &keys[1].token(&audiences)).await.status,
        201
    );
    let audited: String = acme
        .db
        .one(
            "select string_agg(action || ' ' || coalesce(error_code, 'ok'), ', ' order by id) from audit_entries
             where detail->>'method' = 'oidc' and action like 'authn\\_login%'",
        )
        .await;
    assert!(
        audited.starts_with("authn_login_success ok, authn_login_fail TOKEN_USED"),
        "{audited}"
    );

    let gone = caller.delete(OWN, acme.owner_token.expose()).await;
    assert_eq!(gone.status, 204);
    let off = exchange(&caller, &keys[0].token(&claims())).await;
    off.assert_problem(401, "TOKEN_REFUSED", "it is switched off");
}

#[tokio::test]
async fn token_that_is_not_the_providers_learns_nothing_and_a_signed_one_what_is_wrong() {
    let (acme, _api, caller) = open().await;
    let (rsa, p256) = (SigningKey::rsa("r"), SigningKey::p256("p"));
    put(
        &caller,
        acme.owner_token.expose(),
        &provider(&[&rsa, &p256]),
    )
    .await;
    let good = claims();
    let stranger = SigningKey::p256("p");
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let public = rsa.public().to_string();
    let hmac = |message: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(public.as_bytes()).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    };
    let changed = {
        let token = rsa.token(&good);
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let other = rsa.token(&claims_with("email", json!("owner@acme.example")));
        parts[1] = other.split('.').nth(1).unwrap().to_owned();
        parts.join(".")
    };
    for (why, token) in [
        ("not a token", "nonsense".to_owned()),
        (
            "unsigned",
            signed(&header("none", "r"), &good, |_| Vec::new()),
        ),
        (
            "unsigned",
            signed(&header("None", "r"), &good, |_| Vec::new()),
        ),
        (
            "HMAC with the public key",
            signed(&header("HS256", "r"), &good, hmac),
        ),
        ("another key with this id", stranger.token(&good)),
        ("an unknown key", SigningKey::ed25519("x").token(&good)),
        (
            "no key named",
            signed(&json!({"alg": "RS256"}), &good, |_| vec![0; 256]),
        ),
        (
            "signed by the other key",
            signed(&header("ES256", "r"), &good, |_| vec![0; 64]),
        ),
        ("changed after it was signed", changed),
    ] {
        let refused = exchange(&caller, &token).await;
        refused.assert_problem(401, "TOKEN_REFUSED", why);
        assert_eq!(refused.body["errors"], json!([]), "{why}");
    }
    let mut of_another_party = claims_with("aud", json!(["another", AUDIENCE]));
    of_another_party["azp"] = json!("another");
    for (code, claims) in [
        (
            "WRONG_ISSUER",
            claims_with("iss", json!("https://login.acme.example")),
        ),
        ("WRONG_ISSUER", claims_with("iss", Value::Null)),
        ("WRONG_AUDIENCE", claims_with("aud", json!("another"))),
        ("WRONG_AUDIENCE", claims_with("aud", Value::Null)),
        (
            "WRONG_AUTHORIZED_PARTY",
            claims_with("aud", json!(["another", AUDIENCE])),
        ),
        ("WRONG_AUTHORIZED_PARTY", of_another_party),
        ("NO_SUBJECT", claims_with("sub", Value::Null)),
        ("NO_SUBJECT", claims_with("sub", json!(""))),
        ("NO_ISSUE_TIME", claims_with("iat", Value::Null)),
        ("NO_EXPIRY", claims_with("exp", Value::Null)),
        ("TOKEN_EXPIRED", claims_with("exp", json!(at(-61)))),
        ("TOKEN_NOT_YET_VALID", claims_with("nbf", json!(at(70)))),
        (
            "NO_VERIFIED_EMAIL",
            claims_with("email_verified", json!(false)),
        ),
        (
            "NO_VERIFIED_EMAIL",
            claims_with("email_verified", Value::Null),
        ),
        ("NO_VERIFIED_EMAIL", claims_with("email", Value::Null)),
    ] {
        let refused = exchange(&caller, &rsa.token(&claims)).await;
        refused.assert_problem(401, "TOKEN_REFUSED", code);
        assert_eq!(refused.body["errors"][0]["code"], code);
    }
    for leeway in [
        claims_with("exp", json!(at(-40))),
        claims_with("nbf", json!(at(40))),
    ] {
        let opened = exchange(&caller, &rsa.token(&leeway)).await;
        assert_eq!(opened.status, 201, "clocks differ: {}", opened.text);
    }
    let sessions: i64 = acme
        .db
        .one("select count(*) from sessions where auth_method = 'oidc'")
        .await;
    assert_eq!(sessions, 2);
    let written: String = acme
        .db
        .one("select string_agg(a::text, ' ') from audit_entries a where action = 'authn_login_fail'")
        .await;
    assert!(
        written.contains("FORGED_TOKEN") && !written.contains("acme.example"),
        "{written}"
    );
}

#[tokio::test]
async fn user_is_one_of_the_tenant_who_may_log_in() {
    let (acme, _api, caller) = open().await;
    let key = SigningKey::ed25519("e");
    put(&caller, acme.owner_token.expose(), &provider(&[&key])).await;
    let nobody = key.token(&claims_with("email", json!("nobody@acme.example")));
    let refused = exchange(&caller, &nobody).await;
    refused.assert_problem(403, "NO_USER", "there is no such user");
    acme.join("nobody@acme.example", Role::Member).await;
    assert_eq!(
        exchange(&caller, &nobody).await.status,
        201,
        "it used nothing up"
    );
    acme.db
        .execute("update users set status = 'suspended' where email = 'ada@acme.example'")
        .await;
    let refused = exchange(&caller, &key.token(&claims())).await;
    refused.assert_problem(403, "NO_USER", "suspended");
    let other = json!({"tenant": "elsewhere", "token": key.token(&claims())});
    let request = caller.anonymous(Method::POST, "/v1/sessions/exchange");
    let refused = send(request.json(&other)).await;
    refused.assert_problem(401, "TOKEN_REFUSED", "another tenant does not accept it");
}

#[tokio::test]
async fn session_of_a_token_is_fresh_only_if_its_owner_was_just_there() {
    let (acme, _api, caller) = open().await;
    let key = SigningKey::ed25519("e");
    put(&caller, acme.owner_token.expose(), &provider(&[&key])).await;
    let owner = async |auth_time: Value| {
        let mut claims = claims_with("auth_time", auth_time);
        claims["email"] = json!("owner@acme.example");
        let opened = exchange(&caller, &key.token(&claims)).await;
        opened.body["token"].as_str().unwrap().to_owned()
    };
    let invite = json!({"email": "new@acme.example", "role": "member"});
    for (auth_time, status) in [
        (Value::Null, 403),
        (json!(at(-700)), 403),
        (json!(at(-60)), 201),
        (json!(at(10_000)), 201),
    ] {
        let token = owner(auth_time.clone()).await;
        let answer = caller.post_json("/v1/invites", &token, &invite).await;
        assert_eq!(answer.status, status, "{auth_time}: {}", answer.text);
    }
    let fresh: bool = acme
        .db
        .one("select bool_and(authenticated_at <= now()) from sessions")
        .await;
    assert!(fresh, "nobody will have been there in the future");
    let token = owner(Value::Null).await;
    let confirm = json!({"password": PASSWORD});
    let confirmed = caller
        .post_json("/v1/sessions/current/confirm", &token, &confirm)
        .await;
    assert_eq!(confirmed.status, 204);
    let answer = caller.post_json("/v1/invites", &token, &invite).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn provider_answers_for_the_second_factor_that_a_tenant_requires() {
    let (acme, _api, caller) = open().await;
    let key = SigningKey::ed25519("e");
    put(&caller, acme.owner_token.expose(), &provider(&[&key])).await;
    acme.db
        .execute("update tenants set require_second_factor = true")
        .await;
    let opened = exchange(&caller, &key.token(&claims())).await;
    let token = opened.body["token"].as_str().unwrap();
    assert_eq!(caller.get("/v1/jobs", token).await.status, 200);
    assert_eq!(
        caller.get("/v1/jobs", token).await.status,
        200,
        "read again"
    );
}

#[tokio::test]
async fn provider_is_chosen_by_owners_alone() {
    let (acme, _api, caller) = open().await;
    let (_, admin_token) = acme.join("admin@acme.example", Role::Admin).await;
    let key = SigningKey::p256("p");
    let body = provider(&[&key]);
    let refused = put(&caller, admin_token.expose(), &body).await;
    refused.assert_problem(403, "FORBIDDEN", "an admin could log in as the owner");
    let owner = acme.owner_token.expose();
    caller
        .get(OWN, owner)
        .await
        .assert_problem(404, "NOT_FOUND", "there is none");
    for (pointer, faulty) in [
        ("/jwks_url", json!({"issuer": ISSUER, "audience": AUDIENCE})),
        (
            "/jwks",
            json!({"issuer": ISSUER, "audience": AUDIENCE, "jwks": {"keys": []}}),
        ),
        (
            "/jwks_url",
            json!({"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": "keys.json"}),
        ),
        (
            "/issuer",
            json!({"issuer": "", "audience": AUDIENCE, "jwks": key_set(&[&key])}),
        ),
    ] {
        let refused = put(&caller, owner, &faulty).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    acme.db
        .execute("update sessions set authenticated_at = now() - interval '601 s'")
        .await;
    let stale = put(&caller, owner, &body).await;
    stale.assert_problem(403, "CONFIRMATION_REQUIRED", "it concerns access");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set(&[&key]).to_string()).unwrap();
    let url = acme.db.url();
    let path = file.path().to_str().unwrap();
    let shell = admin(
        &url,
        &[
            "identity-provider",
            "set",
            "--tenant",
            "acme",
            "--issuer",
            ISSUER,
            "--audience",
            AUDIENCE,
            "--jwks-file",
            path,
        ],
    )
    .await;
    assert!(shell.status.success(), "{}", shell.stderr);
    assert_eq!(exchange(&caller, &key.token(&claims())).await.status, 201);
    let shown = admin(&url, &["identity-provider", "show", "--tenant", "acme"]).await;
    assert!(
        shown.stdout.contains("keys p from a file"),
        "{}",
        shown.stdout
    );
    let removed = admin(&url, &["identity-provider", "remove", "--tenant", "acme"]).await;
    assert!(removed.stdout.contains("is removed"), "{}", removed.stderr);
    let actions: String = acme
        .db
        .one(
            "select string_agg(action || ' ' || actor_kind, ', ' order by id) from audit_entries
             where action like 'identity\\_provider%'",
        )
        .await;
    assert_eq!(
        actions,
        "identity_provider.set cli, identity_provider.deleted cli"
    );
}

#[tokio::test]
async fn refused_tokens_of_an_address_are_slowed_down() {
    let (acme, _api, caller) = open().await;
    let key = SigningKey::ed25519("e");
    put(&caller, acme.owner_token.expose(), &provider(&[&key])).await;
    exchange(&caller, "nonsense").await;
    acme.db
        .execute(
            "insert into login_failures (subject, at)
             select subject, now() - n * interval '1 ms' from login_failures, generate_series(1, 99) n",
        )
        .await;
    let throttled = exchange(&caller, &key.token(&claims())).await;
    throttled.assert_problem(429, "TOO_MANY_REQUESTS", "the hundred-and-first");
    assert!(throttled.retry_after().is_some());
}

#[tokio::test]
async fn keys_are_not_fetched_without_encryption_from_another_machine() {
    let (acme, _api, caller) = open().await;
    let owner = acme.owner_token.expose();
    for (url, status) in [
        ("http://login.acme.example/keys", 422),
        ("http://10.0.0.1/keys", 422),
        ("https://login.acme.example/keys", 200),
        ("http://127.0.0.1:9/keys", 200),
    ] {
        let body = json!({"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": url});
        let stored = put(&caller, owner, &body).await;
        assert_eq!(stored.status, status, "{url}: {}", stored.text);
        if status == 422 {
            assert_eq!(stored.body["errors"][0]["pointer"], "/jwks_url");
        }
    }
}
