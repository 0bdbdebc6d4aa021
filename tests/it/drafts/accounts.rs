//! From which mail account a draft leaves.

use super::generated::{done, post};
use crate::actions::{approved::approval_in, sending::TestApp};
use serde_json::{Value, json};

/// Submits an email to this address; the draft of its answer.
async fn drafted(app: &TestApp, to: &str) -> Value {
    let body = json!({
        "mode": "rules_only",
        "message": {
            "message_id": format!("<{to}>"), "from": {"addr": "ada@x.example"}, "to": [{"addr": to}],
            "subject": "Plan", "body_text": "Which one is it?",
        },
    });
    let triaged = done(&app.client, "/v1/jobs/triage", &body).await;
    let body = json!({"mode": "reply", "message_id": triaged["message"]["id"]});
    done(&app.client, "/v1/jobs/draft", &body).await
}

#[tokio::test]
async fn draft_is_sent_from_the_account_the_email_came_to_though_the_log_in_is_another() {
    let app = TestApp::open().await;
    let second = json!({
        "provider": "imap_smtp", "address": "support@acme.example",
        "smtp": {"host": "127.0.0.1", "port": app.sink.addr.port(), "security": "none"},
        "username": "ada", "password": "hunter2-marked"
    });
    let connected = post(&app.client, "/v1/connections", &second).await;
    assert_eq!(connected.status, 201, "{}", connected.text);
    let _worker = app.worker().await;
    for (to, from) in [
        ("support+shop@acme.example", "support@acme.example"),
        ("somebody@else.example", "owner@acme.example"),
    ] {
        let output = drafted(&app, to).await;
        let approval = output["approval_id"].as_str().unwrap();
        app.agree(approval).await;
        approval_in(&app.client, approval, "executed").await;
        let sent = app.sink.received();
        assert_eq!(sent.last().unwrap().from, from, "{to}");
    }
}
