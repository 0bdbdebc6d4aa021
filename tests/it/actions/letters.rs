//! Answers and forwards as actions: written first and decided on, or sent as they were put before a person.

use super::{approved::approval_in, done, sending::TestApp};
use crate::{
    drafts,
    support::{Client, client::send},
};
use dev::smtp_sink::SinkFault;
use reqwest::Method;
use serde_json::{Value, json};

/// Submits an email of Ada's; its id.
async fn handed_in(client: &Client) -> String {
    let body = json!({
        "mode": "rules_only",
        "message": {
            "message_id": "<1@x.example>", "in_reply_to": "<0@x.example>", "references": ["<0@x.example>"],
            "from": {"addr": "ada@x.example"}, "to": [{"addr": "owner@acme.example"}],
            "subject": "AW: Re: Plan", "body_text": "Which one is it?",
        },
    });
    let request = client
        .request(Method::POST, "/v1/jobs/triage")
        .header("Idempotency-Key", "email-of-ada")
        .json(&body);
    let asked = send(request).await;
    let job = client.finished(asked.body["id"].as_str().unwrap()).await;
    job["output"]["message"]["id"].as_str().unwrap().to_owned()
}

fn action(kind: &str, message: &str, payload: Value) -> Value {
    json!({"actions": [{"type": kind, "message_id": message, "payload": payload}]})
}

/// The outcome of the one action, under a tenant that trusts us with everything.
async fn outcome(app: &TestApp, kind: &str, message: &str, payload: Value) -> Value {
    done(&app.client, &action(kind, message, payload)).await["actions"][0].clone()
}

async fn open_app() -> TestApp {
    let app = TestApp::open().await;
    app.db
        .execute("update tenants set trust_mode = 'autonomous'")
        .await;
    app
}

#[tokio::test]
async fn reply_goes_as_it_was_agreed_to_in_its_thread_and_to_nobody_else() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let message = handed_in(&app.client).await;
    let asked = outcome(&app, "reply", &message, json!({"body": "The second one."})).await;
    assert_eq!(
        (&asked["result"], &asked["risk"]),
        (&json!("pending_approval"), &json!("high")),
        "{asked}"
    );
    assert_eq!(app.sink.received(), []);
    let approval = asked["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    approval_in(&app.client, approval, "executed").await;
    let received = app.sink.received();
    assert_eq!(received.len(), 1);
    let mail = &received[0];
    assert_eq!(mail.to, ["ada@x.example"]);
    assert_eq!(mail.header("subject").as_deref(), Some("Re: Plan"));
    assert_eq!(mail.header("in-reply-to").as_deref(), Some("<1@x.example>"));
    assert_eq!(
        mail.header("references").as_deref(),
        Some("<0@x.example> <1@x.example>")
    );
    assert!(mail.text.contains("The second one."));
    let body = json!({"mode": "reply", "message_id": message});
    let request = app
        .client
        .request(Method::POST, "/v1/jobs/draft")
        .header("Idempotency-Key", "a-second-answer")
        .json(&body);
    let asked = send(request).await;
    let drafting = app
        .client
        .finished(asked.body["id"].as_str().unwrap())
        .await;
    assert_eq!(
        (
            &drafting["output"]["outcome"],
            &drafting["output"]["not_needed"]
        ),
        (&json!("not_needed"), &json!("answered")),
        "{drafting}"
    );
}

#[tokio::test]
async fn reply_has_the_original_below_its_text_when_the_tenant_wants_it() {
    let app = open_app().await;
    app.db
        .execute("update tenants set quote_original = true")
        .await;
    let _worker = app.worker().await;
    let message = handed_in(&app.client).await;
    let asked = outcome(&app, "reply", &message, json!({"body": "The second one."})).await;
    let approval = asked["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    approval_in(&app.client, approval, "executed").await;
    let received = app.sink.received();
    let text = received[0].text.replace("\r\n", "\n");
    let both = "The second one.\n\nEarlier, ada@x.example wrote:\n> Which one is it?";
    assert!(text.contains(both), "{text}");
}

#[tokio::test]
async fn forward_is_critical_and_passes_on_the_email_as_we_hold_it() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let message = handed_in(&app.client).await;
    let payload = json!({"to": "dan@y.example", "note": "For you, Dan."});
    let asked = outcome(&app, "forward", &message, payload).await;
    assert_eq!(
        (&asked["result"], &asked["risk"]),
        (&json!("pending_approval"), &json!("critical")),
        "{asked}"
    );
    let approval = asked["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    approval_in(&app.client, approval, "executed").await;
    let received = app.sink.received();
    assert_eq!(received.len(), 1);
    let mail = &received[0];
    assert_eq!(mail.to, ["dan@y.example"]);
    assert_eq!(mail.header("subject").as_deref(), Some("Fwd: Plan"));
    assert_eq!(mail.header("in-reply-to"), None);
    for part in ["For you, Dan.", "Forwarded message", "Which one is it?"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
}

#[tokio::test]
async fn draft_that_is_asked_for_is_a_job_that_sends_nothing() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let message = handed_in(&app.client).await;
    let payload = json!({"instructions": "Say that it is the second one."});
    let first = outcome(&app, "save_draft", &message, payload.clone()).await;
    assert_eq!(first["result"], "succeeded", "{first}");
    let job = first["receipt"]["job_id"].as_str().unwrap();
    let drafting = app.client.finished(job).await;
    assert_eq!(
        (&drafting["kind"], &drafting["output"]["outcome"]),
        (&json!("draft.generate"), &json!("drafted")),
        "{drafting}"
    );
    let draft = drafting["output"]["draft_id"].as_str().unwrap();
    let draft = app.client.get(&format!("/v1/drafts/{draft}")).await.body;
    assert_eq!(
        (&draft["status"], &draft["newest"]["instructions"]),
        (&json!("ready"), &payload["instructions"])
    );
    let again = outcome(&app, "save_draft", &message, payload).await;
    assert_eq!(
        (&again["result"], &again["receipt"]),
        (&json!("skipped_duplicate"), &first["receipt"])
    );
    assert_eq!(app.sink.received(), []);
}

#[tokio::test]
async fn answer_without_an_email_or_with_two_texts_is_refused() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let message = handed_in(&app.client).await;
    let alone = json!({"actions": [{"type": "save_draft", "payload": {}}]});
    let alone = done(&app.client, &alone).await["actions"][0].clone();
    assert_eq!(alone["error"]["code"], "message_required", "{alone}");
    let both = json!({"body": "Yes.", "instructions": "Say yes."});
    let asked = outcome(&app, "reply", &message, both).await;
    let approval = asked["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    let failed = approval_in(&app.client, approval, "failed").await;
    assert_eq!(failed["error"]["code"], "two_texts", "{failed}");
    assert_eq!(app.sink.received(), []);
}

/// Inbox items of this email: the user's, everybody's, a colleague's, and one that somebody made.
async fn add_items(app: &TestApp, message: &str) {
    app.db
        .execute(&format!(
            "insert into inbox_items (
                 tenant_id, id, owner_id, source, dedupe_key, title, rationale, priority, state, defer_until, message_id)
             select m.tenant_id, gen_random_uuid(), item.owner_id, item.source, item.name, item.name, '', 'medium', item.state,
                 case item.state when 'deferred' then now() + interval '1 day' end, m.id
             from messages m, lateral (values
                 ('own', (select id from users where tenant_id = m.tenant_id), 'email', 'deferred'),
                 ('shared', null, 'email', 'open'),
                 ('colleague', gen_random_uuid(), 'email', 'open'),
                 ('made', null, 'manual', 'open')) item (name, owner_id, source, state)
             where m.id = '{message}'"
        ))
        .await;
}

/// The items that are completed, with the number of audit entries that say so.
async fn completed(app: &TestApp) -> (String, i64) {
    let items = "select coalesce(string_agg(title, ' ' order by title), '') from inbox_items where state = 'completed'";
    let entries = "select count(*) from audit_entries where action = 'inbox_item.completed'";
    (app.db.one(items).await, app.db.one(entries).await)
}

#[tokio::test]
async fn inbox_items_of_an_email_are_completed_when_its_reply_has_left() {
    for kind in ["reply", "draft"] {
        let app = open_app().await;
        let _worker = app.worker().await;
        let message = handed_in(&app.client).await;
        add_items(&app, &message).await;
        let approval = if kind == "draft" {
            let body = json!({"mode": "reply", "message_id": message});
            let drafted = drafts::generated::done(&app.client, "/v1/jobs/draft", &body).await;
            drafted["approval_id"].clone()
        } else {
            let asked = outcome(&app, "reply", &message, json!({"body": "The second one."})).await;
            asked["approval_id"].clone()
        };
        let approval = approval.as_str().unwrap();
        assert_eq!(completed(&app).await, (String::new(), 0), "{kind}");
        app.agree(approval).await;
        approval_in(&app.client, approval, "executed").await;
        assert_eq!(completed(&app).await, ("own shared".into(), 2), "{kind}");
    }
}

#[tokio::test]
async fn inbox_items_of_an_email_stay_while_nobody_knows_whether_its_reply_has_left() {
    let app = open_app().await;
    let _worker = app.worker().await;
    let message = handed_in(&app.client).await;
    add_items(&app, &message).await;
    let asked = outcome(&app, "reply", &message, json!({"body": "The second one."})).await;
    let approval = asked["approval_id"].as_str().unwrap();
    app.sink.misbehave([SinkFault::DropReply]);
    app.agree(approval).await;
    approval_in(&app.client, approval, "failed").await;
    assert_eq!(completed(&app).await, (String::new(), 0));
    let path = format!(
        "/v1/effects/{}/resolve",
        app.effect().await["id"].as_str().unwrap()
    );
    let resolved = send(
        app.client
            .request(Method::POST, &path)
            .json(&json!({"done": true})),
    )
    .await;
    assert_eq!(resolved.status, 200, "{}", resolved.text);
    assert_eq!(completed(&app).await, ("own shared".into(), 2));
}
