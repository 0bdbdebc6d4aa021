//! Webhooks that were connected before their URLs were sealed, and what `admin reseal` makes of them beside running processes.

use super::{answering, call, hooked, paths};
use crate::{
    actions::{
        approved::approval_in,
        sending::{KEYS, TestApp},
    },
    connections::{connect, reauth},
    support::{
        eventually,
        process::{Ended, Process},
        wait::SOON,
    },
};
use jobs::{
    commands::connections::connect::open_webhook_secret,
    domain::{
        ConnectionId,
        connection::{Secret, SigningSecret, WebhookSecret},
    },
    secrets::{Sealed, SecretRow},
    store::connections::unsealed_urls,
};
use serde_json::{Value, json};
use wiremock::ResponseTemplate;

fn sealed(app: &TestApp, connection: &str, secret: WebhookSecret) -> Sealed {
    let keys = app.api.app.config.keys.as_ref().unwrap();
    let place = SecretRow {
        table: "connections",
        tenant: app.client.tenant.0,
        row: connection.parse().unwrap(),
        column: "secret",
    };
    keys.seal(place, &Secret::Webhook(secret).joined())
}

/// Stores the URL of a webhook as it was stored before URLs were sealed.
async fn unseal(app: &TestApp, connection: &str, signing: &str, url: &str) {
    let secret = WebhookSecret {
        signing: SigningSecret::parse(&signing.to_owned().into()).unwrap(),
        url: None,
    };
    let digits = base::hex(&sealed(app, connection, secret).bytes);
    app.db
        .execute(&format!(
            "update connections set address = '{url}', settings = '{{\"url\": \"{url}\"}}', secret = '\\x{digits}' \
             where id = '{connection}'"
        ))
        .await;
}

async fn reseal(app: &TestApp) -> Ended {
    let database = app.db.url();
    let variables = [
        ("DATABASE_URL", database.as_str()),
        ("CREDENTIAL_KEYS", KEYS),
    ];
    let ended = Process::spawn("postroom-api", &["admin", "reseal"], &variables)
        .ended()
        .await;
    assert!(ended.status.success(), "{}", ended.stderr);
    ended
}

#[tokio::test]
async fn url_that_was_stored_unsealed_is_sealed_by_reseal_and_called_before_and_after() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(204)).await;
    let url = format!("{}/services/mossyferns", receiver.uri());
    let (connection, secret) = hooked(&app, &url).await;
    unseal(&app, &connection, &secret, &url).await;
    let _worker = app.worker().await;
    for ask in ["before", "after"] {
        let mut action = call(&connection);
        action["external_id"] = json!(ask);
        let approval = app.proposed(&action).await;
        app.agree(&approval).await;
        approval_in(&app.client, &approval, "executed").await;
        let ended = reseal(&app).await;
        let count = i32::from(ask == "before");
        let says = format!("{count} secret(s) sealed anew");
        assert!(ended.stdout.contains(&says), "{}", ended.stdout);
    }
    assert_eq!(paths(&receiver).await, ["/services/mossyferns"; 2]);
    let row: String = app
        .db
        .one("select connections::text from connections where provider = 'webhook'")
        .await;
    assert!(!row.contains("mossyferns"), "{row}");
}

#[tokio::test]
async fn url_that_was_connected_twice_meanwhile_is_sealed_under_two_names() {
    let app = TestApp::open().await;
    let url = "https://hooks.example.org/services/mossyferns";
    let (connection, secret) = hooked(&app, url).await;
    unseal(&app, &connection, &secret, url).await;
    hooked(&app, url).await;
    let ended = reseal(&app).await;
    let says = "1 secret(s) sealed anew";
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
    let row = "select count(distinct address) from connections where provider = 'webhook'";
    assert_eq!(app.db.one::<i64>(row).await, 2);
    let dump = app.db.dump().await;
    assert!(!dump.contains("mossyferns"));
    let again = reseal(&app).await;
    let says = "0 secret(s) sealed anew";
    assert!(again.stdout.contains(says), "{}", again.stdout);
    let twin = connect(&app.client, &json!({"provider": "webhook", "url": url})).await;
    twin.assert_problem(409, "CONFLICT", "it is connected already");
}

#[tokio::test]
async fn new_signing_secret_keeps_the_url_that_is_sealed_at_the_same_time() {
    let app = TestApp::open().await;
    let url = "https://hooks.example.org/services/mossyferns";
    let (connection, signing) = hooked(&app, url).await;
    unseal(&app, &connection, &signing, url).await;
    let mut tx = app.db.pool().begin().await.unwrap();
    let found = unsealed_urls::lock(&mut tx, None, 10)
        .await
        .unwrap()
        .remove(0);
    let path = format!("/v1/connections/{connection}");
    let shown: Value = app.client.get(&path).await.body;
    let none = json!({});
    let renewing = reauth(&app.client, &shown, &none);
    let sealing = async {
        eventually(SOON, async || {
            let waiting = "select count(*) from pg_stat_activity
                where datname = current_database() and wait_event_type = 'Lock'";
            let waiting: i64 = app.db.one(waiting).await;
            (waiting > 0)
                .then_some(())
                .ok_or_else(|| "nothing waits for the row".to_owned())
        })
        .await;
        let secret = WebhookSecret {
            signing: SigningSecret::parse(&signing.clone().into()).unwrap(),
            url: Some(found.url.clone()),
        };
        let secret = sealed(&app, &connection, secret);
        unsealed_urls::set_sealed(&mut tx, &found, Some(&secret))
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    let (renewed, ()) = tokio::join!(renewing, sealing);
    assert_eq!(renewed.status, 200, "{}", renewed.text);
    let keys = app.api.app.config.keys.as_ref().unwrap();
    let id = ConnectionId(connection.parse().unwrap());
    let secret: Vec<u8> = app
        .db
        .one("select secret from connections where provider = 'webhook'")
        .await;
    let secret = open_webhook_secret(keys, app.client.tenant, id, &secret).unwrap();
    assert!(secret.url.is_some(), "the URL is still there");
}
