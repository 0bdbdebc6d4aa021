//! An email of which nobody can say whether it was sent, where the tenant has said that it is to be sent again.

use super::{TestApp, approval_in};
use crate::support::{client::send, eventually, wait::SOON};
use dev::smtp_sink::SinkFault;
use reqwest::Method;
use serde_json::json;

/// A tenant that wants it, with an email of whose first send nobody knows the end; the approval.
async fn in_doubt(app: &TestApp, faults: &[SinkFault]) -> String {
    let put = |settings| {
        let request = app.client.request(Method::PUT, "/v1/settings");
        send(request.json(&settings))
    };
    put(json!({"trust_mode": "supervised", "sending_disabled": false, "unknown_sends": "maybe"}))
        .await
        .assert_problem(422, "INVALID_BODY", "no such word");
    let settings =
        json!({"trust_mode": "supervised", "sending_disabled": false, "unknown_sends": "resend"});
    assert_eq!(put(settings).await.body["unknown_sends"], "resend");
    let approval = app.written("Hello").await;
    app.sink.misbehave(faults.iter().cloned());
    app.agree(&approval).await;
    eventually(SOON, async || {
        let code: Option<String> = app
            .db
            .one("select max(error_code) from job_attempts where outcome = 'snoozed'")
            .await;
        (code.as_deref() == Some("outcome_unknown"))
            .then_some(())
            .ok_or(format!("{code:?}"))
    })
    .await;
    assert_eq!(app.effect().await["status"], "unknown");
    assert_eq!(app.sink.received().len(), 1);
    approval
}

/// Lets a minute pass, and the email be sent again.
async fn a_minute_later(app: &TestApp) {
    app.db
        .execute("update effects set updated_at = updated_at - interval '61 seconds'")
        .await;
    let due = "update jobs set run_at = now() where state = 'scheduled'";
    app.db.execute(due).await;
    eventually(SOON, async || {
        let effect = app.effect().await;
        (effect["status"] == "retryable")
            .then_some(())
            .ok_or(effect.to_string())
    })
    .await;
    app.db
        .execute("update jobs set run_at = now() where state in ('scheduled', 'retryable')")
        .await;
}

#[tokio::test]
async fn email_in_doubt_is_sent_again_under_its_old_name_after_a_minute() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    let approval = in_doubt(&app, &[SinkFault::DropReply]).await;
    a_minute_later(&app).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(app.effect().await["status"], "succeeded");
    let received = app.sink.received();
    assert_eq!(received.len(), 2);
    let [first, second] = [0, 1].map(|index| received[index].header("message-id"));
    assert_eq!(first, second, "one email has one name");
}

#[tokio::test]
async fn email_in_doubt_is_sent_again_once_and_then_left_to_a_person() {
    let app = TestApp::open().await;
    let _worker = app.worker().await;
    in_doubt(&app, &[SinkFault::DropReply, SinkFault::DropReply]).await;
    a_minute_later(&app).await;
    eventually(SOON, async || {
        let effect = app.effect().await;
        (effect["status"] == "needs_human")
            .then_some(())
            .ok_or(effect.to_string())
    })
    .await;
    assert_eq!(app.sink.received().len(), 2, "no third copy");
}
