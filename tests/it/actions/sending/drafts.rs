//! A draft is sent as it was agreed to, once, and goes where its approval goes.

use super::{TestApp, approval_in};
use crate::{
    approvals::{decide, decision},
    drafts::{
        generated::{done, post},
        seed,
    },
    support::client::send,
};
use dev::smtp_sink::SinkFault;
use jobs::commands::approvals::execute::abandon;
use reqwest::Method;
use serde_json::{Value, json};

/// A ready draft of this app's user; its id and that of its approval.
async fn drafted(app: &TestApp, text: &str) -> (String, String) {
    let draft = seed::draft(&app.db, app.client.tenant, None, text).await;
    let sql = format!("select approval_id::text from drafts where id = '{draft}'");
    let approval: String = app.db.one(Box::leak(sql.into_boxed_str())).await;
    (draft.to_string(), approval)
}

async fn status_of(app: &TestApp, draft: &str) -> String {
    let sql = format!("select status from drafts where id = '{draft}'");
    app.db.one(Box::leak(sql.into_boxed_str())).await
}

#[tokio::test]
async fn approved_draft_is_sent_once_in_its_thread() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let received = app.sink.received();
    assert_eq!(received.len(), 1);
    let mail = &received[0];
    assert_eq!(mail.header("in-reply-to").as_deref(), Some("<1@x.example>"));
    assert_eq!(
        mail.header("references").as_deref(),
        Some("<0@x.example> <1@x.example>")
    );
    assert_eq!(mail.text.matches("Re:").count(), 1, "{}", mail.text);
    assert!(mail.text.contains("I will come."));
    assert_eq!(status_of(&app, &draft).await, "sent");
    let entries =
        "select count(*) from history_entries where object_kind = 'draft' and verb = 'sent'";
    assert_eq!(app.db.one::<i64>(entries).await, 1);
    decide(&app.client, &approval, "approve", 1)
        .await
        .assert_problem(409, "CONFLICT", "sent before");
}

#[tokio::test]
async fn draft_that_may_have_been_sent_says_so_until_a_person_has_looked() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    app.sink.misbehave([SinkFault::DropReply]);
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "failed").await;
    assert_eq!(status_of(&app, &draft).await, "send_unknown");
    let effect = app.effect().await;
    let path = format!("/v1/effects/{}/resolve", effect["id"].as_str().unwrap());
    let resolve = app.client.request(reqwest::Method::POST, &path);
    assert_eq!(send(resolve.json(&json!({"done": true}))).await.status, 200);
    assert_eq!(status_of(&app, &draft).await, "sent");
    assert_eq!(app.sink.received().len(), 1);
}

#[tokio::test]
async fn what_is_called_back_is_ready_again_and_what_was_discarded_is_never_sent() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    let held = send(decision(&app.client, &approval, "approve", 1)).await;
    assert_eq!(held.status, 200, "{}", held.text);
    assert_eq!(status_of(&app, &draft).await, "approved");
    assert_eq!(
        decide(&app.client, &approval, "revoke", 1).await.status,
        200
    );
    assert_eq!(status_of(&app, &draft).await, "ready");
    app.db
        .execute("update drafts set status = 'discarded'")
        .await;
    decide(&app.client, &approval, "approve", 2)
        .await
        .assert_problem(409, "CONFLICT", "discarded");
    assert_eq!(app.sink.received(), []);
}

#[tokio::test]
async fn draft_that_went_elsewhere_after_the_agreement_is_not_sent() {
    let app = TestApp::open().await;
    let (draft, approval) = drafted(&app, "I will come.").await;
    app.agree(&approval).await;
    let elsewhere = format!("update drafts set status = 'discarded' where id = '{draft}'");
    app.db.execute(&elsewhere).await;
    let found = app.client.get(&format!("/v1/approvals/{approval}")).await;
    let job = found.body["execution_job_id"].as_str().unwrap();
    let _worker = app.worker().await;
    let ended = app.client.finished(job).await;
    assert_eq!(ended["error"]["code"], "approval_changed", "{ended}");
    assert_eq!(app.sink.received(), []);
}

/// A draft whose sending the server refused; its id and that of its approval.
async fn failed(app: &TestApp) -> (String, String) {
    let (draft, approval) = drafted(app, "I will come.").await;
    app.sink.misbehave([SinkFault::RefuseRecipients]);
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "failed").await;
    assert_eq!(status_of(app, &draft).await, "send_failed");
    (draft, approval)
}

async fn change(app: &TestApp, draft: &str, what: &str) -> Value {
    let path = format!("/v1/drafts/{draft}/{what}");
    let request = app.client.request(Method::POST, &path);
    let changed = send(request.header("If-Match", "\"1\"")).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    changed.body
}

#[tokio::test]
async fn draft_that_could_not_be_sent_is_proposed_again_as_it_is_and_sent() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, former) = failed(&app).await;
    let proposed = change(&app, &draft, "propose").await;
    assert_eq!(
        (&proposed["status"], &proposed["version"]),
        (&json!("ready"), &json!(1))
    );
    let approval = proposed["approval_id"].as_str().unwrap().to_owned();
    assert_ne!(approval, former);
    let path = format!("/v1/drafts/{draft}/propose");
    let again = app.client.request(Method::POST, &path);
    send(again.header("If-Match", "\"1\""))
        .await
        .assert_problem(409, "CONFLICT", "it waits for a decision");
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(status_of(&app, &draft).await, "sent");
    assert_eq!(app.sink.received().len(), 1);
}

#[tokio::test]
async fn draft_that_could_not_be_sent_is_revised_and_sent() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, former) = failed(&app).await;
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    let path = format!("/v1/drafts/{draft}/revise");
    let output = done(&app.client, &path, &body).await;
    assert_eq!(output["version"], 2, "{output}");
    let approval = output["approval_id"].as_str().unwrap();
    assert_ne!(approval, former);
    assert_eq!(status_of(&app, &draft).await, "ready");
    app.agree(approval).await;
    approval_in(&app.client, approval, "executed").await;
    assert_eq!(status_of(&app, &draft).await, "sent");
    assert_eq!(app.sink.received().len(), 1);
}

#[tokio::test]
async fn draft_that_could_not_be_sent_is_discarded() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let (draft, _) = failed(&app).await;
    assert_eq!(change(&app, &draft, "discard").await["status"], "discarded");
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    post(&app.client, &format!("/v1/drafts/{draft}/revise"), &body)
        .await
        .assert_problem(409, "CONFLICT", "a discarded draft was revised");
}

#[tokio::test]
async fn draft_whose_job_ended_before_it_sent_anything_is_not_sent_and_proposed_again() {
    let app = TestApp::open().await;
    for (effect, status) in [(None, "send_failed"), (Some("in_flight"), "send_unknown")] {
        let (draft, approval) = drafted(&app, "I will come.").await;
        app.agree(&approval).await;
        app.db
            .execute(&format!(
                "update approvals set status = 'executing' where id = '{approval}';
                 update drafts set status = 'sending' where id = '{draft}';
                 delete from jobs"
            ))
            .await;
        if let Some(effect) = effect {
            app.db
                .execute(&format!(
                    "insert into effects (tenant_id, id, effect_key, type, status, approval_id, job_id, attempt)
                     values ('{}', gen_random_uuid(), sha256('key'), 'send_draft', '{effect}', '{approval}',
                         gen_random_uuid(), 1)",
                    app.client.tenant
                ))
                .await;
        }
        assert_eq!(abandon(app.db.pool(), 500).await.unwrap(), 1);
        assert_eq!(status_of(&app, &draft).await, status);
    }
}
