//! An email that was sent is among the sent ones, once; and one that may have been sent is found there.

use super::{app_at, app_with};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    support::{
        dovecot::{Dovecot, StoredMessage},
        eventually,
        wait::SOON,
    },
};
use dev::smtp_sink::{Received, SinkFault};
use serde_json::json;

fn sent(dovecot: &Dovecot) -> Vec<StoredMessage> {
    let kept = dovecot.kept();
    kept.into_iter()
        .filter(|mail| mail.folder == "Sent")
        .collect()
}

/// The email that the other server has got.
async fn arrived(app: &TestApp) -> Received {
    eventually(SOON, async || {
        let received = app.sink.received();
        received
            .first()
            .cloned()
            .ok_or_else(|| "nothing".to_owned())
    })
    .await
}

#[tokio::test]
async fn sent_mail_is_filed_once_and_read() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let effect = app.effect().await;
    assert_eq!(effect["receipt"]["sent_folder"], "saved", "{effect}");
    let filed = sent(&dovecot);
    assert_eq!(filed.len(), 1, "{filed:?}");
    assert_eq!(filed[0].flags, "S");
    let got = arrived(&app).await;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(filed[0].text.trim_end()), lines(got.text.trim_end()));
}

#[tokio::test]
async fn email_is_sent_although_it_cannot_be_filed() {
    // A port where nobody listens any more.
    let port = Dovecot::start().await.port;
    let app = app_at(port).await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    app.agree(&approval).await;
    approval_in(&app.client, &approval, "executed").await;
    let effect = app.effect().await;
    assert_eq!(effect["status"], "succeeded");
    assert_eq!(effect["receipt"]["sent_folder"], "failed", "{effect}");
    assert_eq!(app.sink.received().len(), 1);
}

#[tokio::test]
async fn email_whose_answer_was_lost_is_found_where_its_server_filed_it() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    // It takes the mail and says nothing, until it has filed a copy.
    app.sink.misbehave([SinkFault::Stall]);
    app.agree(&approval).await;
    let got = arrived(&app).await;
    dovecot.deliver("Sent", &got.text);
    app.sink.hang_up();
    let executed = approval_in(&app.client, &approval, "executed").await;
    assert_eq!(executed["error"], json!(null));
    let effect = app.effect().await;
    assert_eq!(effect["status"], "succeeded", "{effect}");
    assert_eq!(effect["message_id"], got.header("message-id").unwrap());
    assert_eq!(app.sink.received().len(), 1, "sent once");
    assert_eq!(sent(&dovecot).len(), 1, "filed once");
}

#[tokio::test]
async fn email_whose_answer_was_lost_is_found_under_the_message_id_of_its_server() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    app.sink.misbehave([SinkFault::Stall]);
    app.agree(&approval).await;
    let got = arrived(&app).await;
    let id = got.header("message-id").unwrap();
    let renamed = got.text.replace(
        &format!("Message-ID: {id}"),
        "Message-ID: <1@prod.outlook.com>",
    );
    assert_ne!(renamed, got.text);
    dovecot.deliver("Sent", &renamed);
    app.sink.hang_up();
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(app.effect().await["status"], "succeeded");
    assert_eq!(app.sink.received().len(), 1, "sent once");
}

#[tokio::test]
async fn email_whose_answer_was_lost_and_that_nobody_filed_is_left_to_a_person() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let approval = app.written("Hello").await;
    app.sink.misbehave([SinkFault::DropReply]);
    app.agree(&approval).await;
    let ended = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(ended["error"]["code"], "outcome_unknown", "{ended}");
    assert_eq!(app.effect().await["status"], "needs_human");
    assert_eq!(app.sink.received().len(), 1);
    assert_eq!(sent(&dovecot), []);
}
