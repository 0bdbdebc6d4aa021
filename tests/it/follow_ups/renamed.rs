//! Mail servers that replace the Message-ID of what we send: the email is known under both names.

use super::{
    answer, app_that_waits, follow_ups, own, put_preferences, sent, status, time_is_over,
    waiting_items,
};
use crate::{
    actions::sending::TestApp,
    drafts::generated::done,
    effects::bounces::{handed_in, report},
    mailbox::app_with,
    support::{dovecot::Dovecot, eventually, wait::SOON},
    watches::{QUICK, checked_again, has_jobs, watch},
};
use serde_json::{Value, json};

/// The name that the server gives.
const RENAMED: &str = "<AM0@AM0PR01.prod.outlook.com>";

async fn has_status(app: &TestApp, wanted: &str) {
    eventually(SOON, async || {
        let found = status(&app.client).await;
        (found == wanted).then_some(()).ok_or(found)
    })
    .await;
}

#[tokio::test]
async fn answer_to_the_message_id_that_the_server_replied_with_ends_the_wait() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    let reply = format!("250 2.0.0 OK {RENAMED} [Hostname=AM0PR01.prod.outlook.com]");
    app.sink.confirm_with(&reply);
    let id = sent(&app, "Which one do you want?").await;
    assert_ne!(id, RENAMED);
    let effect = app.effect().await;
    assert_eq!(effect["receipt"]["server_message_id"], RENAMED, "{effect}");
    done(&app.client, "/v1/jobs/triage", &answer(RENAMED)).await;
    assert_eq!(status(&app.client).await, "answered");
    // A copy in another mailbox of the user's, whose server keeps no field of ours.
    let mut copy = own(RENAMED, super::hours(0));
    copy["message"]["in_reply_to"] = json!("<1@example.org>");
    done(&app.client, "/v1/jobs/triage", &copy).await;
    assert_eq!(follow_ups(&app.client).await.len(), 1, "it is ours");
    let own: i64 = app.db.one("select count(*) from own_messages").await;
    assert_eq!(own, 0, "no other program wrote it");
}

#[tokio::test]
async fn bounce_that_names_the_message_id_of_the_server_is_of_our_email() {
    let app = app_that_waits("item").await;
    let _worker = app.worker().await;
    app.sink
        .confirm_with(&format!("250 2.0.0 OK {RENAMED} [Hostname=x.outlook.com]"));
    sent(&app, "Which one do you want?").await;
    handed_in(&app.client, report("owner@acme.example", RENAMED, "failed")).await;
    assert_eq!(status(&app.client).await, "cancelled");
    assert_eq!(app.effect().await["status"], "bounced");
}

/// An app that watches a mailbox and has sent an email, and the copy of it that its server would store.
async fn app_with_copy(dovecot: &Dovecot) -> (TestApp, crate::support::system::Worker, String) {
    let app = app_with(dovecot).await;
    let preferences = json!({"timezone": "UTC", "follow_up_days": 2});
    put_preferences(&app.client, &preferences).await;
    let worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX", "\\Sent"]).await;
    let id = sent(&app, "Which one do you want?").await;
    // The copy that we store.
    has_jobs(&app, 1).await;
    let received = app.sink.received().remove(0).text;
    let renamed = format!("Message-ID: {RENAMED}\r\nIn-Reply-To: <1@example.org>");
    let copy = received.replace(&format!("Message-ID: {id}"), &renamed);
    assert_ne!(copy, received);
    (app, worker, copy)
}

fn answer_to(id: &str) -> String {
    format!(
        "From: bob@example.org\r\nTo: owner@acme.example\r\nSubject: Re: Offer\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <2@example.org>\r\nIn-Reply-To: {id}\r\n\r\nThe second.\r\n"
    )
}

#[tokio::test]
async fn copy_that_the_server_stores_under_another_message_id_is_ours() {
    let dovecot = Dovecot::start().await;
    let (app, _worker, copy) = app_with_copy(&dovecot).await;
    dovecot.deliver("Sent", &copy);
    let learned = "select count(*) from effects where server_message_id is not null";
    eventually(SOON, async || {
        let found: i64 = app.db.one(learned).await;
        (found == 1).then_some(()).ok_or_else(|| found.to_string())
    })
    .await;
    let own: i64 = app.db.one("select count(*) from own_messages").await;
    assert_eq!(own, 0, "no other program wrote it");
    assert_eq!(status(&app.client).await, "waiting");
    dovecot.deliver("INBOX", &answer_to(RENAMED));
    has_status(&app, "answered").await;
}

#[tokio::test]
async fn answer_that_is_read_before_the_renamed_copy_ends_the_wait() {
    let dovecot = Dovecot::start().await;
    let (app, _worker, copy) = app_with_copy(&dovecot).await;
    dovecot.deliver("INBOX", &answer_to(RENAMED));
    has_jobs(&app, 2).await;
    dovecot.deliver("Sent", &copy);
    has_jobs(&app, 3).await;
    let learned = "select count(*) from effects where server_message_id is not null";
    eventually(SOON, async || {
        let found: i64 = app.db.one(learned).await;
        (found == 1).then_some(()).ok_or_else(|| found.to_string())
    })
    .await;
    assert_eq!(time_is_over(&app).await, 1);
    assert_eq!(status(&app.client).await, "answered");
    let items = waiting_items(&app.client).await;
    let reminders = items.iter().filter(|item| item["source"] == "follow_up");
    assert_eq!(reminders.count(), 0, "{items:?}");
}

#[tokio::test]
async fn email_of_somebody_else_that_copies_our_field_renames_nothing() {
    let dovecot = Dovecot::start().await;
    let (app, _worker, copy) = app_with_copy(&dovecot).await;
    let forged = copy
        .replace("From: Ada <owner@acme.example>", "From: bob@example.org")
        .replace(RENAMED, "<forged@example.org>");
    assert!(forged.contains("From: bob@example.org"), "{forged}");
    dovecot.deliver("INBOX", &forged);
    has_jobs(&app, 2).await;
    checked_again(&app, "INBOX").await;
    let triaged = "select count(*) from finished_jobs where kind = 'triage.email'";
    eventually(SOON, async || {
        let found: i64 = app.db.one(triaged).await;
        (found == 2).then_some(()).ok_or_else(|| found.to_string())
    })
    .await;
    let renamed: i64 = app
        .db
        .one("select count(*) from effects where server_message_id is not null")
        .await;
    assert_eq!(renamed, 0);
    let answers: Value = app
        .db
        .one("select jsonb_agg(distinct refers_to) from thread_answers")
        .await;
    assert_eq!(answers, json!(["<1@example.org>"]), "it answers somebody");
}
