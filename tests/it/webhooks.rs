//! Calls to a user's webhook, received for real: signed, made when a person has agreed, known again by their id, and never
//! where they must not go.

mod lost;
mod resealed;
mod subscribed;

use crate::{
    actions::{
        approved::approval_in,
        sending::{KEYS, TestApp},
    },
    connections::{connect, reauth},
    support::system::Worker,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

const CONTENT: &[u8] = b"From: Bob <bob@client.example>\r\nTo: owner@acme.example\r\nSubject: Invoice 7\r\n\
    Date: Mon, 23 Nov 2026 09:00:00 +0000\r\nMessage-ID: <7@client.example>\r\n\r\nThe-secret-content\r\n";

/// Connects the URL; the connection's id, and the secret that its calls are signed with.
pub(crate) async fn hooked(app: &TestApp, url: &str) -> (String, String) {
    let made = connect(&app.client, &json!({"provider": "webhook", "url": url})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let text = |field: &str| made.body[field].as_str().unwrap().to_owned();
    (text("id"), text("signing_secret"))
}

fn call(connection: &str) -> Value {
    json!({"type": "call_webhook", "payload": {"connection": connection}})
}

pub(crate) async fn answering(answer: ResponseTemplate) -> MockServer {
    let receiver = MockServer::start().await;
    Mock::given(any())
        .respond_with(answer)
        .mount(&receiver)
        .await;
    receiver
}

async fn received(receiver: &MockServer) -> Vec<Request> {
    receiver.received_requests().await.unwrap()
}

/// The path and query of each call.
async fn paths(receiver: &MockServer) -> Vec<String> {
    let calls = received(receiver).await;
    let target = |url: &reqwest::Url| match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    calls.iter().map(|call| target(&call.url)).collect()
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.get(name).unwrap().to_str().unwrap()
}

/// What a receiver computes by itself.
fn signature(secret: &str, request: &Request) -> String {
    let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(header(request, "webhook-id").as_bytes());
    mac.update(b".");
    mac.update(header(request, "webhook-timestamp").as_bytes());
    mac.update(b".");
    mac.update(&request.body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn call_is_signed_tells_of_the_email_without_its_text_and_waits_for_a_person() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(204)).await;
    let (connection, secret) = hooked(&app, &receiver.uri()).await;
    let worker = app.worker().await;
    let triaged = app.client.submitted(CONTENT, "a").await;
    app.client.finished(&triaged).await;
    let message: String = app.db.one("select id::text from messages").await;
    let mut action = call(&connection);
    action["message_id"] = json!(message);
    let approval = app.proposed(&action).await;
    assert_eq!(received(&receiver).await.len(), 0, "nobody has agreed");
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let requests = received(&receiver).await;
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(
        header(request, "webhook-signature"),
        signature(&secret, request)
    );
    let at: i64 = header(request, "webhook-timestamp").parse().unwrap();
    assert!(
        (app.db
            .one::<i64>("select extract(epoch from now())::bigint")
            .await
            - at)
            .abs()
            < 60
    );
    assert_eq!(header(request, "content-type"), "application/json");
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["id"], header(request, "webhook-id"));
    assert_eq!(body["type"], "action.call_webhook");
    let email = &body["data"]["message"];
    assert_eq!(email["subject"], "Invoice 7");
    assert_eq!(email["from"], "bob@client.example");
    assert_eq!(email["id"], message);
    assert!(!body.to_string().contains("The-secret-content"));
    let effect = app.effect().await;
    assert_eq!(effect["status"], "succeeded", "{effect}");
    assert_eq!(effect["receipt"]["status"], 204);
    let log = worker.process.log();
    assert!(!log.contains(&secret) && !log.contains("Invoice 7"));
}

#[tokio::test]
async fn receiver_that_fails_or_asks_for_a_pause_is_called_again_under_the_same_id() {
    let app = TestApp::open().await;
    let receiver = MockServer::start().await;
    for (status, times) in [(500, 1), (503, 1), (429, 1), (200, 9)] {
        let answer = ResponseTemplate::new(status);
        let answer = match status {
            429 => answer.insert_header("retry-after", "1"),
            _ => answer,
        };
        Mock::given(any())
            .respond_with(answer)
            .up_to_n_times(times)
            .mount(&receiver)
            .await;
    }
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let _worker = app.worker().await;
    let approval = app.proposed(&call(&connection)).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let ids: Vec<_> = received(&receiver)
        .await
        .iter()
        .map(|request| header(request, "webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let errors: i32 = app
        .db
        .one("select max(errors) from finished_jobs where kind = 'action.execute'")
        .await;
    assert_eq!(errors, 2, "a pause burns no attempt");
}

#[tokio::test]
async fn webhook_that_is_gone_is_disconnected_and_called_no_more() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(410)).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let _worker = app.worker().await;
    let first = app.proposed(&call(&connection)).await;
    app.agree(&first).await;
    let ended = approval_in(&app.client, &first, "failed").await;
    assert_eq!(ended["error"]["code"], "webhook_gone", "{ended}");
    let state: String = app
        .db
        .one("select status || ' ' || last_error || ' ' || length(secret) from connections where provider = 'webhook'")
        .await;
    assert_eq!(state, "revoked webhook_gone 0", "its secret is forgotten");
    let audited: i64 = app
        .db
        .one("select count(*) from audit_entries where action = 'connection.revoked' and actor_kind = 'worker'")
        .await;
    assert_eq!(audited, 1);
    let mut again = call(&connection);
    again["external_id"] = json!("again");
    let second = app.proposed(&again).await;
    app.agree(&second).await;
    let ended = approval_in(&app.client, &second, "failed").await;
    assert_eq!(ended["error"]["code"], "webhook_unknown", "{ended}");
    assert_eq!(received(&receiver).await.len(), 1);
}

#[tokio::test]
async fn refusal_or_a_redirect_is_the_end_and_nobody_else_is_called() {
    let elsewhere = answering(ResponseTemplate::new(200)).await;
    for (answer, code) in [
        (
            ResponseTemplate::new(307).insert_header("location", elsewhere.uri()),
            "webhook_moved",
        ),
        (ResponseTemplate::new(400), "webhook_refused"),
    ] {
        let app = TestApp::open().await;
        let receiver = answering(answer).await;
        let (connection, _) = hooked(&app, &receiver.uri()).await;
        let _worker = app.worker().await;
        let approval = app.proposed(&call(&connection)).await;
        app.agree(&approval).await;
        let ended = approval_in(&app.client, &approval, "failed").await;
        assert_eq!(ended["error"]["code"], code, "{ended}");
        assert_eq!(received(&receiver).await.len(), 1);
        assert_eq!(app.effect().await["status"], "failed_permanent");
    }
    assert_eq!(received(&elsewhere).await.len(), 0);
}

#[tokio::test]
async fn our_own_network_is_not_called_and_nothing_goes_in_the_clear() {
    let receiver = answering(ResponseTemplate::new(200)).await;
    let port = receiver.address().port();
    for (url, code) in [
        (receiver.uri(), "encryption_required"),
        (format!("https://127.0.0.1:{port}/"), "host_not_allowed"),
    ] {
        let app = TestApp::open().await;
        let (connection, _) = hooked(&app, &url).await;
        let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
        let _worker = Worker::spawn_with(&app.db, &variables).await;
        let approval = app.proposed(&call(&connection)).await;
        app.agree(&approval).await;
        let ended = approval_in(&app.client, &approval, "failed").await;
        assert_eq!(ended["error"]["code"], code, "{url}: {ended}");
    }
    assert_eq!(received(&receiver).await.len(), 0);
}

#[tokio::test]
async fn only_a_webhook_that_the_tenant_has_connected_is_called() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(200)).await;
    let stranger = app.api.sign_in(&app.db).await;
    let theirs = json!({"provider": "webhook", "url": receiver.uri()});
    let theirs = connect(&stranger, &theirs).await;
    assert_eq!(theirs.status, 201, "{}", theirs.text);
    let _worker = app.worker().await;
    let theirs = theirs.body["id"].as_str().unwrap();
    let approval = app.proposed(&call(theirs)).await;
    app.agree(&approval).await;
    let ended = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(ended["error"]["code"], "webhook_unknown", "{ended}");
    // A dry run says where it would go, and goes nowhere.
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let dry = json!({"actions": [call(&connection)], "dry_run": true});
    let output = crate::actions::done(&app.client, &dry).await;
    let would = &output["actions"][0]["receipt"]["would"];
    let post_to = would["post_to"].as_str().unwrap();
    let origin = format!("{}/#", receiver.uri());
    assert!(post_to.starts_with(&origin), "{output}");
    assert_eq!(received(&receiver).await.len(), 0);
}

#[tokio::test]
async fn url_of_a_webhook_is_sealed_and_called_whole_also_under_a_new_signing_secret() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(204)).await;
    let url = format!("{}/services/mossyferns?token=quietowls", receiver.uri());
    let (connection, _) = hooked(&app, &url).await;
    let twin = connect(&app.client, &json!({"provider": "webhook", "url": url})).await;
    twin.assert_problem(409, "CONFLICT", "it is connected already");
    let path = format!("/v1/connections/{connection}");
    let shown = app.client.get(&path).await;
    assert_eq!(shown.body["url"], format!("{}/", receiver.uri()));
    let renewed = reauth(&app.client, &shown.body, &json!({})).await;
    assert_eq!(renewed.status, 200, "{}", renewed.text);
    let _worker = app.worker().await;
    let approval = app.proposed(&call(&connection)).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(
        paths(&receiver).await,
        ["/services/mossyferns?token=quietowls"]
    );
    let dump = app.db.dump().await;
    let shown = app.client.get("/v1/connections").await.text;
    for word in ["mossyferns", "quietowls"] {
        assert!(!dump.contains(word) && !shown.contains(word), "{word}");
    }
}
