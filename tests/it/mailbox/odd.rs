//! Servers that answer in odd ways. The answers are the test's; everything else is a real Dovecot's.

use super::{
    app_at,
    changes::{agreed, handed_in, offer, undone, with_mail},
};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    support::{cutter::Cutter, dovecot::Dovecot},
};
use jobs::domain::action::ActionType;
use serde_json::{Value, json};

/// What a search that finds nothing answers.
const NOTHING: &str = "* SEARCH\r\n{tag} OK Search completed.\r\n";

async fn odd() -> (Dovecot, Cutter, TestApp) {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    (dovecot, cutter, app)
}

/// The account, once its log-in was tried.
async fn account(app: &TestApp) -> Value {
    let path = format!("/v1/connections/{}", app.connection);
    app.client.get(&path).await.body
}

#[tokio::test]
async fn login_that_is_refused_for_now_asks_nobody_for_a_password() {
    for refusal in [
        "{tag} NO Server Unavailable. 15\r\n",
        "{tag} NO Temporary authentication failure\r\n",
        "{tag} BAD Request is throttled. Suggested Backoff Time: 1 milliseconds\r\n",
        "{tag} BAD Command received in invalid state.\r\n",
    ] {
        let (dovecot, cutter, app) = odd().await;
        let _worker = app.worker().await;
        let message = with_mail(&dovecot, &app).await;
        cutter.answer_times(1, "LOGIN", refusal);
        let approval = agreed(&app, ActionType::Star, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(offer(&dovecot)[0].flags, "F", "{refusal}");
        assert_eq!(account(&app).await["status"], "active", "{refusal}");
        assert!(cutter.heard("LOGIN").len() > 1, "{refusal}");
    }
}

#[tokio::test]
async fn folder_that_cannot_be_opened_for_now_is_not_missing() {
    for refusal in [
        "{tag} NO [UNAVAILABLE] Storage is down\r\n",
        "{tag} NO [INUSE] Mailbox in use\r\n",
        "{tag} NO Cannot open it\r\n",
    ] {
        let (dovecot, cutter, app) = odd().await;
        let _worker = app.worker().await;
        let message = with_mail(&dovecot, &app).await;
        cutter.answer_times(1, "EXAMINE \"INBOX\"", refusal);
        let approval = agreed(&app, ActionType::Star, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(offer(&dovecot)[0].flags, "F", "{refusal}");
    }
}

#[tokio::test]
async fn warning_of_a_server_before_its_answer_refuses_nothing() {
    let (dovecot, cutter, app) = odd().await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.warn("* NO [ALERT] Mailbox is at 98% of quota\r\n");
    let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(offer(&dovecot)[0].folder, "Archive");
}

#[tokio::test]
async fn change_that_is_refused_for_now_is_made_by_the_next_try() {
    for (kind, command) in [
        (ActionType::Star, "UID STORE"),
        (ActionType::Archive, "UID MOVE"),
    ] {
        let (dovecot, cutter, app) = odd().await;
        let _worker = app.worker().await;
        let message = with_mail(&dovecot, &app).await;
        cutter.answer_times(1, command, "{tag} NO [INUSE] Mailbox in use\r\n");
        let approval = agreed(&app, kind, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(cutter.heard(command).len(), 2);
        let found = offer(&dovecot);
        assert!(
            found[0].folder == "Archive" || found[0].flags == "F",
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn change_that_does_not_fit_into_the_mailbox_is_not_tried_again() {
    let (dovecot, cutter, app) = odd().await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.answer("UID MOVE", "{tag} NO [OVERQUOTA] Quota exceeded\r\n");
    let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
    let failed = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(failed["error"]["code"], "mailbox_full", "{failed}");
    assert_eq!(cutter.heard("UID MOVE").len(), 1);
}

#[tokio::test]
async fn server_that_lists_folders_in_the_old_way_only_is_asked_so() {
    let (dovecot, cutter, app) = odd().await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.answer("RETURN", "{tag} BAD Unexpected arguments\r\n");
    let approval = agreed(&app, ActionType::Trash, &json!({}), message).await;
    approval_in(&app.client, &approval, "executed").await;
    // Dovecot marks it unasked too.
    assert_eq!(offer(&dovecot)[0].folder, "Deleted Things");
    assert!(cutter.heard("LIST").len() > 1);
}

#[tokio::test]
async fn email_is_found_although_the_server_s_search_knows_no_message_id() {
    let (dovecot, cutter, app) = odd().await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.answer("HEADER Message-ID", NOTHING);
    let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(offer(&dovecot)[0].folder, "Archive");
    undone(&app, &approval, "undone").await;
    assert_eq!(offer(&dovecot)[0].folder, "INBOX");
}

#[tokio::test]
async fn move_that_the_server_confirms_has_happened_whatever_a_search_finds() {
    for says_where in [true, false] {
        let (dovecot, cutter, app) = odd().await;
        let _worker = app.worker().await;
        let message = with_mail(&dovecot, &app).await;
        if !says_where {
            cutter.shorten("UID MOVE");
        }
        cutter.answer_after("UID MOVE", "UID SEARCH", NOTHING);
        let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(cutter.heard("UID MOVE").len(), 1, "{says_where}");
        cutter.disarm();
        undone(&app, &approval, "undone").await;
        assert_eq!(offer(&dovecot)[0].folder, "INBOX", "{says_where}");
    }
}

#[tokio::test]
async fn move_that_the_server_confirms_without_doing_it_is_made_by_the_next_try() {
    let (dovecot, cutter, app) = odd().await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.answer_times(1, "UID MOVE", "{tag} OK No messages found.\r\n");
    let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(cutter.heard("UID MOVE").len(), 2);
    assert_eq!(offer(&dovecot)[0].folder, "Archive");
}

#[tokio::test]
async fn label_on_gmail_is_one_of_its_own() {
    let (dovecot, cutter, app) = odd().await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.answer(
        "CAPABILITY",
        "* CAPABILITY IMAP4rev1 UIDPLUS MOVE X-GM-EXT-1\r\n{tag} OK Done.\r\n",
    );
    let labels =
        |labels: &str| format!("* 1 FETCH (UID 1 X-GM-LABELS ({labels}))\r\n{{tag}} OK Done.\r\n");
    cutter.answer("UID STORE", "{tag} OK Done.\r\n");
    cutter.answer_after(
        "+X-GM-LABELS",
        "X-GM-LABELS",
        &labels("\\Inbox \"Needs reply\""),
    );
    let approval = {
        cutter.answer("UID FETCH 1 (UID X-GM-LABELS)", &labels("\\Inbox"));
        let label = json!({"label": "Needs reply"});
        agreed(&app, ActionType::Label, &label, message).await
    };
    approval_in(&app.client, &approval, "executed").await;
    let stored = cutter.heard("UID STORE");
    assert_eq!(stored, ["UID STORE 1 +X-GM-LABELS (\"Needs reply\")"]);
    undone(&app, &approval, "undone").await;
    let stored = cutter.heard("UID STORE");
    assert_eq!(stored[1..], ["UID STORE 1 -X-GM-LABELS (\"Needs reply\")"]);
}

#[tokio::test]
async fn many_changes_of_one_mailbox_share_a_few_sessions() {
    let (dovecot, cutter, app) = odd().await;
    let texts: Vec<String> = (0..12)
        .map(|number| {
            format!(
                "From: Bob <bob@example.org>\r\nTo: owner@acme.example\r\nSubject: No. {number}\r\n\
                 Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <many.{number}@example.org>\r\n\r\nHello\r\n"
            )
        })
        .collect();
    let mut approvals = Vec::new();
    for text in &texts {
        dovecot.deliver("INBOX", text);
        let message = handed_in(&app.db, app.client.tenant, text).await;
        approvals.push(agreed(&app, ActionType::Star, &json!({}), message).await);
    }
    let _worker = app.worker().await;
    for approval in approvals {
        approval_in(&app.client, &approval, "executed").await;
    }
    let starred = dovecot.kept().into_iter().filter(|it| it.flags == "F");
    assert_eq!(starred.count(), texts.len());
    // Three, and those that are just ending.
    assert!(cutter.most_open() <= 6, "{}", cutter.most_open());
}
