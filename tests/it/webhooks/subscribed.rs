//! Webhooks that are called when jobs end: each event, in order, signed, and under an id that repeats keep.

use super::{TestApp, answering, header, hooked, received, signature};
use crate::{
    actions::sending::KEYS,
    connections::connect,
    lanes::until_count,
    support::{
        Client,
        client::send,
        eventually,
        system::{Worker, metric},
        wait::SOON,
    },
    users::{change, user_of},
};
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

fn path(connection: &str) -> String {
    format!("/v1/connections/{connection}/subscription")
}

async fn subscribe(client: &Client, connection: &str, events: &Value) -> Value {
    let request = client.request(Method::PUT, &path(connection)).json(events);
    let set = send(request).await;
    assert_eq!(set.status, 200, "{}", set.text);
    set.body
}

async fn replay(
    client: &Client,
    connection: &str,
    from: &Value,
) -> crate::support::client::TestResponse {
    let path = format!("{}/replay", path(connection));
    send(client.request(Method::POST, &path).json(from)).await
}

fn email(n: u32) -> String {
    format!(
        "From: Bob <bob@client.example>\r\nTo: owner@acme.example\r\nSubject: Mossy {n}\r\n\
         Date: Mon, 23 Nov 2026 09:00:00 +0000\r\nMessage-ID: <s{n}@client.example>\r\n\r\nThe-secret-content\r\n"
    )
}

/// Triages so many emails; returns their jobs.
async fn triaged(app: &TestApp, numbers: std::ops::Range<u32>) -> BTreeSet<String> {
    let mut jobs = BTreeSet::new();
    for n in numbers {
        let job = app
            .client
            .submitted(email(n).as_bytes(), &format!("s{n}"))
            .await;
        jobs.insert(job);
    }
    for job in &jobs {
        app.client.finished(job).await;
    }
    jobs
}

fn job_of(request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    body["data"]["job_id"].as_str().unwrap().to_owned()
}

async fn delivered(receiver: &MockServer, jobs: &BTreeSet<String>) {
    eventually(SOON, async || {
        let delivered: BTreeSet<String> = received(receiver).await.iter().map(job_of).collect();
        if jobs.is_subset(&delivered) {
            Ok(())
        } else {
            Err(format!("{} of {}", delivered.len(), jobs.len()))
        }
    })
    .await;
}

async fn has_status(app: &TestApp, connection: &str, status: &str) -> Value {
    eventually(SOON, async || {
        let body = app.client.get(&path(connection)).await.body;
        if body["status"] == status {
            Ok(body)
        } else {
            Err(body.to_string())
        }
    })
    .await
}

#[tokio::test]
async fn webhook_is_called_when_jobs_end_signed_and_without_their_output() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(204)).await;
    let (connection, secret) = hooked(&app, &receiver.uri()).await;
    let _worker = app.worker().await;
    triaged(&app, 0..1).await;
    let set = subscribe(&app.client, &connection, &json!({})).await;
    assert_eq!(
        set["events"],
        json!(["job.succeeded", "job.discarded", "job.cancelled"])
    );
    let jobs = triaged(&app, 1..4).await;
    delivered(&receiver, &jobs).await;
    let calls = received(&receiver).await;
    let about = calls.iter().filter(|call| jobs.contains(&job_of(call)));
    assert_eq!(about.count(), 3, "each once");
    for call in &calls {
        assert_eq!(header(call, "webhook-signature"), signature(&secret, call));
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        assert_eq!(body["type"], "job.succeeded");
        assert_eq!(body["id"], header(call, "webhook-id"));
        assert_ne!(body["data"]["kind"], "webhook.deliver", "none about a call");
        assert!(!body.to_string().contains("Mossy"), "{body}");
    }
    let counted = eventually(SOON, async || {
        let body = app.client.get(&path(&connection)).await.body;
        if body["delivered"].as_i64() >= Some(3) {
            Ok(body)
        } else {
            Err(body.to_string())
        }
    })
    .await;
    assert_eq!(counted["status"], "active", "{counted}");
}

#[tokio::test]
async fn webhook_is_not_called_for_comparisons_of_judgements() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(204)).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let _worker = app.worker_with(&[("LLM_SHADOW_SHARE", "1")]).await;
    subscribe(&app.client, &connection, &json!({})).await;
    triaged(&app, 0..2).await;
    let ended = "select count(*) from finished_jobs where kind = 'triage.shadow'";
    until_count(&app.db, SOON, ended, 2).await;
    // Events are told in order: one that comes later shows that those before it were told or left out.
    let last = triaged(&app, 2..3).await;
    delivered(&receiver, &last).await;
    for call in received(&receiver).await {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        assert_ne!(body["data"]["kind"], "triage.shadow", "{body}");
    }
}

#[tokio::test]
async fn every_event_arrives_though_the_worker_is_killed_in_between() {
    let app = TestApp::open().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_millis(150));
    let receiver = answering(slow).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let mut worker = app.worker().await;
    subscribe(&app.client, &connection, &json!({})).await;
    let jobs = triaged(&app, 0..30).await;
    eventually(SOON, async || {
        let calls = received(&receiver).await.len();
        if calls >= 8 {
            Ok(())
        } else {
            Err(calls.to_string())
        }
    })
    .await;
    worker.process.kill();
    let _other = app.worker().await;
    delivered(&receiver, &jobs).await;
    let mut ids = std::collections::BTreeMap::new();
    for call in received(&receiver).await {
        let id = header(&call, "webhook-id").to_owned();
        let known = ids.entry(job_of(&call)).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "a repeated call has the id that it had");
    }
    assert!(jobs.iter().all(|job| ids.contains_key(job)));
}

#[tokio::test]
async fn webhook_that_is_gone_ends_its_subscription_and_its_owner_gets_an_inbox_item() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(410)).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    let _worker = app.worker().await;
    subscribe(
        &app.client,
        &connection,
        &json!({"events": ["job.succeeded"]}),
    )
    .await;
    let jobs = triaged(&app, 0..1).await;
    let ended = has_status(&app, &connection, "ended").await;
    assert_eq!(ended["last_error"], "webhook_gone", "{ended}");
    let inbox = app.client.get("/v1/inbox").await.body;
    assert!(inbox.to_string().contains("A webhook is gone"), "{inbox}");
    let audited: i64 = app
        .db
        .one("select count(*) from audit_entries where action = 'subscription.ended' and actor_kind = 'worker'")
        .await;
    assert_eq!(audited, 1);
    // Subscribed again, it continues where it stopped.
    receiver.reset().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&receiver)
        .await;
    subscribe(&app.client, &connection, &json!({})).await;
    delivered(&receiver, &jobs).await;
}

#[tokio::test]
async fn subscription_whose_delivery_is_given_up_is_suspended_and_a_replay_resumes_it() {
    let app = TestApp::open().await;
    let receiver = answering(ResponseTemplate::new(200)).await;
    let (connection, _) = hooked(&app, &receiver.uri()).await;
    // This worker may not call our own network.
    let variables = [("LLM_TESTING_MODE", "true"), ("CREDENTIAL_KEYS", KEYS)];
    let mut guarded = Worker::spawn_with(&app.db, &variables).await;
    let set = subscribe(&app.client, &connection, &json!({})).await;
    let jobs = triaged(&app, 0..2).await;
    let suspended = has_status(&app, &connection, "suspended").await;
    assert_eq!(
        suspended["last_error"], "encryption_required",
        "{suspended}"
    );
    assert_eq!(received(&receiver).await.len(), 0);
    let inbox = app.client.get("/v1/inbox").await.body;
    assert!(inbox.to_string().contains("is suspended"), "{inbox}");
    let audited: i64 = app
        .db
        .one("select count(*) from audit_entries where action = 'subscription.suspended' and actor_kind = 'system'")
        .await;
    assert_eq!(audited, 1);
    let labels = [("status", "suspended")];
    let counted = metric(guarded.ops, "postroom_subscriptions", &labels).await;
    assert!((counted - 1.0).abs() < 0.5, "{counted}");
    guarded.process.kill();
    let _worker = app.worker().await;
    let from = json!({"position": set["position"]});
    let resumed = replay(&app.client, &connection, &from).await;
    assert_eq!(resumed.body["status"], "active", "{}", resumed.text);
    delivered(&receiver, &jobs).await;
    // From a moment on everything comes again, under the ids that it had.
    let first: BTreeSet<_> = ids(&receiver).await;
    receiver.reset().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&receiver)
        .await;
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    assert_eq!(replay(&app.client, &connection, &since).await.status, 200);
    delivered(&receiver, &jobs).await;
    assert!(first.is_subset(&ids(&receiver).await));
}

async fn ids(receiver: &MockServer) -> BTreeSet<String> {
    received(receiver)
        .await
        .iter()
        .map(|call| header(call, "webhook-id").to_owned())
        .collect()
}

#[tokio::test]
async fn subscription_is_set_by_its_owner_alone_and_what_is_asked_for_is_checked() {
    let app = TestApp::open().await;
    let (connection, _) = hooked(&app, "https://hooks.example.org/x").await;
    let at = path(&connection);
    app.client
        .get(&at)
        .await
        .assert_problem(404, "NOT_FOUND", "not subscribed yet");
    for (body, pointer) in [
        (json!({"events": []}), "/events"),
        (json!({"events": ["job.started"]}), "/events"),
    ] {
        let refused = send(app.client.request(Method::PUT, &at).json(&body)).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert!(refused.text.contains(pointer), "{}", refused.text);
    }
    let mail = send(
        app.client
            .request(Method::PUT, &path(&app.connection))
            .json(&json!({})),
    )
    .await;
    mail.assert_problem(409, "CONFLICT", "an email account");
    let stranger = app.api.sign_in(&app.db).await;
    let hidden = send(stranger.request(Method::PUT, &at).json(&json!({}))).await;
    hidden.assert_problem(404, "NOT_FOUND", "of another tenant");
    subscribe(&app.client, &connection, &json!({})).await;
    for (from, pointer) in [
        (json!({}), "/since"),
        (
            json!({"since": "2026-01-01T00:00:00Z", "position": "1.1"}),
            "/since",
        ),
        (json!({"position": "x"}), "/position"),
        (json!({"position": "9223372036854775807.1"}), "/position"),
    ] {
        let refused = replay(&app.client, &connection, &from).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert!(refused.text.contains(pointer), "{}", refused.text);
    }
    let ended = send(app.client.request(Method::DELETE, &at)).await;
    assert_eq!(ended.status, 204, "{}", ended.text);
    let again = send(app.client.request(Method::DELETE, &at)).await;
    again.assert_problem(404, "NOT_FOUND", "ended before");
    let audited: String = app
        .db
        .one("select string_agg(action, ' ' order by id) from audit_entries where action ~ '^subscription'")
        .await;
    assert_eq!(audited, "subscription.set subscription.deleted");
}

#[tokio::test]
async fn webhook_of_a_suspended_user_is_called_when_they_are_back_and_not_before() {
    let app = TestApp::open().await;
    let (own, theirs) = (
        answering(ResponseTemplate::new(204)).await,
        answering(ResponseTemplate::new(204)).await,
    );
    let (connection, _) = hooked(&app, &own.uri()).await;
    subscribe(&app.client, &connection, &json!({})).await;
    let colleague = app.client.colleague(&app.db, Role::Member).await;
    let colleague = colleague.at(app.api.addr);
    let account = json!({"provider": "webhook", "url": theirs.uri()});
    let connected = connect(&colleague, &account).await;
    let connection = connected.body["id"].as_str().unwrap();
    subscribe(&colleague, connection, &json!({})).await;
    let user = user_of(&app.db, &colleague).await;
    let suspended = change(&app.client, user, &json!({"suspended": true})).await;
    assert_eq!(suspended.status, 200, "{}", suspended.text);

    let _worker = app.worker().await;
    let jobs = triaged(&app, 0..1).await;
    // Deliveries to both would have begun together.
    delivered(&own, &jobs).await;
    let begun: i64 = app
        .db
        .one("select count(distinct delivery_job_id) from subscriptions")
        .await;
    assert_eq!(begun, 1);
    assert_eq!(received(&theirs).await.len(), 0);
    let back = change(&app.client, user, &json!({"suspended": false})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    delivered(&theirs, &jobs).await;
}
