//! The digest of a user's day: what it holds, one a day, and by email to its user alone, once.

use crate::{
    actions::{approved::approval_in, ask, sending::TestApp},
    approvals::{
        decide,
        seed::{propose, propose_about, propose_action},
    },
    blocks::block,
    drafts::generated::{done, message},
    follow_ups::put_preferences,
    rules::put,
    support::{Client, client::send, eventually, wait::SOON},
    users::user_of,
};
use base::JobId;
use futures::future::join_all;
use jobs::{
    commands::{digests::build_digests, tenants::forget::forget_old_emails},
    domain::{MessageId, action::ActionType, session::Role},
    store::digests,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn app_with_digest(by_email: bool) -> TestApp {
    let app = TestApp::open().await;
    let body =
        json!({"timezone": "America/New_York", "digest_at": "07:30", "digest_by_email": by_email});
    put_preferences(&app.client, &body).await;
    app
}

/// Adds an email to the digest; what the action says.
async fn put_off(client: &Client, email: &Value, note: Option<&str>) -> Value {
    let payload = note.map_or_else(|| json!({}), |note| json!({"note": note}));
    let action = json!({"type": "digest_add", "message_id": email, "payload": payload});
    let asked = ask(client, &json!({"actions": [action]})).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let job = client.finished(asked.body["id"].as_str().unwrap()).await;
    let outcome = job["output"]["actions"][0].clone();
    assert_eq!(outcome["result"], "succeeded", "{job}");
    outcome
}

/// Lets the time of the digest come, and has four workers build at once.
async fn time_has_come(app: &TestApp) -> u64 {
    app.db
        .execute("update users set next_digest_at = now() where digest_at is not null")
        .await;
    let notifier = &app.api.app.notifier;
    let built = join_all((0..4).map(|_| build_digests(app.db.pool(), notifier, 50))).await;
    built.into_iter().map(Result::unwrap).sum()
}

async fn items(client: &Client) -> Vec<Value> {
    let inbox = client.get("/v1/inbox").await.body;
    let items = inbox["visible"].as_array().unwrap().iter();
    items
        .filter(|item| item["source"] == "digest")
        .cloned()
        .collect()
}

#[tokio::test]
async fn user_gets_one_digest_a_day_however_many_workers_build_it() {
    let app = app_with_digest(false).await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    put_off(&app.client, &email, Some("page 2")).await;
    app.written("Offer").await;
    assert_eq!(time_has_come(&app).await, 1);
    let found = items(&app.client).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let text = found[0]["rationale"].as_str().unwrap();
    assert_eq!(
        text,
        "Emails for this digest: 1\n- Newsletter: page 2\n\nWaiting for your decision: 1\n- Send a message"
    );
    let title = found[0]["title"].as_str().unwrap();
    assert!(title.starts_with("Your digest of "), "{title}");
    assert!(
        app.db
            .one::<bool>(
                "select bool_and(next_digest_at > now()) from users where digest_at is not null"
            )
            .await
    );
    // The clock was set back, or the user chose a later hour of the same day.
    put_off(&app.client, &email, None).await;
    assert_eq!(time_has_come(&app).await, 1);
    assert_eq!(items(&app.client).await.len(), 1, "one a day");
    // The next day's has what came since.
    app.db.execute("update digests set day = day - 1; update inbox_items set dedupe_key = dedupe_key || ' before'").await;
    assert_eq!(time_has_come(&app).await, 1);
    let found = items(&app.client).await;
    assert_eq!(found.len(), 1, "it replaces the former: {found:?}");
    let text = found[0]["rationale"].as_str().unwrap();
    assert!(!text.contains("Your digest of"), "{text}");
    assert_eq!(app.sink.received(), [], "no email was wanted");
}

#[tokio::test]
async fn digest_that_is_still_open_is_no_news_for_the_next() {
    let app = app_with_digest(true).await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    put_off(&app.client, &email, None).await;
    assert_eq!(time_has_come(&app).await, 1);
    app.db.execute("update digests set day = day - 1; update inbox_items set dedupe_key = dedupe_key || ' before'").await;
    assert_eq!(time_has_come(&app).await, 1);
    assert_eq!(items(&app.client).await.len(), 1, "the former one");
    let empty = "select count(*) from digests where item_id is null";
    assert_eq!(app.db.one::<i64>(empty).await, 1);
}

#[tokio::test]
async fn day_without_news_has_no_item() {
    let app = app_with_digest(true).await;
    let _worker = app.worker().await;
    assert_eq!(time_has_come(&app).await, 1);
    assert_eq!(items(&app.client).await, Vec::<Value>::new());
    let built: i64 = app
        .db
        .one("select count(*) from digests where item_id is null")
        .await;
    assert_eq!(built, 1);
    assert_eq!(app.db.one::<i64>("select count(*) from effects").await, 0);
}

#[tokio::test]
async fn digest_is_sent_to_its_user_alone_and_once_and_is_not_judged() {
    let app = app_with_digest(true).await;
    let mut worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    put_off(&app.client, &email, None).await;
    time_has_come(&app).await;
    let sent = eventually(SOON, async || {
        let sent = app.sink.received();
        sent.first()
            .cloned()
            .ok_or_else(|| "nothing was sent".to_owned())
    })
    .await;
    assert_eq!(
        (sent.from.as_str(), &sent.to[..]),
        ("owner@acme.example", &["owner@acme.example".to_owned()][..])
    );
    assert_eq!(
        sent.header("auto-submitted").as_deref(),
        Some("auto-generated")
    );
    assert!(sent.text.contains("- Newsletter"), "{}", sent.text);
    eventually(SOON, async || {
        let effect = app.effect().await;
        (effect["status"] == "succeeded")
            .then_some(())
            .ok_or_else(|| effect.to_string())
    })
    .await;
    worker.process.kill();
    let _next = app.worker().await;
    time_has_come(&app).await;
    // It comes back by way of the watched mailbox, also under a Message-ID that the server gave it.
    let renamed = sent.text.replace("Message-ID: <", "Message-ID: <renamed.");
    assert_ne!(renamed, sent.text);
    for text in [&sent.text, &renamed] {
        let request = app
            .client
            .request(Method::POST, "/v1/jobs/triage")
            .header("Idempotency-Key", JobId::new().to_string())
            .header("Content-Type", "message/rfc822")
            .body(text.clone());
        let submitted = send(request).await;
        let job = app
            .client
            .finished(submitted.body["id"].as_str().unwrap())
            .await;
        assert_eq!(job["output"]["source"], "guard", "{job}");
    }
    assert_eq!(app.sink.received().len(), 1, "once");
}

#[tokio::test]
async fn email_is_once_in_the_next_digest() {
    let app = app_with_digest(false).await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    let first = put_off(&app.client, &email, None).await;
    assert!(first["receipt"]["id"].is_string(), "{first}");
    let same = put_off(&app.client, &email, Some("twice")).await;
    assert_eq!(same["receipt"]["id"], Value::Null, "{same}");
    time_has_come(&app).await;
    assert_eq!(items(&app.client).await.len(), 1);
    let taken: i64 = app
        .db
        .one("select count(*) from digest_entries where digest_id is not null")
        .await;
    assert_eq!(taken, 1);
}

#[tokio::test]
async fn email_is_taken_out_of_the_digest_until_it_is_built() {
    let app = app_with_digest(false).await;
    let _worker = app.worker().await;
    for (is_built, ends) in [(false, "undone"), (true, "executed")] {
        let email = message(&app.client, &format!("Newsletter {ends}")).await;
        let email: MessageId = email.as_str().unwrap().parse().unwrap();
        let (tenant, kind) = (app.client.tenant, ActionType::DigestAdd);
        let approval = propose_about(&app.db, tenant, kind, &json!({}), email).await;
        app.agree(&approval).await;
        approval_in(&app.client, &approval, "executed").await;
        if is_built {
            time_has_come(&app).await;
        }
        assert_eq!(decide(&app.client, &approval, "undo", 1).await.status, 200);
        let ended = eventually(SOON, async || {
            let path = format!("/v1/approvals/{approval}");
            let found = app.client.get(&path).await.body;
            (found["status"] != "undoing")
                .then_some(found.clone())
                .ok_or_else(|| found.to_string())
        })
        .await;
        assert_eq!(ended["status"], ends, "{ended}");
        let left: i64 = app.db.one("select count(*) from digest_entries").await;
        assert_eq!(left, i64::from(is_built));
    }
}

#[tokio::test]
async fn words_of_a_digest_are_forgotten_with_the_emails_it_names() {
    let app = app_with_digest(true).await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    put_off(&app.client, &email, None).await;
    time_has_come(&app).await;
    eventually(SOON, async || {
        let sent = app.sink.received().len();
        (sent == 1).then_some(()).ok_or_else(|| sent.to_string())
    })
    .await;
    app.db
        .execute("update tenants set email_retention_days = 7")
        .await;
    let tenant = app.client.tenant;
    let mut conn = app.db.pool().acquire().await.unwrap();
    let forgotten = digests::forget_old(&mut conn, tenant).await.unwrap();
    assert_eq!(forgotten, 0, "too early");
    app.db
        .execute(
            "update digests set created_at = now() - interval '8 days'; \
             update effects set created_at = now() - interval '8 days'",
        )
        .await;
    digests::forget_old(&mut conn, tenant).await.unwrap();
    let words: i64 = app
        .db
        .one(
            "select (select count(*) from inbox_items where rationale like '%Newsletter%')
                 + (select count(*) from effects where type = 'send_digest' and rendered is not null)",
        )
        .await;
    assert_eq!(words, 0);
}

#[tokio::test]
async fn email_of_a_digest_is_forgotten_with_an_email_that_it_names() {
    let app = app_with_digest(true).await;
    let mut worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    put_off(&app.client, &email, None).await;
    time_has_come(&app).await;
    let sent = "select count(*) from effects where type = 'send_digest' and rendered is not null and status = 'succeeded'";
    eventually(SOON, async || match app.db.one::<i64>(sent).await {
        1 => Ok(()),
        _ => Err("the digest was not sent".to_owned()),
    })
    .await;
    worker.process.kill();
    app.db
        .execute(
            "update tenants set email_retention_days = 7; \
             update messages set received_at = now() - interval '8 days'",
        )
        .await;
    let forgotten = forget_old_emails(app.db.pool(), app.client.tenant, 10)
        .await
        .unwrap();
    assert_eq!(forgotten, 1);
    assert_eq!(app.db.one::<i64>(sent).await, 0);
    let words: i64 = app
        .db
        .one("select count(*) from inbox_items where rationale like '%Newsletter%'")
        .await;
    assert_eq!(words, 0);
}

#[tokio::test]
async fn email_is_not_put_off_for_a_user_who_gets_no_digest() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Newsletter").await;
    let action = json!({"type": "digest_add", "message_id": email, "payload": {}});
    let asked = ask(&app.client, &json!({"actions": [action]})).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let job = app
        .client
        .finished(asked.body["id"].as_str().unwrap())
        .await;
    let outcome = &job["output"]["actions"][0];
    assert_eq!(outcome["error"]["code"], "no_digest", "{job}");
    let entries: i64 = app.db.one("select count(*) from digest_entries").await;
    assert_eq!(entries, 0);
}

#[tokio::test]
async fn rule_puts_email_into_the_digest_of_its_recipient() {
    let app = app_with_digest(false).await;
    let _worker = app.worker().await;
    let rules = "rules: [{name: news, match: {from: '*@x.example'}, actions: [{type: digest_add, params: {note: weekly}}]}]";
    let put = put(&app.client, Some("*"), "application/yaml", rules).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let body = json!({
        "mode": "rules_only",
        "message": {
            "message_id": "<n@x.example>", "from": {"addr": "news@x.example"}, "to": [{"addr": "owner@acme.example"}],
            "subject": "Newsletter", "body_text": "All the news.",
        },
    });
    done(&app.client, "/v1/jobs/triage", &body).await;
    eventually(SOON, async || {
        let count: i64 = app
            .db
            .one("select count(*) from digest_entries where note = 'weekly'")
            .await;
        (count == 1).then_some(()).ok_or_else(|| count.to_string())
    })
    .await;
}

#[tokio::test]
async fn worker_builds_the_digest_when_its_time_has_come() {
    let app = app_with_digest(false).await;
    propose(&app.db, app.client.tenant, "Pay Ada").await;
    app.db
        .execute("update users set next_digest_at = now() where digest_at is not null")
        .await;
    let _worker = app.worker().await;
    eventually(SOON, async || {
        let found = items(&app.client).await;
        (found.len() == 1)
            .then_some(())
            .ok_or_else(|| format!("{found:?}"))
    })
    .await;
}

#[tokio::test]
async fn digest_names_no_decision_about_the_block_of_a_colleague() {
    let app = app_with_digest(false).await;
    let colleague = app.client.colleague(&app.db, Role::Member).await;
    let colleague = colleague.at(app.api.addr);
    let params = json!({"title": "Therapy", "start": "2035-06-04T09:00", "minutes": "60"});
    let kind = ActionType::CreateEvent;
    let approval = propose_action(&app.db, app.client.tenant, kind, &params).await;
    let block = block(&colleague, "Therapy", "09:00", "10:00").await;
    app.db
        .execute(&format!(
            "update blocks set approval_id = '{approval}' where id = '{block}'"
        ))
        .await;
    assert_eq!(time_has_come(&app).await, 1);
    assert_eq!(items(&app.client).await, Vec::<Value>::new());
    let theirs = user_of(&app.db, &colleague).await;
    let mut conn = app.db.pool().acquire().await.unwrap();
    let listed = digests::decisions(&mut conn, app.client.tenant, theirs, 5).await;
    assert_eq!(listed.unwrap().count, 1);
}
