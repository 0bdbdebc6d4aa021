//! Servers that offer less than others do, and one that does not let us in.

use super::{
    app_with,
    changes::{agreed, offer, other, undone, with_mail},
};
use crate::{
    actions::{approved::approval_in, sending::TestApp},
    support::{
        client::send,
        dovecot::{Dovecot, PASSWORD, USER},
        eventually,
        wait::SOON,
    },
};
use jobs::domain::action::ActionType;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn server_that_cannot_move_has_the_one_email_copied_and_deleted() {
    let dovecot = Dovecot::start_with_capabilities("IMAP4rev1 UIDPLUS SPECIAL-USE").await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let approval = agreed(&app, ActionType::Trash, &json!({}), message).await;
    approval_in(&app.client, &approval, "executed").await;
    let found = offer(&dovecot);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].folder, "Deleted Things");
    assert_eq!(other(&dovecot).folder, "INBOX");
    undone(&app, &approval, "undone").await;
    let found = offer(&dovecot);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].folder, "INBOX");
}

#[tokio::test]
async fn server_that_can_only_delete_all_that_is_marked_is_not_asked_to_move() {
    let dovecot = Dovecot::start_with_capabilities("IMAP4rev1 SPECIAL-USE").await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let approval = agreed(&app, ActionType::Trash, &json!({}), message).await;
    let failed = approval_in(&app.client, &approval, "failed").await;
    assert_eq!(failed["error"]["code"], "move_not_offered", "{failed}");
    let found = offer(&dovecot);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].folder, "INBOX");
}

#[tokio::test]
async fn mailbox_that_does_not_let_us_in_burns_no_attempt_and_is_changed_with_the_new_password() {
    let dovecot = Dovecot::start().await;
    let imap = json!({"host": "127.0.0.1", "port": dovecot.port, "security": "none"});
    let app = TestApp::open_with(|account| {
        account["imap"] = imap;
        account["username"] = Value::from(USER);
        account["password"] = Value::from("of last year");
    })
    .await;
    let worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let approval = agreed(&app, ActionType::MarkRead, &json!({}), message).await;
    let path = format!("/v1/connections/{}", app.connection);
    let refused = eventually(SOON, async || {
        let found = app.client.get(&path).await.body;
        if found["status"] == "reauth_required" {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await;
    assert_eq!(refused["last_error"], "imap_auth_refused");
    assert_eq!(offer(&dovecot)[0].flags, "");
    let reauth = app
        .client
        .request(Method::POST, &format!("{path}/reauth"))
        .header("If-Match", format!("\"{}\"", refused["version"]))
        .json(&json!({"username": USER, "password": PASSWORD}));
    assert_eq!(send(reauth).await.body["status"], "active");
    // The account is marked while the attempt still runs; only at its end is the job put off.
    eventually(SOON, async || {
        let put_off: i64 = app
            .db
            .one("select count(*) from jobs where state = 'scheduled'")
            .await;
        if put_off == 1 {
            Ok(())
        } else {
            Err(format!("{put_off} jobs are put off"))
        }
    })
    .await;
    app.db
        .execute("update jobs set run_at = now() where state = 'scheduled'")
        .await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(offer(&dovecot)[0].flags, "S");
    let errors: i32 = app
        .db
        .one("select max(errors) from finished_jobs where kind = 'action.execute'")
        .await;
    assert_eq!(errors, 0);
    let log = worker.process.log();
    assert!(!log.contains("of last year") && !log.contains(PASSWORD));
}
