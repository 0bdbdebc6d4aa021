//! The original email below a draft: what is approved and sent holds it, if the tenant wants it.

use super::generated::{done, message, post};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    approvals::decision,
    support::client::send,
};
use reqwest::Method;
use serde_json::{Value, json};

const QUOTE: &str = "\n\nEarlier, ada@x.example wrote:\n> Which one is it?";

async fn drafted(app: &TestApp, body: &Value) -> (String, Value) {
    let output = done(&app.client, "/v1/jobs/draft", body).await;
    assert_eq!(output["outcome"], "drafted", "{output}");
    let id = output["draft_id"].as_str().unwrap().to_owned();
    (id, output)
}

async fn newest_text(app: &TestApp, draft: &str) -> String {
    let found = app.client.get(&format!("/v1/drafts/{draft}")).await.body;
    found["newest"]["body_text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn answer_has_the_original_below_its_text_when_the_tenant_wants_it() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Plan").await;
    let reply = json!({"mode": "reply", "message_id": email});
    let (plain, _) = drafted(&app, &reply).await;
    assert!(!newest_text(&app, &plain).await.contains("wrote:"));
    let settings =
        json!({"trust_mode": "training_wheels", "sending_disabled": false, "quote_original": true});
    let put = app
        .client
        .request(Method::PUT, "/v1/settings")
        .json(&settings);
    assert_eq!(send(put).await.body["quote_original"], true);
    let (quoted, _) = drafted(&app, &reply).await;
    let text = newest_text(&app, &quoted).await;
    assert!(text.ends_with(QUOTE) && text.len() > QUOTE.len(), "{text}");
    // The model sees and writes its own words only; the original stays below them, once.
    let revise = json!({"base_version": 1, "instructions": "Shorter."});
    let output = done(&app.client, &format!("/v1/drafts/{quoted}/revise"), &revise).await;
    let text = newest_text(&app, &quoted).await;
    assert!(
        text.ends_with(QUOTE) && text.matches("> Which").count() == 1,
        "{text}"
    );
    let approval = output["approval_id"].as_str().unwrap();
    let request = decision(&app.client, approval, "approve", 2);
    let agreed = send(request.json(&json!({"hold_seconds": 0}))).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
    approval_in(&app.client, approval, "executed").await;
    let sent = app.sink.received();
    let sent = &sent.last().unwrap().text;
    assert!(sent.contains("> Which one is it?"), "{sent}");
    // A draft from before keeps what its version had.
    let revise = json!({"base_version": 1, "instructions": "Shorter."});
    done(&app.client, &format!("/v1/drafts/{plain}/revise"), &revise).await;
    assert!(!newest_text(&app, &plain).await.contains("wrote:"));
}

#[tokio::test]
async fn forward_has_the_forwarded_email_below_its_note() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let email = message(&app.client, "Plan").await;
    let body = json!({"mode": "forward", "message_id": email, "to": ["dan@x.example"], "intent": "For you."});
    let submitted = post(&app.client, "/v1/jobs/draft", &body).await;
    assert_eq!(submitted.status, 202, "{}", submitted.text);
    let job = submitted.body["id"].as_str().unwrap();
    let output = app.client.finished(job).await["output"].clone();
    let text = newest_text(&app, output["draft_id"].as_str().unwrap()).await;
    let (note, original) = text
        .split_once("\n\n---------- Forwarded message ----------\n")
        .unwrap();
    assert!(
        !note.is_empty() && original.ends_with("Which one is it?"),
        "{text}"
    );
}
