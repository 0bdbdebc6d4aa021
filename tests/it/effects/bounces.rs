//! Bounces of emails that we sent: told to their sender, once, and only by those that can know.

use super::{intended, running, task};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    support::{Client, client::send, system::Worker},
};
use base::JobId;
use jobs::{
    commands::effects::{end, sending::begin_sending},
    domain::{
        action::ActionType,
        effect::{EffectEnd, Identity, NewEffect, RenderedEmail, effect_key},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

/// The report of `action` about the email with this Message-ID, as it comes to `to`.
pub(crate) fn report(to: &str, message_id: &str, action: &str) -> String {
    format!(
        "Return-Path: <>\nFrom: Mail Delivery System <MAILER-DAEMON@mx.example.org>\nTo: {to}\n\
         Subject: Undelivered Mail Returned to Sender\nDate: Wed, 28 Oct 2026 02:00:00 +0000\n\
         Message-ID: <{action}@mx.example.org>\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nIt could not be delivered.\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n\
         Final-Recipient: rfc822; bob@example.org\nAction: {action}\nStatus: 5.1.1\n\n\
         --b\nContent-Type: text/rfc822-headers\n\nTo: bob@example.org\nSubject: Offer\nMessage-ID: {message_id}\n\n--b--\n"
    )
}

/// Submits the email and waits for its triage, also of one that was judged before; the job's output.
pub(crate) async fn handed_in(client: &Client, email: String) -> Value {
    let request = client
        .request(Method::POST, "/v1/jobs/triage?force=true")
        .header("Idempotency-Key", JobId::new().to_string())
        .header("Content-Type", "message/rfc822")
        .body(email);
    let submitted = send(request).await;
    let job = submitted.body["id"].as_str().expect(&submitted.text);
    let job = client.finished(job).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["output"].clone()
}

/// An app whose user has sent one email; the email's Message-ID.
async fn app_that_sent() -> (TestApp, Worker, String) {
    let app = TestApp::open().await;
    let worker = app.worker().await;
    let approval = app.written("Offer").await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let message_id = app.effect().await["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    (app, worker, message_id)
}

#[tokio::test]
async fn bounce_of_a_sent_email_marks_its_effect_and_tells_its_sender_once() {
    let (app, _worker, message_id) = app_that_sent().await;
    let bounce = report("owner@acme.example", &message_id, "failed");
    let output = handed_in(&app.client, bounce.clone()).await;
    assert_eq!(
        (&output["source"], &output["category"]),
        (&json!("guard"), &json!("notification"))
    );
    // A copy that came another way, judged again.
    handed_in(&app.client, format!("Received: from a by b\n{bounce}")).await;
    let effect = app.effect().await;
    assert_eq!(
        (&effect["status"], &effect["error_code"]),
        (&json!("bounced"), &json!("bounced"))
    );
    assert_eq!(
        effect["receipt"]["bounced"],
        json!([{"address": "bob@example.org", "status": "5.1.1", "reason": "The address does not exist."}])
    );
    let inbox = app.client.get("/v1/inbox").await.body;
    let items = inbox["visible"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{inbox}");
    assert_eq!(
        (&items[0]["title"], &items[0]["rationale"]),
        (
            &json!("Not delivered: Offer"),
            &json!("bob@example.org: The address does not exist. (5.1.1)")
        )
    );
    let audited =
        "select count(*) from audit_entries where action = 'effect.bounced' and outcome = 'failed'";
    assert_eq!(app.db.one::<i64>(audited).await, 1);
    let entries = "select count(*) from history_entries where verb = 'bounced'";
    assert_eq!(app.db.one::<i64>(entries).await, 1);
    // The same email again is refused for the right reason.
    let again = app.written("Offer").await;
    app.agree(&again).await;
    let ended = approval_in(&app.client, &again, "failed").await;
    assert_eq!(ended["error"]["code"], "bounced_before", "{ended}");
    assert_eq!(app.sink.received().len(), 1);
}

#[tokio::test]
async fn bounce_that_cannot_know_changes_nothing() {
    let (app, _worker, message_id) = app_that_sent().await;
    let own = "owner@acme.example";
    for (why, email) in [
        ("a delay", report(own, &message_id, "delayed")),
        (
            "another mailbox",
            report("other@acme.example", &message_id, "failed"),
        ),
        (
            "an email that we did not send",
            report(own, "<1@acme.example>", "failed"),
        ),
        (
            "a disowned sender",
            format!(
                "Authentication-Results: mx.acme.example; dmarc=fail\n{}",
                report(own, &message_id, "failed")
            ),
        ),
    ] {
        handed_in(&app.client, email).await;
        assert_eq!(app.effect().await["status"], "succeeded", "{why}");
    }
    let stranger = app.api.sign_in(&app.db).await;
    handed_in(&stranger, report(own, &message_id, "failed")).await;
    assert_eq!(app.effect().await["status"], "succeeded", "another tenant");
    let entries = "select count(*) from history_entries where verb = 'bounced'";
    assert_eq!(app.db.one::<i64>(entries).await, 0);
}

#[tokio::test]
async fn recipients_that_the_server_refuses_at_once_are_told_to_the_sender() {
    let app = TestApp::open().await;
    let job = running(&app.db, app.client.tenant).await;
    let email = RenderedEmail {
        from: "owner@acme.example".into(),
        recipients: vec!["ada@example.org".into(), "bob@example.org".into()],
        bytes: b"Subject: Offer\r\n\r\nHello.\r\n".to_vec(),
    };
    let payload = json!({"subject": "Offer"});
    let kind = ActionType::Send;
    let identity = Identity::Payload(&payload);
    let new = NewEffect {
        key: effect_key(app.client.tenant, kind, "m1", identity),
        kind,
        rendered: Some(email.pack()),
        ..task(app.client.tenant, "Offer")
    };
    let id = intended(&app.db, &job, &new).await;
    let connection = app.connection.parse().unwrap();
    begin_sending(app.db.pool(), &job, (id, kind), connection)
        .await
        .unwrap();
    let receipt = json!({
        "accepted": ["ada@example.org"], "code": "250",
        "refused": [{"address": "bob@example.org", "status": "5.1.1"}],
    });
    let left = EffectEnd::Succeeded {
        receipt,
        before_image: None,
    };
    end(app.db.pool(), &job, id, &left).await.unwrap();
    let effect = app.effect().await;
    assert_eq!(effect["status"], "bounced", "{effect}");
    assert_eq!(
        effect["receipt"]["bounced"],
        json!([{"address": "bob@example.org", "status": "5.1.1", "reason": "The address does not exist."}])
    );
    let inbox = app.client.get("/v1/inbox").await.body;
    let items = inbox["visible"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{inbox}");
    assert_eq!(
        (&items[0]["title"], &items[0]["rationale"]),
        (
            &json!("Not delivered: Offer"),
            &json!("bob@example.org: The address does not exist. (5.1.1)")
        )
    );
}
