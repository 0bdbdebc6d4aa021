//! API keys: made once, shown once, valid where and as long as they say, and never more than they say.

use crate::support::{
    Client, TestDb,
    api_keys::{all_scopes, issue, key},
    caller::{Caller, admin},
    client::{TestResponse, send},
    system::TestApi,
};
use jobs::domain::{api_key::KeyScope, session::Role};
use reqwest::Method;
use serde_json::{Value, json};

const KEYS: &str = "/v1/api-keys";
const MAIL: &[u8] = b"From: a@client.example\r\nTo: b@postroom.example\r\nSubject: Hi\r\nMessage-ID: <k1@b>\r\n\r\nHi.\r\n";

async fn create(client: &Client, body: &Value) -> TestResponse {
    send(client.request(Method::POST, KEYS).json(body)).await
}

async fn rotate(client: &Client, id: &str, body: &Value) -> TestResponse {
    let path = format!("{KEYS}/{id}/rotate");
    send(client.request(Method::POST, &path).json(body)).await
}

fn word<'a>(body: &'a Value, pointer: &str) -> &'a str {
    body.pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[tokio::test]
async fn key_is_shown_once_used_rotated_and_revoked() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, caller) = (api.sign_in(&db).await, Caller::at(api.addr));
    let new =
        json!({"name": " Importer ", "scopes": ["jobs:read", "jobs:write"], "expires_in_days": 90});
    let created = create(&owner, &new).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let (first, id) = (
        word(&created.body, "/token"),
        word(&created.body, "/api_key/id"),
    );
    assert_eq!(word(&created.body, "/api_key/name"), "Importer");
    assert!(first.starts_with("pr_k_") && first.ends_with(word(&created.body, "/api_key/last4")));
    assert_eq!(caller.get("/v1/jobs", first).await.status, 200);

    let listed = owner.get(KEYS).await;
    assert!(!listed.text.contains("pr_k_"), "{}", listed.text);
    assert_eq!(word(&listed.body, "/items/0/id"), id);
    assert!(
        listed.body["items"][0]["last_used_at"].is_string(),
        "{}",
        listed.text
    );
    assert!(!db.dump().await.contains(first), "only a hash is stored");

    let kept = rotate(&owner, id, &json!({})).await;
    let second = word(&kept.body, "/token");
    for token in [first, second] {
        assert_eq!(
            caller.get("/v1/jobs", token).await.status,
            200,
            "both, for a day"
        );
    }
    let ended = rotate(&owner, id, &json!({"grace_seconds": 0})).await;
    let third = word(&ended.body, "/token");
    for token in [first, second] {
        let refused = caller.get("/v1/jobs", token).await;
        refused.assert_problem(401, "UNAUTHENTICATED", "rotated away");
    }
    assert_eq!(caller.get("/v1/jobs", third).await.status, 200);

    for _ in 0..2 {
        let path = format!("{KEYS}/{id}");
        let revoked = send(owner.request(Method::DELETE, &path)).await;
        assert_eq!(revoked.status, 204, "{}", revoked.text);
    }
    let refused = caller.get("/v1/jobs", third).await;
    refused.assert_problem(401, "UNAUTHENTICATED", "revoked");
    let after = rotate(&owner, id, &json!({})).await;
    after.assert_problem(404, "NOT_FOUND", "a revoked key is not rotated");
    let trail: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where resource_kind = 'api_key'")
        .await;
    assert_eq!(
        trail,
        "api_key.created api_key.rotated api_key.rotated api_key.revoked"
    );
}

#[tokio::test]
async fn key_is_an_identity_of_its_own() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let issued = issue(&db, owner.tenant, [KeyScope::JobsWrite, KeyScope::JobsRead]).await;
    let program = owner.with_token(issued.token.expose());
    let job = program.submitted(MAIL, "one-key").await;
    let own = owner.submit(
        b"From: c@client.example\r\nSubject: Other\r\n\r\nOther.\r\n",
        "one-key",
    );
    assert_eq!(own.await.status, 202, "another caller's idempotency key");
    assert_eq!(
        program.submitted(MAIL, "one-key").await,
        job,
        "replayed to the key"
    );
    let actor: String = db
        .one("select distinct actor_kind || ' ' || actor_id from audit_entries where action = 'job.submitted' and actor_kind = 'api_key'")
        .await;
    assert_eq!(actor, format!("api_key {}", issued.key.id));
}

#[tokio::test]
async fn key_is_valid_from_its_addresses_only() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, caller) = (api.sign_in(&db).await, Caller::at(api.addr));
    for (ranges, status) in [
        (json!(["127.0.0.0/8", "2001:db8::/32"]), 200),
        (json!(["192.0.2.0/24", "::/0"]), 401),
    ] {
        let new = json!({"name": "k", "scopes": ["jobs:read"], "address_ranges": ranges});
        let created = create(&owner, &new).await;
        let token = word(&created.body, "/token").to_owned();
        // The first request records the use, the others are read together with others.
        for _ in 0..3 {
            assert_eq!(
                caller.get("/v1/jobs", &token).await.status,
                status,
                "{ranges}"
            );
        }
    }
}

#[tokio::test]
async fn key_with_a_fault_is_refused_where_the_fault_is() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let many = vec!["192.0.2.1"; 21];
    for (change, pointer) in [
        (json!({"name": " "}), "/name"),
        (json!({"name": "x".repeat(101)}), "/name"),
        (json!({"scopes": []}), "/scopes"),
        (
            json!({"scopes": ["jobs:read", "approvals:decide"]}),
            "/scopes/1",
        ),
        (json!({"expires_in_days": 0}), "/expires_in_days"),
        (json!({"expires_in_days": 366}), "/expires_in_days"),
        (
            json!({"address_ranges": ["192.0.2.0/24", "192.0.2.1/24"]}),
            "/address_ranges/1",
        ),
        (json!({"address_ranges": many}), "/address_ranges"),
    ] {
        let mut new = json!({"name": "k", "scopes": ["jobs:read"]});
        new.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let refused = create(&owner, &new).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert_eq!(
            word(&refused.body, "/errors/0/pointer"),
            pointer,
            "{}",
            refused.text
        );
    }
    let id = issue(&db, owner.tenant, all_scopes())
        .await
        .key
        .id
        .to_string();
    let refused = rotate(&owner, &id, &json!({"grace_seconds": 604_801})).await;
    refused.assert_problem(422, "INVALID_BODY", "grace");
}

#[tokio::test]
async fn table_of_keys_refuses_a_scope_that_no_key_may_carry() {
    let db = TestDb::new().await;
    let owner = Client::owner_of_new_tenant(&db).await;
    issue(&db, owner.tenant, [KeyScope::JobsRead]).await;
    for scopes in ["{}", "{jobs:read,approvals:decide}", "{keys:manage}"] {
        let sql = format!("update api_keys set scopes = '{scopes}'");
        let written = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(db.pool())
            .await;
        assert!(written.is_err(), "{scopes}");
    }
}

#[tokio::test]
async fn tenant_has_a_hundred_keys_at_most() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    for _ in 0..100 {
        issue(&db, owner.tenant, [KeyScope::JobsRead]).await;
    }
    let new = json!({"name": "k", "scopes": ["jobs:read"]});
    create(&owner, &new)
        .await
        .assert_problem(409, "CONFLICT", "the 101st");
    db.execute(
        "update api_keys set revoked_at = now() where ctid = (select min(ctid) from api_keys)",
    )
    .await;
    assert_eq!(create(&owner, &new).await.status, 201);
}

#[tokio::test]
async fn command_line_makes_lists_rotates_and_revokes_keys() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, caller) = (api.sign_in(&db).await, Caller::at(api.addr));
    let slug = format!("t-{}", owner.tenant.0.simple());
    let run = async |args: &[&str]| {
        let ended = admin(&db.url(), &[&["keys"], args].concat()).await;
        assert!(ended.status.success(), "{args:?}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    };
    let tenant = ["--tenant", slug.as_str()];
    let new = [
        "create",
        "--name",
        "cron",
        "--scope",
        "jobs:read",
        "--address-range",
        "127.0.0.1",
    ];
    let token = run(&[&new, &tenant[..]].concat()).await;
    assert_eq!(caller.get("/v1/jobs", &token).await.status, 200);
    let line = run(&[&["list"], &tenant[..]].concat()).await;
    assert!(
        line.contains("cron") && line.contains("jobs:read"),
        "{line}"
    );
    let id = line.split(' ').next().unwrap();
    let rotated = run(&[&["rotate", id, "--grace-seconds", "0"], &tenant[..]].concat()).await;
    assert_eq!(caller.get("/v1/jobs", &token).await.status, 401);
    assert_eq!(caller.get("/v1/jobs", &rotated).await.status, 200);
    run(&[&["revoke", id], &tenant[..]].concat()).await;
    assert_eq!(caller.get("/v1/jobs", &rotated).await.status, 401);
    assert_eq!(run(&[&["list"], &tenant[..]].concat()).await, "no keys");
    let refused = admin(
        &db.url(),
        &[
            &[
                "keys",
                "create",
                "--name",
                "x",
                "--scope",
                "approvals:decide",
            ],
            &tenant[..],
        ]
        .concat(),
    )
    .await;
    assert!(!refused.status.success() && refused.stderr.contains("jobs:write"));
    let actors: String = db
        .one("select string_agg(distinct actor_kind, ' ') from audit_entries where resource_kind = 'api_key'")
        .await;
    assert_eq!(actors, "cli");
}

#[tokio::test]
async fn key_outlives_its_creator_and_ends_with_its_tenant() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (owner, caller) = (api.sign_in(&db).await, Caller::at(api.addr));
    let creator = owner.colleague(&db, Role::Admin).await;
    let created = create(&creator, &json!({"name": "k", "scopes": ["jobs:read"]})).await;
    let token = word(&created.body, "/token").to_owned();
    db.execute("update users set status = 'suspended' where role = 'admin'")
        .await;
    assert_eq!(creator.get("/v1/jobs").await.status, 401);
    assert_eq!(caller.get("/v1/jobs", &token).await.status, 200);
    db.execute("update tenants set status = 'closed'").await;
    assert_eq!(caller.get("/v1/jobs", &token).await.status, 401);
}

#[tokio::test]
async fn key_in_a_url_is_refused() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let token = key(&db, owner.tenant, all_scopes()).await;
    let refused = owner.get(&format!("/v1/jobs?key={token}")).await;
    refused.assert_problem(401, "UNAUTHENTICATED", "a URL ends up in logs");
}
