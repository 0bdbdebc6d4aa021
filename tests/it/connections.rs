//! What a user says of an account is checked field by field, its secret is kept sealed, and a colleague sees none of it.

mod encrypted;
mod tested;

use crate::{
    actions::sending::KEYS,
    support::{
        Client, TestDb,
        client::{TestResponse, send},
        process::{Ended, Process},
        system::TestApi,
    },
};
use jobs::domain::Role;
use reqwest::Method;
use serde_json::{Value, json};

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

async fn open() -> (TestDb, TestApi, Client) {
    let db = TestDb::new().await;
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    let client = api.sign_in(&db).await;
    (db, api, client)
}

pub(crate) async fn connect(client: &Client, account: &Value) -> TestResponse {
    let request = client.request(Method::POST, "/v1/connections");
    send(request.json(account)).await
}

pub(crate) async fn reauth(client: &Client, connection: &Value, secret: &Value) -> TestResponse {
    let path = format!(
        "/v1/connections/{}/reauth",
        connection["id"].as_str().unwrap()
    );
    let request = client
        .request(Method::POST, &path)
        .header("If-Match", format!("\"{}\"", connection["version"]));
    send(request.json(secret)).await
}

fn calendar() -> Value {
    json!({
        "provider": "caldav", "display_name": "Work", "url": "https://cal.example.org/ada/work",
        "username": "ada", "password": "hunter2-marked",
    })
}

#[tokio::test]
async fn calendar_is_connected_as_a_collection_and_its_password_does_not_come_out() {
    let (db, _api, client) = open().await;
    let made = connect(&client, &calendar()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("etag"), Some("\"1\""));
    assert_eq!(made.body["provider"], "caldav");
    assert_eq!(made.body["url"], "https://cal.example.org/ada/work/");
    assert_eq!(made.body["address"], made.body["url"]);
    assert_eq!(made.body["smtp"], Value::Null);
    assert_eq!(made.body["status"], "active");
    connect(&client, &calendar())
        .await
        .assert_problem(409, "CONFLICT", "the same calendar again");
    let listed = client.get("/v1/connections").await;
    assert_eq!(listed.body["items"], json!([made.body]));
    assert!(!listed.text.contains("hunter2"));
    let stored: i64 = db
        .one("select count(*) from connections c where c::text ~ 'hunter2' or secret::text ~ '68756e74657232'")
        .await;
    assert_eq!(stored, 0, "it is sealed");
}

#[tokio::test]
async fn signing_secret_that_we_made_is_shown_once_and_another_never() {
    let (_db, _api, client) = open().await;
    let webhook = |url: &str| json!({"provider": "webhook", "url": url});
    let made = connect(&client, &webhook("https://hooks.example.org/x")).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let shown = made.body["signing_secret"].as_str().unwrap();
    assert!(shown.starts_with("whsec_") && shown.len() == 50, "{shown}");
    let seen = client.get("/v1/connections").await;
    assert!(!seen.text.contains("whsec_"), "{}", seen.text);
    let again = reauth(&client, &made.body, &json!({})).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_ne!(again.body["signing_secret"], made.body["signing_secret"]);
    assert_eq!(again.body["version"], 2);
    let mut own = webhook("https://hooks.example.org/y");
    own["signing_secret"] = json!(SECRET);
    let brought = connect(&client, &own).await;
    assert_eq!(brought.status, 201, "{}", brought.text);
    assert!(!brought.text.contains("whsec_"), "{}", brought.text);
}

#[tokio::test]
async fn each_provider_takes_its_own_fields_and_says_which_does_not_fit() {
    let (_db, _api, client) = open().await;
    let mail = json!({
        "provider": "imap_smtp", "address": "ada@acme.example", "username": "ada", "password": "x",
        "smtp": {"host": "smtp.acme.example", "port": 465, "security": "tls"},
    });
    let webhook = json!({"provider": "webhook", "url": "https://hooks.example.org/x"});
    for (base, field, value, pointer, code) in [
        (&mail, "address", Value::Null, "/address", "MISSING_FIELD"),
        (&mail, "smtp", Value::Null, "/smtp", "MISSING_FIELD"),
        (&mail, "password", Value::Null, "/password", "MISSING_FIELD"),
        (
            &mail,
            "url",
            json!("https://x.example/"),
            "/url",
            "UNKNOWN_FIELD",
        ),
        (
            &mail,
            "max_recipients",
            json!(0),
            "/max_recipients",
            "INVALID_VALUE",
        ),
        (&calendar(), "url", Value::Null, "/url", "MISSING_FIELD"),
        (
            &calendar(),
            "url",
            json!("https://a:b@x.example/"),
            "/url",
            "INVALID_VALUE",
        ),
        (
            &calendar(),
            "url",
            json!("ftp://x.example/"),
            "/url",
            "INVALID_VALUE",
        ),
        (
            &calendar(),
            "username",
            json!("a\nb"),
            "/username",
            "INVALID_VALUE",
        ),
        (
            &calendar(),
            "sends_per_hour",
            json!(3),
            "/sends_per_hour",
            "UNKNOWN_FIELD",
        ),
        (
            &webhook,
            "password",
            json!("x"),
            "/password",
            "UNKNOWN_FIELD",
        ),
        (
            &webhook,
            "signing_secret",
            json!("whsec_AQ=="),
            "/signing_secret",
            "INVALID_VALUE",
        ),
    ] {
        let mut account = base.clone();
        account[field] = value;
        let refused = connect(&client, &account).await;
        refused.assert_problem(422, "INVALID_BODY", field);
        let error = &refused.body["errors"][0];
        assert_eq!(error["pointer"], pointer, "{}", refused.text);
        assert_eq!(error["code"], code, "{}", refused.text);
        assert!(!refused.text.contains("a:b@"), "{}", refused.text);
    }
    let none = client.get("/v1/connections").await;
    assert_eq!(none.body["items"], json!([]));
}

#[tokio::test]
async fn secret_of_another_kind_opens_nothing_and_a_colleague_sees_nothing() {
    let (db, _api, client) = open().await;
    let made = connect(&client, &calendar()).await.body;
    for (secret, about) in [
        (json!({}), "a calendar is not signed"),
        (json!({"signing_secret": SECRET}), "neither with their own"),
        (
            json!({"username": "a", "password": "b", "signing_secret": SECRET}),
            "one of them",
        ),
    ] {
        reauth(&client, &made, &secret)
            .await
            .assert_problem(422, "INVALID_BODY", about);
    }
    let colleague = client.colleague(&db, Role::Member).await;
    let login = json!({"username": "ada", "password": "new"});
    reauth(&colleague, &made, &login)
        .await
        .assert_problem(404, "NOT_FOUND", "not theirs");
    let listed = colleague.get("/v1/connections").await;
    assert_eq!(listed.body["items"], json!([]));
    let twin = connect(&colleague, &calendar()).await;
    assert_eq!(twin.status, 201, "a calendar may be shared: {}", twin.text);
    let renewed = reauth(&client, &made, &login).await;
    assert_eq!(renewed.body["version"], 2, "{}", renewed.text);
    reauth(&client, &made, &login).await.assert_problem(
        412,
        "PRECONDITION_FAILED",
        "an old version",
    );
}

#[tokio::test]
async fn secrets_are_sealed_anew_with_the_first_key_and_then_need_no_other() {
    const NEW: &str = "k2:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    let (db, _api, client) = open().await;
    let made = connect(&client, &calendar()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let both = format!("{NEW},{KEYS}");
    let url = db.url();
    for sealed in ["1 secret(s) sealed anew", "0 secret(s) sealed anew"] {
        let variables = [("DATABASE_URL", url.as_str()), ("CREDENTIAL_KEYS", &both)];
        let ended = Process::spawn("postroom-api", &["admin", "reseal"], &variables)
            .ended()
            .await;
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(
            ended.stdout.contains(sealed) && ended.stdout.contains("from now on: k2"),
            "{}",
            ended.stdout
        );
    }
    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", NEW)]).await;
    let client = client.at(api.addr);
    let listed = client.get("/v1/connections").await;
    assert_eq!(listed.body["items"][0]["version"], made.body["version"]);
    let tenant = client.tenant;
    let id: uuid::Uuid = db.one("select id from connections").await;
    let secret: Vec<u8> = db.one("select secret from connections").await;
    let keys = api.app.config.keys.as_ref().unwrap();
    let id = jobs::domain::ConnectionId(id);
    jobs::commands::connections::connect::open_login(keys, tenant, id, &secret)
        .expect("it opens with the new key alone");
}

#[tokio::test]
async fn run_of_reseal_that_breaks_off_leaves_an_entry_that_says_how_many_were_sealed() {
    const NEW: &str = "k2:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    let (db, _api, client) = open().await;
    assert_eq!(connect(&client, &calendar()).await.status, 201);
    // Connections come first.
    db.execute("alter table second_factors rename to second_factors_away")
        .await;
    let (url, both) = (db.url(), format!("{NEW},{KEYS}"));
    let slug = format!("t-{}", client.tenant.0.simple());
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("CREDENTIAL_KEYS", &both),
        ("OPERATOR_TENANT", &slug),
    ];
    let ended = Process::spawn("postroom-api", &["admin", "reseal"], &variables)
        .ended()
        .await;
    assert!(!ended.status.success(), "{}", ended.stdout);
    let says = "1 secret(s) were sealed anew";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let recorded: String = db
        .one(
            "select string_agg(concat_ws(' ', resource_id, outcome, error_code, detail->>'secrets'), ', ' order by seq)
             from audit_entries where action = 'secrets.resealed'",
        )
        .await;
    assert_eq!(recorded, "k2 ok 1, k2 failed interrupted 1");
    let sealed_by: String = db.one("select key_id from connections").await;
    assert_eq!(sealed_by, "k2");
}

async fn admin_with(db: &TestDb, args: &[&str], keys: &str) -> Ended {
    let url = db.url();
    let variables = [("DATABASE_URL", url.as_str()), ("CREDENTIAL_KEYS", keys)];
    let args = [&["admin"][..], args].concat();
    Process::spawn("postroom-api", &args, &variables)
        .ended()
        .await
}

#[tokio::test]
async fn secret_that_does_not_open_is_reported_and_what_its_lost_key_seals_can_be_given_up() {
    const NEW: &str = "k2:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
    let (db, api, client) = open().await;
    let made = connect(&client, &calendar()).await;
    let lost = made.body["id"].as_str().unwrap();
    let other = json!({
        "provider": "caldav", "url": "https://cal.example.org/bob/", "username": "bob", "password": "hunter3",
    });
    assert_eq!(connect(&client, &other).await.status, 201);
    let colleague = client.colleague(&db, Role::Member).await;
    db.execute(&format!(
        "update connections set secret = '\\x01026b31' || substr(secret, 5) || '\\x00' where id = '{lost}';
         insert into second_factors (tenant_id, user_id, secret, key_id, confirmed_at)
         select tenant_id, id, '\\x01026b31', 'k1', now() from users where role = 'member'"
    ))
    .await;
    api.stop().await;

    let both = format!("{NEW},{KEYS}");
    let ended = admin_with(&db, &["reseal"], &both).await;
    assert!(!ended.status.success(), "{}", ended.stdout);
    let says = "1 secret(s) sealed anew; needed from now on: k1 (1 connection(s), 1 second factor(s), 0 exchange(s) with models), k2";
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
    let row = format!("connection {lost} does not open");
    assert!(ended.stdout.contains(&row), "{}", ended.stdout);

    let kept = admin_with(&db, &["connections", "forget-key", "k1"], &both).await;
    assert!(kept.stderr.contains("it is not lost"), "{}", kept.stderr);
    let given_up = admin_with(&db, &["connections", "forget-key", "k1"], NEW).await;
    let says = "1 connection(s) need their secret again; 1 second factor(s) removed";
    assert!(given_up.stdout.contains(says), "{}", given_up.stderr);

    let api = TestApi::start_with(&db, &[("CREDENTIAL_KEYS", NEW)]).await;
    let client = client.at(api.addr);
    let shown = client.get(&format!("/v1/connections/{lost}")).await.body;
    assert_eq!(shown["status"], "reauth_required", "{shown}");
    assert_eq!(shown["last_error"], "key_lost");
    let login = json!({"username": "ada", "password": "new"});
    let renewed = reauth(&client, &shown, &login).await;
    assert_eq!(renewed.body["status"], "active", "{}", renewed.text);
    let ended = colleague.at(api.addr).get("/v1/sessions").await;
    assert_eq!(ended.status, 401, "what the factor protected");
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where actor_kind = 'cli'")
        .await;
    assert_eq!(audited, "connection.refused authn_second_factor_reset");
}
