//! Events in a real calendar: there once, however often they are asked for or tried, at the right time, and undone as long
//! as nobody has touched them.

mod busy;
mod lost;

use crate::{
    actions::{
        approved::approval_in,
        done,
        sending::{KEYS, TestApp},
    },
    approvals::decision,
    connections::connect,
    support::{
        client::send,
        eventually,
        radicale::{PASSWORD, Radicale, USER},
        system::Worker,
        wait::SOON,
    },
};
use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

pub(crate) async fn connected(app: &TestApp, url: &str, password: &str) -> Value {
    let account = json!({"provider": "caldav", "url": url, "username": USER, "password": password});
    let made = connect(&app.client, &account).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body
}

fn event(title: &str) -> Value {
    json!({"type": "create_event", "payload": {
        "title": title, "start": "2026-11-24T09:30", "minutes": 45, "notes": "Bring, the; papers"
    }})
}

/// Made, and its approval.
async fn made(app: &TestApp, title: &str) -> String {
    let approval = app.proposed(&event(title)).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    approval
}

/// The file of the event that was made last.
async fn latest(app: &TestApp) -> String {
    let newest = "select receipt->>'file' from effects order by id desc limit 1";
    app.db.one(newest).await
}

async fn undone(app: &TestApp, approval: &str) -> Value {
    let request = decision(&app.client, approval, "undo", 1);
    let asked = send(request).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    eventually(SOON, async || {
        let found = app.client.get(&format!("/v1/approvals/{approval}")).await;
        match found.body["status"].as_str() {
            Some("executed" | "undoing") if found.body["error"].is_null() => Err(found.text),
            _ => Ok(found.body),
        }
    })
    .await
}

#[tokio::test]
async fn event_is_in_the_calendar_once_at_the_time_on_the_users_clocks() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    app.db
        .execute("update users set timezone = 'Europe/Berlin'")
        .await;
    let worker = app.worker().await;
    made(&app, "Lunch, with Bob").await;
    // The same again is the same event.
    made(&app, "Lunch, with Bob").await;
    let all = radicale.all().await;
    assert_eq!(all.matches("BEGIN:VEVENT").count(), 1, "{all}");
    for line in [
        "DTSTART:20261124T083000Z",
        "DTEND:20261124T091500Z",
        "SUMMARY:Lunch\\, with Bob",
        "DESCRIPTION:Bring\\, the\\; papers",
    ] {
        assert!(all.contains(line), "{line}\n{all}");
    }
    let effect = app.effect().await;
    assert_eq!(effect["status"], "succeeded", "{effect}");
    let file = effect["receipt"]["file"].as_str().unwrap();
    let there = radicale.get(file).await;
    assert_eq!(
        there.headers()["etag"],
        effect["receipt"]["etag"].as_str().unwrap()
    );
    let log = worker.process.log();
    assert!(!log.contains(PASSWORD) && !log.contains("Lunch"));
}

#[tokio::test]
async fn event_is_undone_unless_somebody_has_changed_it() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    let first = made(&app, "First").await;
    let file = latest(&app).await;
    let ended = undone(&app, &first).await;
    assert_eq!(ended["status"], "undone", "{ended}");
    assert_eq!(radicale.get(&file).await.status(), 404);
    let second = made(&app, "Second").await;
    let file = latest(&app).await;
    let ours = radicale.get(&file).await.text().await.unwrap();
    let put = radicale
        .request(Method::PUT, &file)
        .header("content-type", "text/calendar")
        .body(ours.replace("SUMMARY:Second", "SUMMARY:Moved by hand"));
    assert!(put.send().await.unwrap().status().is_success());
    let ended = undone(&app, &second).await;
    assert_eq!(ended["error"]["code"], "moved_on", "{ended}");
    assert!(radicale.all().await.contains("Moved by hand"));
}

#[tokio::test]
async fn event_that_its_user_deleted_is_created_again_when_it_is_approved_again() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    made(&app, "Lunch").await;
    let first = latest(&app).await;
    let delete = radicale.request(Method::DELETE, &first).send();
    assert!(delete.await.unwrap().status().is_success());
    made(&app, "Lunch").await;
    let second = latest(&app).await;
    assert_ne!(second, first, "a UID is not used twice");
    assert_eq!(radicale.get(&second).await.status(), 200);
    // A third time it is there.
    made(&app, "Lunch").await;
    assert_eq!(latest(&app).await, second);
    assert_eq!(radicale.all().await.matches("BEGIN:VEVENT").count(), 1);
}

#[tokio::test]
async fn refused_password_waits_for_the_new_one_and_the_event_is_made() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    let calendar = connected(&app, &radicale.calendar, "wrong").await;
    let _worker = app.worker().await;
    let approval = app.proposed(&event("Lunch")).await;
    app.agree(&approval).await;
    let path = format!("/v1/connections/{}", calendar["id"].as_str().unwrap());
    let refused = eventually(SOON, async || {
        let found = app.client.get(&path).await.body;
        match found["status"].as_str() {
            Some("reauth_required") => Ok(found),
            _ => Err(found.to_string()),
        }
    })
    .await;
    assert_eq!(refused["last_error"], "calendar_auth_refused");
    let renewed = app
        .client
        .request(Method::POST, &format!("{path}/reauth"))
        .header("If-Match", format!("\"{}\"", refused["version"]))
        .json(&json!({"username": USER, "password": PASSWORD}));
    assert_eq!(send(renewed).await.status, 200);
    app.db
        .execute("update jobs set run_at = now() where state = 'scheduled'")
        .await;
    approval_in(&app.client, &approval, "executed").await;
    assert!(radicale.all().await.contains("SUMMARY:Lunch"));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_asked() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let failed = async |action: Value| {
        let dry = json!({"actions": [action], "dry_run": true});
        let output = done(&app.client, &dry).await;
        output["actions"][0]["error"]["code"].clone()
    };
    assert_eq!(failed(event("x")).await, "no_calendar");
    connected(&app, "http://127.0.0.1:1/ada/", PASSWORD).await;
    for (field, value, code) in [
        ("start", "tomorrow", "bad_start"),
        ("minutes", "0", "bad_minutes"),
        ("minutes", "9999", "bad_minutes"),
    ] {
        let mut action = event("x");
        action["payload"][field] = json!(value);
        assert_eq!(failed(action).await, code, "{field}");
    }
    assert_eq!(failed(event("x")).await, Value::Null, "this one would be");
}

#[tokio::test]
async fn event_of_a_whole_day_is_created_and_no_person_is_asked_about_a_bad_start() {
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    connected(&app, &radicale.calendar, PASSWORD).await;
    let _worker = app.worker().await;
    let mut action = event("Fair");
    action["payload"]["start"] = json!("2026-11-24");
    let approval = app.proposed(&action).await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let stored = radicale.all().await;
    for line in ["DTSTART;VALUE=DATE:20261124", "DTEND;VALUE=DATE:20261125"] {
        assert!(stored.contains(line), "{line}\n{stored}");
    }
    action["payload"]["start"] = json!("tomorrow");
    let output = done(&app.client, &json!({"actions": [action]})).await;
    assert_eq!(
        output["actions"][0]["error"]["code"], "bad_start",
        "{output}"
    );
    let asked: i64 = app.db.one("select count(*) from approvals").await;
    assert_eq!(asked, 1, "only the first");
}

#[tokio::test]
async fn calendar_in_our_own_network_is_not_asked_and_a_missing_one_is_reported() {
    for (url, variables, code) in [
        (
            "https://127.0.0.1:1/ada/".to_owned(),
            vec![("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)],
            "host_not_allowed",
        ),
        (
            "http://127.0.0.1:1/ada/".to_owned(),
            vec![("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)],
            "encryption_required",
        ),
    ] {
        let app = TestApp::open().await;
        connected(&app, &url, PASSWORD).await;
        let _worker = Worker::spawn_with(&app.db, &variables).await;
        let approval = app.proposed(&event("x")).await;
        app.agree(&approval).await;
        let ended = approval_in(&app.client, &approval, "failed").await;
        assert_eq!(ended["error"]["code"], code, "{ended}");
    }
    let (app, radicale) = (TestApp::open().await, Radicale::start().await);
    let nowhere = radicale.calendar.replace("/work/", "/nowhere/");
    connected(&app, &nowhere, PASSWORD).await;
    let _worker = app.worker().await;
    let approval = app.proposed(&event("x")).await;
    app.agree(&approval).await;
    let ended = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(ended["error"]["code"], "calendar_not_found", "{ended}");
}

#[tokio::test]
async fn server_that_offers_no_basic_log_in_is_reported_and_no_password_is_asked_for() {
    let (app, server) = (TestApp::open().await, MockServer::start().await);
    let challenge = ResponseTemplate::new(401).append_header(
        "WWW-Authenticate",
        "Digest realm=\"BaikalDAV\", nonce=\"1\"",
    );
    Mock::given(any())
        .respond_with(challenge)
        .mount(&server)
        .await;
    let url = format!("{}/dav.php/calendars/ada/work/", server.uri());
    let calendar = connected(&app, &url, PASSWORD).await;
    let _worker = app.worker().await;
    let approval = app.proposed(&event("Lunch")).await;
    app.agree(&approval).await;
    let ended = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(ended["error"]["code"], "auth_not_supported", "{ended}");
    let path = format!("/v1/connections/{}", calendar["id"].as_str().unwrap());
    assert_eq!(app.client.get(&path).await.body["status"], "active");
}
