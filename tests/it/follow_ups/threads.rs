//! Answers that name another email of the thread than the one that waits.

use super::{answer, app_that_waits, follow_ups, hours, own, status, time_is_over, waiting_items};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    approvals::decision,
    drafts::generated::{done, message, post},
    support::{Client, client::send, eventually, wait::SOON},
};
use serde_json::{Value, json};

const ROOT: &str = "<root@example.org>";
const PARENT: &str = "<parent@example.org>";

/// An email of the user's in a thread that somebody else began.
async fn asked_in_a_thread(client: &Client) {
    let mut email = own("<asked@acme.example>", hours(-1));
    email["message"]["in_reply_to"] = json!(PARENT);
    email["message"]["references"] = json!([ROOT, PARENT]);
    done(client, "/v1/jobs/triage", &email).await;
    assert_eq!(status(client).await, "waiting");
}

/// An answer of somebody else's to this email, sent so many hours from now.
fn answer_at(parent: &str, at: i64) -> Value {
    let mut email = answer(parent);
    email["message"]["date"] = json!(hours(at));
    // Its own, because two answers of one second would be one email.
    let name = parent.trim_start_matches('<');
    email["message"]["message_id"] = json!(format!("<answer{at}.{name}"));
    email
}

#[tokio::test]
async fn later_answer_to_another_email_of_the_thread_ends_the_wait() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    asked_in_a_thread(&app.client).await;
    done(&app.client, "/v1/jobs/triage", &answer_at(ROOT, -2)).await;
    assert_eq!(
        status(&app.client).await,
        "waiting",
        "it was written before"
    );
    done(
        &app.client,
        "/v1/jobs/triage",
        &answer_at("<other@example.org>", 0),
    )
    .await;
    assert_eq!(status(&app.client).await, "waiting", "of another thread");
    // The user's own further email in the thread is no answer.
    let mut further = own("<further@acme.example>", hours(0));
    further["message"]["in_reply_to"] = json!(ROOT);
    further["message"]["body_text"] = json!("Thanks, Carol.");
    done(&app.client, "/v1/jobs/triage", &further).await;
    assert_eq!(status(&app.client).await, "waiting");
    done(&app.client, "/v1/jobs/triage", &answer_at(ROOT, 0)).await;
    assert_eq!(status(&app.client).await, "answered");
}

#[tokio::test]
async fn later_answer_that_is_not_triaged_yet_keeps_its_user_from_being_reminded() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    asked_in_a_thread(&app.client).await;
    let mut further = own("<further@acme.example>", hours(0));
    further["message"]["in_reply_to"] = json!(PARENT);
    further["message"]["body_text"] = json!("Thanks, Carol.");
    let reminded = async |email: Value| {
        let mut later = email;
        later["run_at"] = json!(hours(5));
        let kept = post(&app.client, "/v1/jobs/triage", &later).await;
        assert_eq!(kept.status, 202, "{}", kept.text);
        assert_eq!(time_is_over(&app).await, 1);
        let found = status(&app.client).await;
        app.db
            .execute(
                "update follow_ups set status = 'waiting', item_id = null; delete from inbox_items",
            )
            .await;
        found == "reminded"
    };
    assert!(
        reminded(answer_at(PARENT, -2)).await,
        "it was written before"
    );
    assert!(reminded(further).await, "their own");
    assert!(!reminded(answer_at(PARENT, 0)).await);
    assert_eq!(waiting_items(&app.client).await, Vec::<Value>::new());
}

#[tokio::test]
async fn reminder_is_not_sent_after_a_later_answer_to_another_email_of_the_thread() {
    let app = app_that_waits("draft").await;
    let _worker = app.worker().await;
    asked_in_a_thread(&app.client).await;
    assert_eq!(time_is_over(&app).await, 1);
    let draft = eventually(SOON, async || {
        let drafts = app.client.get("/v1/drafts").await.body;
        let found = drafts["items"].as_array().unwrap().first().cloned();
        found.ok_or_else(|| drafts.to_string())
    })
    .await;
    let mut later = answer_at(ROOT, 0);
    later["run_at"] = json!(hours(5));
    let kept = post(&app.client, "/v1/jobs/triage", &later).await;
    assert_eq!(kept.status, 202, "{}", kept.text);
    let approval = draft["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    let failed = approval_in(&app.client, approval, "failed").await;
    assert_eq!(failed["error"]["code"], "answered_meanwhile", "{failed}");
    assert_eq!(app.sink.received().len(), 0);
}

/// Answers the email and waits so many days; the Message-ID of the answer.
async fn replied(app: &TestApp, email: &Value, days: i32) -> String {
    let body = json!({"mode": "reply", "message_id": email, "follow_up_days": days});
    let output = done(&app.client, "/v1/jobs/draft", &body).await;
    let approval = output["approval_id"].as_str().unwrap();
    let request = decision(&app.client, approval, "approve", 1);
    let agreed = send(request.json(&json!({"hold_seconds": 0}))).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
    approval_in(&app.client, approval, "executed").await;
    // The next one is no second answer.
    app.db
        .execute("update drafts set status = 'discarded'")
        .await;
    let id = app
        .db
        .one("select rfc_message_id from effects order by id desc limit 1");
    id.await
}

#[tokio::test]
async fn answer_to_a_later_email_of_ours_ends_the_wait_for_the_first() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Plan").await;
    replied(&app, &email, 9).await;
    let second = replied(&app, &email, 0).await;
    assert_eq!(follow_ups(&app.client).await.len(), 1);
    // It names nothing else.
    done(&app.client, "/v1/jobs/triage", &answer(&second)).await;
    assert_eq!(status(&app.client).await, "answered");
}

#[tokio::test]
async fn answer_to_the_email_that_we_answered_ends_the_wait() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Plan").await;
    replied(&app, &email, 9).await;
    done(
        &app.client,
        "/v1/jobs/triage",
        &answer_at("<1@x.example>", 1),
    )
    .await;
    assert_eq!(status(&app.client).await, "answered");
}
