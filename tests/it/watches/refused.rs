//! Emails that a server refuses to send, again and again: the others are read, and a server that sends nothing loses none.

use super::{QUICK, app_at, backfill, checked_again, email, has_jobs, jobs, seen, watch};
use crate::{
    actions::sending::TestApp,
    support::{cutter::Cutter, dovecot::Dovecot, eventually, wait::SOON},
};
use serde_json::json;

#[tokio::test]
async fn email_that_the_server_never_sends_keeps_no_other_from_being_read() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let worker = app.worker_with(QUICK).await;
    cutter.refuse_emails(&[2, 5]);
    for number in 1..5 {
        dovecot.deliver("INBOX", &email(number));
    }
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 3).await;
    // Nothing else arrives with it: what was read before shows that the server sends.
    dovecot.deliver("INBOX", &email(5));
    let folder = eventually(SOON, async || {
        let folder = seen(&app).await["folders"][0].clone();
        (folder["skipped"] == 2)
            .then_some(folder.clone())
            .ok_or_else(|| folder.to_string())
    })
    .await;
    assert_eq!(
        (&folder["emails"], &folder["last_uid"]),
        (&json!(3), &json!(5))
    );
    let log = worker.process.log();
    assert!(log.contains("refuses to send an email"), "{log}");
    dovecot.deliver("INBOX", &email(6));
    has_jobs(&app, 4).await;
}

#[tokio::test]
async fn server_that_sends_no_email_for_a_while_loses_none() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 1).await;
    cutter.refuse_emails(&[1, 2, 3, 4]);
    for number in 2..5 {
        dovecot.deliver("INBOX", &email(number));
    }
    let before = cutter.cuts();
    // The second check asks for each of them and for the one before: five commands, after the first check's one.
    eventually(SOON, async || {
        let refused = cutter.cuts() - before;
        (refused > 12)
            .then_some(())
            .ok_or_else(|| refused.to_string())
    })
    .await;
    assert_eq!(jobs(&app).await, 1);
    cutter.refuse_emails(&[]);
    has_jobs(&app, 4).await;
    assert_eq!(seen(&app).await["folders"][0]["skipped"], 0);
}

#[tokio::test]
async fn backfill_passes_over_an_email_that_the_server_never_sends() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    cutter.refuse_emails(&[52]);
    // Two groups.
    for number in 1..=52 {
        dovecot.deliver("INBOX", &email(number));
    }
    let output = backfill::backfilled(&app, &json!({"since": "2026-01-01T00:00:00Z"})).await;
    assert_eq!(
        (&output["enqueued"], &output["skipped"]),
        (&json!(51), &json!(1)),
        "{output}"
    );
    assert_eq!(jobs(&app).await, 51);
}

#[tokio::test]
async fn server_that_begins_to_limit_the_rate_loses_no_email() {
    // A text that says so, and one of which only the emails that the server does send show it, with so many refusals.
    for (refusal, refusals) in [
        ("[THROTTLED] Suggested backoff time: 2714 ms", 8),
        ("Internal error.", 18),
    ] {
        let dovecot = Dovecot::start().await;
        let cutter = Cutter::before(dovecot.port).await;
        let app = app_at(cutter.port).await;
        let _worker = app.worker_with(QUICK).await;
        dovecot.deliver("INBOX", &email(0));
        watch(&app, &["INBOX"]).await;
        has_jobs(&app, 1).await;
        // One email is refused by itself, so that those of its group are asked for one by one; the limit begins in their midst.
        cutter.refuse_emails(&[2]);
        cutter.limit_rate(3, refusal);
        for number in 1..=10 {
            dovecot.deliver("INBOX", &email(number));
        }
        let before = cutter.cuts();
        eventually(SOON, async || {
            let refused = cutter.cuts() - before;
            (refused > refusals)
                .then_some(())
                .ok_or_else(|| refused.to_string())
        })
        .await;
        assert_eq!(seen(&app).await["folders"][0]["skipped"], 0, "{refusal}");
        cutter.refuse_emails(&[]);
        cutter.lift_rate_limit();
        has_jobs(&app, 11).await;
        assert_eq!(seen(&app).await["folders"][0]["skipped"], 0, "{refusal}");
    }
}

/// As if the connection had broken off at this email as often as it takes to pass it over.
async fn broke_off_at(app: &TestApp, uid: u32) {
    app.db
        .execute(&format!(
            "update watched_folders set broken_uid = {uid}, broken_tries = 6"
        ))
        .await;
}

#[tokio::test]
async fn email_is_passed_over_only_while_the_server_sends_another_one_of_its_folder() {
    // With another new email, and with no other than one that was read.
    for new in [vec![2, 3], vec![2]] {
        let dovecot = Dovecot::start().await;
        let cutter = Cutter::before(dovecot.port).await;
        let app = app_at(cutter.port).await;
        let _worker = app.worker_with(QUICK).await;
        dovecot.deliver("INBOX", &email(1));
        watch(&app, &["INBOX"]).await;
        has_jobs(&app, 1).await;
        checked_again(&app, "INBOX").await;
        cutter.refuse_emails(&[1, 2, 3]);
        for number in &new {
            dovecot.deliver("INBOX", &email(*number));
        }
        broke_off_at(&app, 2).await;
        let before = cutter.cuts();
        eventually(SOON, async || {
            let refused = cutter.cuts() - before;
            (refused > 6)
                .then_some(())
                .ok_or_else(|| refused.to_string())
        })
        .await;
        let folder = seen(&app).await["folders"][0].clone();
        assert_eq!(
            (&folder["skipped"], &folder["last_error"]),
            (&json!(0), &json!("imap_refused")),
            "{new:?}"
        );
        cutter.refuse_emails(&[2]);
        let jobs = i64::try_from(new.len()).unwrap();
        has_jobs(&app, jobs).await;
        eventually(SOON, async || {
            let folder = seen(&app).await["folders"][0].clone();
            (folder["skipped"] == 1)
                .then_some(())
                .ok_or_else(|| folder.to_string())
        })
        .await;
    }
}

#[tokio::test]
async fn only_email_of_a_folder_is_passed_over_without_another_one() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    cutter.refuse_emails(&[1]);
    dovecot.deliver("INBOX", &email(1));
    broke_off_at(&app, 1).await;
    eventually(SOON, async || {
        let folder = seen(&app).await["folders"][0].clone();
        (folder["skipped"] == 1)
            .then_some(())
            .ok_or_else(|| folder.to_string())
    })
    .await;
}
