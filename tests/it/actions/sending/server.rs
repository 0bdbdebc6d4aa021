//! The same with a mail server that is not of our making: what it has is what the ledger says.

use super::TestApp;
use crate::support::{aiosmtpd::Aiosmtpd, eventually, wait::SOON};
use serde_json::{Value, json};

/// An app whose emails leave by this server.
pub(super) async fn app_sending_by(server: &Aiosmtpd) -> TestApp {
    TestApp::open_with(|account| account["smtp"]["port"] = json!(server.port)).await
}

/// What becomes of one email whose connections go wrong like this: status of the effect, and copies that the server has.
async fn sent_under(faults: &[&str], approval_status: &str) -> (Value, usize) {
    let server = Aiosmtpd::start();
    let app = app_sending_by(&server).await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    server.misbehave(faults);
    app.agree(&approval).await;
    // A reply may take a minute.
    eventually(SOON * 4, async || {
        let found = app.client.get(&format!("/v1/approvals/{approval}")).await;
        if found.body["status"] == approval_status {
            Ok(())
        } else {
            Err(found.text)
        }
    })
    .await;
    let received = server.received();
    for mail in &received {
        let id = app.effect().await["message_id"].clone();
        assert_eq!(mail.header("message-id").as_deref(), id.as_str());
        assert_eq!(mail.from, "owner@acme.example");
        assert_eq!(mail.to, ["bob@example.org"]);
        assert!(mail.text.contains("Dear Bob,"), "{}", mail.text);
    }
    (app.effect().await["status"].clone(), received.len())
}

#[tokio::test]
async fn server_that_takes_it_has_it_once() {
    assert_eq!(sent_under(&[], "executed").await, (json!("succeeded"), 1));
}

#[tokio::test]
async fn recipient_that_is_refused_is_the_end() {
    assert_eq!(
        sent_under(&["refuse"], "failed").await,
        (json!("failed_permanent"), 0)
    );
}

#[tokio::test]
async fn server_that_asks_to_come_back_twice_has_it_once_in_the_end() {
    assert_eq!(
        sent_under(&["defer", "defer"], "executed").await,
        (json!("succeeded"), 1)
    );
}

#[tokio::test]
async fn server_that_hangs_up_after_the_data_is_not_tried_again() {
    assert_eq!(
        sent_under(&["drop"], "failed").await,
        (json!("needs_human"), 1)
    );
}

#[tokio::test]
async fn server_that_stalls_after_the_data_times_out_and_is_not_tried_again() {
    assert_eq!(
        sent_under(&["stall"], "failed").await,
        (json!("needs_human"), 1)
    );
}
