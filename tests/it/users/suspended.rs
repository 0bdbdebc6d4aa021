//! A suspended user's actions: nothing leaves their accounts until they are back, and nothing of it is lost.

use super::{change, on_behalf::bob, user_of};
use crate::{
    actions::{
        approved::approval_in,
        ask,
        sending::{TestApp, send_action},
    },
    approvals::decision,
    support::{client::send, eventually, wait::SOON},
};
use serde_json::json;

#[tokio::test]
async fn email_of_a_suspended_user_waits_until_they_are_back_and_says_so() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let bob = bob(&app).await;
    let asked = ask(&bob, &json!({"actions": [send_action("Hello")]})).await;
    let proposed = bob.finished(asked.body["id"].as_str().unwrap()).await;
    let approval = proposed["output"]["actions"][0]["approval_id"]
        .as_str()
        .unwrap();
    let held = decision(&bob, approval, "approve", 1).json(&json!({"hold_seconds": 60}));
    let held = send(held).await;
    let job = held.body["execution_job_id"].as_str().unwrap();
    let user = user_of(&app.db, &bob).await;
    let suspended = change(&app.client, user, &json!({"suspended": true})).await;
    assert_eq!(suspended.status, 200, "{}", suspended.text);

    let due = "update jobs set run_at = now() where state = 'scheduled'";
    app.db.execute(due).await;
    let path = format!("/v1/jobs/{job}/explain");
    let reason = eventually(SOON, async || {
        let found = app.client.get(&path).await.body["reasons"][0].clone();
        if found["error_code"].is_null() {
            Err(found.to_string())
        } else {
            Ok(found)
        }
    })
    .await;
    assert_eq!(reason["code"], "snoozed", "{reason}");
    assert_eq!(reason["error_code"], "user_suspended", "{reason}");
    assert_eq!(app.sink.received(), []);

    let back = change(&app.client, user, &json!({"suspended": false})).await;
    assert_eq!(back.status, 200, "{}", back.text);
    app.db.execute(due).await;
    approval_in(&app.client, approval, "executed").await;
    assert_eq!(app.sink.received().len(), 1);
    let errors: i32 = app
        .db
        .one("select max(errors) from finished_jobs where kind = 'action.execute'")
        .await;
    assert_eq!(errors, 0);
}
