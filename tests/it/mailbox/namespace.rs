//! Servers that keep every folder below the inbox or separate folders otherwise, and Message-IDs as odd programs write them.

use super::{
    app_with,
    changes::{agreed, handed_in, offer, undone, with_mail},
};
use crate::{
    actions::{approved::approval_in, done},
    support::dovecot::Dovecot,
};
use jobs::domain::action::ActionType;
use serde_json::json;

#[tokio::test]
async fn email_is_archived_moved_and_filed_whatever_the_prefix_and_the_delimiter() {
    for (prefix, delimiter) in [("INBOX.", '.'), ("INBOX/", '/'), ("", '/')] {
        let dovecot = Dovecot::start_with_namespace(prefix, delimiter).await;
        let app = app_with(&dovecot).await;
        let _worker = app.worker().await;
        let message = with_mail(&dovecot, &app).await;
        let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(offer(&dovecot)[0].folder, "Archive", "{prefix:?}");
        undone(&app, &approval, "undone").await;
        assert_eq!(offer(&dovecot)[0].folder, "INBOX", "{prefix:?}");
        let folder = json!({"folder": "Clients/Ada"});
        let approval = agreed(&app, ActionType::Move, &folder, message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(offer(&dovecot)[0].folder, "Clients.Ada", "{prefix:?}");
        let approval = agreed(&app, ActionType::Trash, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(offer(&dovecot)[0].folder, "Deleted Things", "{prefix:?}");
        let approval = app.written("Hello").await;
        app.agree(&approval).await;
        approval_in(&app.client, &approval, "executed").await;
        let sent = dovecot
            .kept()
            .into_iter()
            .filter(|kept| kept.folder == "Sent");
        assert_eq!(sent.count(), 1, "{prefix:?}");
    }
}

#[tokio::test]
async fn email_is_found_by_a_message_id_without_brackets_or_with_blanks_and_quotes() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let ids = [
        "bare.7@example.org",
        "<\"quoted 8\"@example.org>",
        "< padded.9@example.org >",
        "<two words.10@example.org>",
    ];
    for (number, id) in ids.iter().enumerate() {
        let text = format!(
            "From: Bob <bob@example.org>\r\nTo: owner@acme.example\r\nSubject: Odd {number}\r\n\
             Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: {id}\r\n\r\nHello\r\n"
        );
        // A neighbour whose id holds the same text.
        dovecot.deliver("INBOX", &text.replace("@example.org", "@example.organic"));
        dovecot.deliver("INBOX", &text);
        let message = handed_in(&app.db, app.client.tenant, &text).await;
        let star = json!({"actions": [{"type": "star", "payload": {}, "message_id": message}]});
        let output = done(&app.client, &star).await;
        assert_eq!(
            output["actions"][0]["result"], "succeeded",
            "{id}: {output}"
        );
        let starred: Vec<_> = dovecot
            .kept()
            .into_iter()
            .filter(|kept| kept.flags == "F")
            .collect();
        assert_eq!(starred.len(), number + 1, "{id}: {starred:?}");
        assert!(
            starred.iter().all(|kept| !kept.text.contains("organic")),
            "{starred:?}"
        );
    }
}

#[tokio::test]
async fn label_that_was_taken_off_is_set_again_and_one_that_is_there_is_not() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let action =
        |kind: &str| json!({"type": kind, "payload": {"label": "Urgent"}, "message_id": message});
    let one = async |kind: &str| {
        let output = done(&app.client, &json!({"actions": [action(kind)]})).await;
        output["actions"][0]["result"].clone()
    };
    assert_eq!(one("label").await, "succeeded");
    assert_eq!(one("label").await, "skipped_duplicate", "it is there");
    assert_eq!(one("unlabel").await, "succeeded");
    assert_eq!(offer(&dovecot)[0].keywords, [""; 0]);
    assert_eq!(one("label").await, "succeeded");
    assert_eq!(offer(&dovecot)[0].keywords, ["Urgent"]);
    let all = json!({"actions": [action("unlabel"), action("label")]});
    done(&app.client, &all).await;
    assert_eq!(offer(&dovecot)[0].keywords, ["Urgent"]);
}

#[tokio::test]
async fn email_that_was_sent_before_is_not_called_sent_again() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let first = app.written("Minutes").await;
    app.agree(&first).await;
    approval_in(&app.client, &first, "executed").await;
    let again = app.written("Minutes").await;
    app.agree(&again).await;
    let ended = approval_in(&app.client, &again, "failed").await;
    assert_eq!(ended["error"]["code"], "sent_before", "{ended}");
    let message = ended["error"]["message"].as_str().unwrap();
    assert!(message.contains("was sent on 20"), "{message}");
    assert_eq!(app.sink.received().len(), 1);
}
