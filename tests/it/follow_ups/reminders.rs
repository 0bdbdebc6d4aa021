//! Drafts that remind somebody of an email without an answer, and what becomes of them when the answer comes.

use super::{answer, app_that_waits, follow_ups, hours, sent, status, time_is_over, waiting_items};
use crate::{
    actions::{
        approved::approval_in,
        sending::{KEYS, TestApp},
    },
    drafts::generated::{done, post},
    support::{
        client::send,
        eventually,
        model::{FakeModel, Reply},
        system::Worker,
        wait::SOON,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

/// The draft that reminds somebody, as soon as it is written.
async fn reminder(app: &TestApp) -> Value {
    eventually(SOON, async || {
        let drafts = app.client.get("/v1/drafts").await.body;
        let found = drafts["items"].as_array().unwrap();
        let found = found.iter().find(|draft| draft["mode"] == "follow_up");
        found.cloned().ok_or_else(|| drafts.to_string())
    })
    .await
}

async fn app_with_reminder() -> (TestApp, Worker, String, Value) {
    let app = app_that_waits("draft").await;
    let worker = app.worker().await;
    let id = sent(&app, "Which one do you want?").await;
    assert_eq!(time_is_over(&app).await, 1);
    let draft = reminder(&app).await;
    (app, worker, id, draft)
}

#[tokio::test]
async fn draft_that_reminds_is_superseded_by_the_answer() {
    let (app, _worker, id, draft) = app_with_reminder().await;
    let path = format!("/v1/drafts/{}", draft["id"].as_str().unwrap());
    let written = app.client.get(&path).await.body;
    assert_eq!(written["newest"]["in_reply_to"], json!(id), "{written}");
    assert_eq!(written["newest"]["to"], json!(["bob@example.org"]));
    done(&app.client, "/v1/jobs/triage", &answer(&id)).await;
    let draft = app.client.get(&path).await.body;
    assert_eq!(draft["status"], "superseded_by_user", "{draft}");
    let approval = format!("/v1/approvals/{}", draft["approval_id"].as_str().unwrap());
    assert_eq!(app.client.get(&approval).await.body["status"], "rejected");
}

#[tokio::test]
async fn draft_that_reminds_is_superseded_when_its_user_cancels_the_follow_up() {
    let (app, _worker, _, draft) = app_with_reminder().await;
    cancel_reminded(&app).await;
    let path = format!("/v1/drafts/{}", draft["id"].as_str().unwrap());
    let draft = app.client.get(&path).await.body;
    assert_eq!(draft["status"], "superseded_by_user", "{draft}");
    let approval = format!("/v1/approvals/{}", draft["approval_id"].as_str().unwrap());
    assert_eq!(app.client.get(&approval).await.body["status"], "rejected");
}

/// Cancels the follow-up that its user was reminded of.
async fn cancel_reminded(app: &TestApp) {
    let reminded = app.client.get("/v1/follow-ups?status=reminded").await.body;
    let id = reminded["items"][0]["id"].as_str().unwrap();
    let path = format!("/v1/follow-ups/{id}");
    let cancelled = send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!(cancelled.status, 204, "{}", cancelled.text);
}

/// What the job says that was to write the reminder.
async fn reminding(app: &TestApp) -> Value {
    let id = eventually(SOON, async || {
        let finished =
            "select coalesce(max(id::text), '') from finished_jobs where kind = 'draft.generate'";
        let id: String = app.db.one(finished).await;
        Some(id)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| "no draft job has ended".to_owned())
    })
    .await;
    let job = app.client.finished(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["output"].clone()
}

#[tokio::test]
async fn reminder_is_not_drafted_after_its_follow_up_has_ended() {
    let app = app_that_waits("draft").await;
    let mut worker = app.worker().await;
    sent(&app, "Which one do you want?").await;
    worker.process.kill();
    assert_eq!(time_is_over(&app).await, 1);
    cancel_reminded(&app).await;
    let _next = app.worker().await;
    let output = reminding(&app).await;
    assert_eq!(output["not_needed"], "follow_up_ended", "{output}");
}

#[tokio::test]
async fn reminder_that_is_being_drafted_when_its_follow_up_ends_is_not_proposed() {
    let app = app_that_waits("draft").await;
    let mut worker = app.worker().await;
    sent(&app, "Which one do you want?").await;
    worker.process.kill();
    let text = json!({
        "body_text": "Hello Bob,\n\nwhich one do you want?", "subject": "Re: Offer", "confidence": "MEDIUM",
        "assumptions": [], "open_questions": [], "used_memory_ids": [], "language": "en",
    });
    let model = FakeModel::start([Reply::Holds(text.to_string())]).await;
    let _next = model.worker(&app.db, &[("CREDENTIAL_KEYS", KEYS)]).await;
    assert_eq!(time_is_over(&app).await, 1);
    model.asked(1).await;
    cancel_reminded(&app).await;
    model.release();
    let output = reminding(&app).await;
    assert_eq!(output["not_needed"], "follow_up_ended", "{output}");
    let drafts = app.client.get("/v1/drafts").await.body;
    assert_eq!(drafts["items"], json!([]));
}

#[tokio::test]
async fn draft_that_reminds_is_not_sent_after_an_answer_that_was_not_triaged() {
    let (app, _worker, id, draft) = app_with_reminder().await;
    let mut later = answer(&id);
    later["run_at"] = json!(hours(5));
    assert_eq!(
        post(&app.client, "/v1/jobs/triage", &later).await.status,
        202
    );
    let approval = draft["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    let failed = approval_in(&app.client, approval, "failed").await;
    assert_eq!(failed["error"]["code"], "answered_meanwhile", "{failed}");
    assert_eq!(app.sink.received().len(), 1, "only the first email");
}

#[tokio::test]
async fn reminder_that_was_sent_is_not_followed_up_again() {
    let (app, _worker, _, draft) = app_with_reminder().await;
    let approval = draft["approval_id"].as_str().unwrap();
    app.agree(approval).await;
    approval_in(&app.client, approval, "executed").await;
    assert_eq!(app.sink.received().len(), 2);
    assert_eq!(status(&app.client).await, "continued");
}

#[tokio::test]
async fn user_is_reminded_with_an_item_if_the_name_of_the_draft_is_taken() {
    let app = app_that_waits("draft").await;
    let mut worker = app.worker().await;
    sent(&app, "Which one do you want?").await;
    worker.process.kill();
    let id = follow_ups(&app.client).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({
        "mode": "compose", "to": ["bob@example.org"], "intent": "Ask once more.", "external_id": format!("{id}:follow_up"),
    });
    let taken = post(&app.client, "/v1/jobs/draft", &body).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert_eq!(time_is_over(&app).await, 1);
    assert_eq!(status(&app.client).await, "reminded");
    let items = waiting_items(&app.client).await;
    assert_eq!(items[0]["title"], "No answer: Offer", "{items:?}");
}
