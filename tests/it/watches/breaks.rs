//! What breaks while a mailbox is watched: the connection, the server, the worker, the UIDs. Nothing is lost and nothing is
//! read twice.

use super::{QUICK, app_at, app_with, checked_again, email, has_jobs, jobs, seen, watch};
use crate::support::{
    cutter::Cutter,
    dovecot::{Dovecot, PASSWORD, USER},
    eventually,
    wait::SOON,
};
use crate::{actions::sending::TestApp, database::own_cluster, mailbox::app_on};
use base::WorkerId;
use jobs::store::watches;
use serde_json::{Value, json};
use std::time::Duration;

/// Waits until there are so many triage jobs, and skips the wait after a failure: it is for a server's sake.
async fn has_jobs_at_once(app: &TestApp, count: i64) {
    eventually(SOON, async || {
        app.db
            .execute("update mailbox_watches set next_check_at = now()")
            .await;
        let found = jobs(app).await;
        (found == count)
            .then_some(())
            .ok_or_else(|| format!("{found} jobs instead of {count}"))
    })
    .await;
}

#[tokio::test]
async fn connection_that_is_cut_over_a_fetch_loses_no_email() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    for (number, command) in ["BODY.PEEK[]", "SEARCH", "EXAMINE"].iter().enumerate() {
        cutter.cut_after(command);
        dovecot.deliver("INBOX", &email(number));
        let cuts = number + 1;
        eventually(SOON, async || {
            (cutter.cuts() == cuts)
                .then_some(())
                .ok_or_else(|| format!("{command} was not cut"))
        })
        .await;
        has_jobs_at_once(&app, i64::try_from(cuts).unwrap()).await;
    }
    checked_again(&app, "INBOX").await;
    assert_eq!(jobs(&app).await, 3);
    // The check of a folder ends before that of its mailbox.
    eventually(SOON, async || {
        let seen = seen(&app).await;
        (seen["status"] == "watching")
            .then_some(())
            .ok_or_else(|| seen.to_string())
    })
    .await;
}

#[tokio::test]
async fn command_that_the_server_fails_at_loses_no_email() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    for (number, command) in ["SEARCH", "RFC822.SIZE", "BODY.PEEK[]"].iter().enumerate() {
        // The library takes a refusal for the end of a response, and so for an empty one.
        cutter.refuse(command);
        dovecot.deliver("INBOX", &email(number));
        let cuts = number + 1;
        eventually(SOON, async || {
            (cutter.cuts() == cuts)
                .then_some(())
                .ok_or_else(|| format!("{command} was not sent"))
        })
        .await;
        has_jobs_at_once(&app, i64::try_from(cuts).unwrap()).await;
    }
}

#[tokio::test]
async fn folder_that_the_server_fails_at_keeps_no_other_from_being_read() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let worker = app.worker_with(QUICK).await;
    dovecot.deliver("Team", &email(1));
    watch(&app, &["INBOX", "Team"]).await;
    has_jobs(&app, 1).await;
    // The inbox has its turn last.
    cutter.refuse("SEARCH");
    dovecot.deliver("Team", &email(2));
    dovecot.deliver("INBOX", &email(3));
    has_jobs(&app, 3).await;
    assert_eq!(cutter.cuts(), 1);
    let log = worker.process.log();
    assert!(!log.contains("could not read a watched mailbox"), "{log}");
}

#[tokio::test]
async fn email_at_which_the_connection_ends_is_passed_over_in_the_end() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    cutter.cut_at_emails(&[3]);
    for number in 1..=4 {
        dovecot.deliver("INBOX", &email(number));
    }
    watch(&app, &["INBOX", "Team"]).await;
    eventually(SOON, async || {
        (cutter.cuts() > 0)
            .then_some(())
            .ok_or_else(|| "nothing was cut".to_owned())
    })
    .await;
    // Another folder is read while the inbox cannot be.
    dovecot.deliver(
        "Team",
        &email(5).replace("Hello", "To all of the team: hello"),
    );
    has_jobs_at_once(&app, 4).await;
    let folder = eventually(SOON, async || {
        let folder = seen(&app).await["folders"][0].clone();
        (folder["skipped"] == 1)
            .then_some(folder.clone())
            .ok_or_else(|| folder.to_string())
    })
    .await;
    assert_eq!(folder["last_uid"], 4, "{folder}");
    let items = app.client.get("/v1/inbox").await.text;
    assert!(items.contains("An email was not read"), "{items}");
    dovecot.deliver("INBOX", &email(6));
    has_jobs_at_once(&app, 5).await;
}

#[tokio::test]
async fn outage_of_the_server_is_held_against_no_email() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 1).await;
    cutter.cut_at_emails(&[1, 2, 3]);
    dovecot.deliver("INBOX", &email(2));
    dovecot.deliver("INBOX", &email(3));
    // More often than it takes to pass an email over.
    eventually(SOON, async || {
        app.db
            .execute("update mailbox_watches set next_check_at = now()")
            .await;
        let cuts = cutter.cuts();
        (cuts > 8).then_some(()).ok_or_else(|| cuts.to_string())
    })
    .await;
    cutter.cut_at_emails(&[]);
    has_jobs_at_once(&app, 3).await;
    assert_eq!(seen(&app).await["folders"][0]["skipped"], 0);
}

#[tokio::test]
async fn server_that_takes_no_more_connections_asks_for_no_other_password() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    // As many as it takes from one user.
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(dovecot.log_in().await);
    }
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    watch(&app, &["INBOX"]).await;
    let watched = eventually(SOON, async || {
        let found = seen(&app).await;
        (found["status"] == "failing")
            .then_some(found.clone())
            .ok_or_else(|| found.to_string())
    })
    .await;
    assert_eq!(watched["last_error"], "imap_unavailable", "{watched}");
    drop(others);
    has_jobs_at_once(&app, 1).await;
}

#[tokio::test]
async fn mailbox_is_read_soon_after_postgres_comes_back() {
    let dovecot = Dovecot::start().await;
    let (cluster, db) = own_cluster().await;
    let app = app_on(db, dovecot.port).await;
    let worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    cluster.kill().expect("crash Postgres");
    dovecot.deliver("INBOX", &email(1));
    eventually(SOON, async || {
        let log = worker.process.log();
        let texts = [
            "the database failed while a mailbox",
            "could not record the state of a watched mailbox",
        ];
        texts
            .iter()
            .any(|text| log.contains(text))
            .then_some(())
            .ok_or(log)
    })
    .await;
    cluster.restart().expect("start Postgres again");
    // Sooner than the lease expires, which takes a minute and a half.
    has_jobs(&app, 1).await;
}

#[tokio::test]
async fn email_that_a_worker_died_over_is_read_once_by_the_next() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let mut worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    dovecot.deliver("INBOX", &email(2));
    cutter.stall_after("BODY.PEEK[]");
    watch(&app, &["INBOX"]).await;
    eventually(SOON, async || {
        (cutter.cuts() == 1)
            .then_some(())
            .ok_or_else(|| "nothing was fetched".to_owned())
    })
    .await;
    worker.process.kill();
    assert_eq!(jobs(&app).await, 0, "nothing was committed");
    // Its lease would run out by itself, in a minute and a half.
    app.db
        .execute("update mailbox_watches set lease_until = now()")
        .await;
    let _next = app.worker_with(QUICK).await;
    has_jobs(&app, 2).await;
    checked_again(&app, "INBOX").await;
    assert_eq!(jobs(&app).await, 2);
}

#[tokio::test]
async fn worker_that_lost_its_lease_delivers_nothing() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let worker = app.worker_with(QUICK).await;
    watch(&app, &["INBOX"]).await;
    checked_again(&app, "INBOX").await;
    // As if another worker had taken over while this one was frozen; nobody else is there to read.
    app.db
        .execute(
            "update mailbox_watches set epoch = epoch + 1, lease_worker = gen_random_uuid(), \
             lease_until = now() + interval '1 hour'",
        )
        .await;
    dovecot.deliver("INBOX", &email(1));
    eventually(SOON, async || {
        let log = worker.process.log();
        log.contains("watched by another worker")
            .then_some(())
            .ok_or(log)
    })
    .await;
    assert_eq!(jobs(&app).await, 0);
    app.db
        .execute("update mailbox_watches set lease_until = now()")
        .await;
    has_jobs(&app, 1).await;
}

#[tokio::test]
async fn folder_whose_uids_lost_their_meaning_is_read_again_without_a_second_job() {
    let mut dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    for number in 1..4 {
        dovecot.deliver("INBOX", &email(number));
    }
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 3).await;
    checked_again(&app, "INBOX").await;
    let before = seen(&app).await["folders"][0]["uid_validity"].clone();
    dovecot.stop().await;
    dovecot.forget_uids("INBOX");
    dovecot.deliver("INBOX", &email(4));
    dovecot.start_again().await;
    has_jobs_at_once(&app, 4).await;
    eventually(SOON, async || {
        let folder = seen(&app).await["folders"][0].clone();
        (folder["uid_validity"] != before && folder["last_uid"] == 4)
            .then_some(())
            .ok_or_else(|| folder.to_string())
    })
    .await;
    checked_again(&app, "INBOX").await;
    assert_eq!(jobs(&app).await, 4);
}

#[tokio::test]
async fn folder_whose_uids_went_back_is_read_again() {
    let mut dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    for number in 1..6 {
        dovecot.deliver("INBOX", &email(number));
    }
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 5).await;
    checked_again(&app, "INBOX").await;
    let before = seen(&app).await["folders"][0]["uid_validity"].clone();
    dovecot.stop().await;
    dovecot.turn_back_uids("INBOX");
    // One that was read, and a new one under a UID that was read.
    dovecot.deliver("INBOX", &email(1));
    dovecot.deliver("INBOX", &email(6));
    dovecot.start_again().await;
    has_jobs_at_once(&app, 6).await;
    checked_again(&app, "INBOX").await;
    let folder = seen(&app).await["folders"][0].clone();
    assert_eq!(folder["uid_validity"], before, "{folder}");
    assert_eq!(folder["last_uid"], 2, "{folder}");
    dovecot.deliver("INBOX", &email(7));
    has_jobs(&app, 7).await;
}

#[tokio::test]
async fn last_email_that_was_expunged_hides_no_other() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    watch(&app, &["INBOX"]).await;
    has_jobs(&app, 1).await;
    dovecot.remove("INBOX", "Hello 1");
    checked_again(&app, "INBOX").await;
    dovecot.deliver("INBOX", &email(2));
    has_jobs(&app, 2).await;
}

#[tokio::test]
async fn account_that_rejects_its_password_waits_for_a_new_one() {
    let dovecot = Dovecot::start().await;
    let imap = json!({"host": "127.0.0.1", "port": dovecot.port, "security": "none"});
    let app = TestApp::open_with(|account| {
        account["imap"] = imap;
        account["username"] = Value::from(USER);
        account["password"] = Value::from("of last year");
    })
    .await;
    let _worker = app.worker_with(QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    watch(&app, &["INBOX"]).await;
    let watched = eventually(SOON, async || {
        let found = seen(&app).await;
        // The connection's status and the watch's error are written one after the other.
        (found["status"] == "reauth_required" && !found["last_error"].is_null())
            .then_some(found.clone())
            .ok_or_else(|| found.to_string())
    })
    .await;
    assert_eq!(watched["last_error"], "imap_auth_refused", "{watched}");
    let logins = dovecot.log().matches("of last year").count();
    assert_eq!(logins, 0);
    let path = format!("/v1/connections/{}", app.connection);
    let version = app.client.get(&path).await.body["version"].clone();
    let reauth = app
        .client
        .request(reqwest::Method::POST, &format!("{path}/reauth"))
        .header("If-Match", format!("\"{version}\""))
        .json(&json!({"username": USER, "password": PASSWORD}));
    assert_eq!(crate::support::client::send(reauth).await.status, 200);
    has_jobs(&app, 1).await;
}

#[tokio::test]
async fn mailbox_of_a_paused_tenant_is_not_read() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    watch(&app, &["INBOX"]).await;
    let mut conn = app.db.pool().acquire().await.unwrap();
    let length = Duration::from_secs(60);
    let worker = WorkerId::new();
    let mut claimed = watches::claim(&mut conn, worker, length, 10).await.unwrap();
    let lease = claimed.remove(0);
    app.db.execute("update tenants set status = 'paused'").await;
    let kept = watches::renew(app.db.pool(), &lease, length).await.unwrap();
    assert!(!kept, "the lease of a paused tenant is not renewed");
    app.db
        .execute("update mailbox_watches set lease_until = null")
        .await;
    let claimed = watches::claim(&mut conn, worker, length, 10).await.unwrap();
    assert_eq!(claimed.len(), 0, "a paused tenant");
    app.db.execute("update tenants set status = 'active'").await;
    let claimed = watches::claim(&mut conn, worker, length, 10).await.unwrap();
    assert_eq!(claimed.len(), 1, "a tenant that was resumed");
}
