//! Watched mailboxes, with a real Dovecot: what arrives there is triaged once, whatever breaks on the way.

mod backfill;
mod backfill_kills;
mod breaks;
mod colleagues;
mod cuts;
mod http;
mod lists;
mod oracle;
mod refused;

use crate::{
    actions::sending::TestApp,
    drafts::generated::{done, message},
    mailbox::{app_at, app_with},
    support::{client::send, dovecot::Dovecot, eventually, system::metric, wait::SOON},
};
use base::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Polls each second, so that no test waits for a minute.
pub(crate) const QUICK: &[(&str, &str)] = &[("WATCH_POLL_SECONDS", "1")];
/// Never polls a second time: only what the server reports is seen.
const ONLY_IDLE: &[(&str, &str)] = &[("WATCH_POLL_SECONDS", "1000")];

/// An email that no other is equal to.
pub(crate) fn email(number: usize) -> String {
    format!(
        "From: Bob <bob@example.org>\r\nTo: owner@acme.example\r\nSubject: Offer {number}\r\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <watched.{number}@example.org>\r\n\r\nHello {number}\r\n"
    )
}

/// Watches these folders of the account.
pub(crate) async fn watch(app: &TestApp, folders: &[&str]) -> Value {
    let path = format!("/v1/connections/{}/watch", app.connection);
    let request = app.client.request(Method::PUT, &path);
    let set =
        send(request.json(&json!({"folders": folders, "since": "2026-01-01T00:00:00Z"}))).await;
    assert_eq!(set.status, 200, "{}", set.text);
    set.body
}

/// The watch as its user sees it.
pub(crate) async fn seen(app: &TestApp) -> Value {
    let path = format!("/v1/connections/{}/watch", app.connection);
    app.client.get(&path).await.body
}

/// The triage jobs, waiting or done.
pub(crate) async fn jobs(app: &TestApp) -> i64 {
    app.db
        .one(
            "select (select count(*) from jobs where kind = 'triage.email')
                 + (select count(*) from finished_jobs where kind = 'triage.email')",
        )
        .await
}

/// Waits until there are so many triage jobs.
pub(crate) async fn has_jobs(app: &TestApp, count: i64) {
    eventually(SOON, async || {
        let found = jobs(app).await;
        if found == count {
            return Ok(());
        }
        let watch = seen(app).await;
        Err(format!("{found} jobs instead of {count}: {watch}"))
    })
    .await;
}

/// Waits until the folder was checked again, from now on.
pub(crate) async fn checked_again(app: &TestApp, folder: &str) {
    let at = async || {
        let watch = seen(app).await;
        let folders = watch["folders"].as_array().cloned().unwrap_or_default();
        let found = folders.iter().find(|it| it["folder"] == folder);
        found.and_then(|it| it["checked_at"].as_str().map(str::to_owned))
    };
    let before = at().await;
    eventually(SOON, async || {
        let now = at().await;
        (now.is_some() && now != before)
            .then_some(())
            .ok_or_else(|| format!("still {before:?}"))
    })
    .await;
}

#[tokio::test]
async fn email_that_arrives_is_triaged_once_and_stays_unseen() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    let set = watch(&app, &["INBOX", "\\Sent"]).await;
    assert_eq!(set["status"], "pending", "{set}");
    has_jobs(&app, 1).await;
    for number in 2..6 {
        dovecot.deliver("INBOX", &email(number));
    }
    // Sent with another program; it belongs to its user.
    let own = email(7).replace("From: Bob <bob@example.org>", "From: owner@acme.example");
    dovecot.deliver("Sent", &own);
    has_jobs(&app, 6).await;
    checked_again(&app, "INBOX").await;
    assert_eq!(jobs(&app).await, 6, "no email twice");
    let watch = seen(&app).await;
    assert_eq!(watch["status"], "watching", "{watch}");
    let count = |folder: usize| watch["folders"][folder]["emails"].clone();
    assert_eq!((count(0), count(1)), (json!(5), json!(1)), "{watch}");
    let kept = dovecot.kept();
    assert!(kept.iter().all(|mail| mail.flags.is_empty()), "{kept:?}");
    let fetched = metric(worker.ops, "postroom_emails_fetched_total", &[]).await;
    assert!((fetched - 6.0).abs() < 0.1, "{fetched}");
    let folders = metric(worker.ops, "postroom_watched_folders", &[]).await;
    assert!((folders - 2.0).abs() < 0.1, "{folders}");
}

#[tokio::test]
async fn email_that_its_user_handed_in_has_one_job() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let text = email(1);
    let handed_in = app
        .client
        .request(Method::POST, "/v1/jobs/triage")
        .header("Idempotency-Key", "k-watched")
        .header("Content-Type", "message/rfc822")
        .body(text.clone());
    let handed_in = send(handed_in).await;
    assert_eq!(handed_in.status, 202, "{}", handed_in.text);
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &text);
    dovecot.deliver("INBOX", &email(2));
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 2).await;
}

#[tokio::test]
async fn server_reports_a_new_email_before_the_next_poll() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(ONLY_IDLE).await;
    watch(&app, &["\\Sent", "INBOX"]).await;
    checked_again(&app, "INBOX").await;
    for number in 1..4 {
        dovecot.deliver("INBOX", &email(number));
        has_jobs(&app, i64::try_from(number).unwrap()).await;
    }
}

#[tokio::test]
async fn stream_of_email_is_read_without_waiting_for_the_next_poll() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(ONLY_IDLE).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    // Longer than the checks after which the other folders have their turn.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for number in 0..300 {
        pace.tick().await;
        dovecot.deliver("INBOX", &email(number));
    }
    has_jobs(&app, 300).await;
}

#[tokio::test]
async fn server_without_idle_is_polled() {
    let dovecot = Dovecot::start_with_capabilities("IMAP4rev1 UIDPLUS SPECIAL-USE").await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    dovecot.deliver("INBOX", &email(1));
    has_jobs(&app, 1).await;
}

#[tokio::test]
async fn answer_that_another_program_sent_takes_the_draft_back() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    app.db
        .execute("update users set email = 'owner@acme.example'")
        .await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX", "\\Sent"]).await;
    let body = json!({"mode": "reply", "message_id": message(&app.client, "Plan").await});
    let output = done(&app.client, "/v1/jobs/draft", &body).await;
    let draft = format!("/v1/drafts/{}", output["draft_id"].as_str().unwrap());
    let before = app.client.get(&draft).await.body;
    assert_ne!(before["status"], "superseded_by_user", "{before}");
    let date = Clock::System.now().to_rfc2822();
    let answer = format!(
        "From: owner@acme.example\r\nTo: ada@x.example\r\nSubject: Re: Plan\r\nDate: {date}\r\n\
         Message-ID: <w1@acme.example>\r\nIn-Reply-To: <1@x.example>\r\nReferences: <0@x.example> <1@x.example>\r\n\r\nThe second one.\r\n"
    );
    dovecot.deliver("Sent", &answer);
    eventually(SOON, async || {
        let found = app.client.get(&draft).await.body;
        (found["status"] == "superseded_by_user")
            .then_some(())
            .ok_or_else(|| found.to_string())
    })
    .await;
}

#[tokio::test]
async fn email_that_is_too_large_is_in_its_user_s_inbox_once() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    let large = email(1).replace("Hello 1", &"0123456789abcdef\r\n".repeat(1_600_000));
    dovecot.deliver("INBOX", &large);
    dovecot.deliver("INBOX", &email(2));
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 1).await;
    // The same email again, under another UID.
    dovecot.deliver("INBOX", &large);
    dovecot.deliver("INBOX", &email(3));
    has_jobs(&app, 2).await;
    assert_eq!(seen(&app).await["folders"][0]["skipped"], 2);
    let items = app.client.get("/v1/inbox").await.text;
    let count = items
        .matches("An email from Bob (28 MB) was not read")
        .count();
    assert_eq!(count, 1, "{items}");
}

#[tokio::test]
async fn email_from_before_the_watch_is_not_read() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    let path = format!("/v1/connections/{}/watch", app.connection);
    let request = app.client.request(Method::PUT, &path);
    // The server received the first one today, and so before tomorrow.
    let tomorrow = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
        + chrono::TimeDelta::days(1);
    let set = send(request.json(&json!({"folders": ["INBOX"], "since": tomorrow}))).await;
    assert_eq!(set.status, 200, "{}", set.text);
    checked_again(&app, "INBOX").await;
    assert_eq!(jobs(&app).await, 0);
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    dovecot.deliver("INBOX", &email(2));
    has_jobs(&app, 1).await;
    // The cursor stays where it is when a watch is changed: nothing is read twice, and nothing from before.
    assert_eq!(seen(&app).await["folders"][0]["last_uid"], 2);
}
