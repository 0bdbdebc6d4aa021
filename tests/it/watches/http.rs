//! The watch over HTTP: what is asked for is checked, and a colleague's connection is not found.

use super::{TestApp, app_with, email, has_jobs, seen, watch};
use crate::support::{client::send, dovecot::Dovecot, eventually, wait::SOON};
use jobs::store::watches;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn watch_is_set_read_and_ended_by_its_owner_alone() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let path = format!("/v1/connections/{}/watch", app.connection);
    let missing = app.client.get(&path).await;
    missing.assert_problem(404, "NOT_FOUND", "not watched yet");
    for (folders, why) in [
        (json!([]), "none"),
        (json!(["a*"]), "a pattern"),
        (json!(["\\Seen"]), "a flag"),
        (json!(["a\r\nb"]), "a line break"),
    ] {
        let request = app.client.request(Method::PUT, &path);
        let refused = send(request.json(&json!({ "folders": folders }))).await;
        refused.assert_problem(422, "INVALID_BODY", why);
        assert!(refused.text.contains("/folders"), "{}", refused.text);
    }
    let request = app.client.request(Method::PUT, &path);
    let set = send(request.json(&json!({}))).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let names: Vec<_> = set.body["folders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|folder| folder["folder"].clone())
        .collect();
    assert_eq!(names, ["INBOX", "\\Sent"], "the usual ones");
    let stranger = app.api.sign_in(&app.db).await;
    let hidden = stranger.get(&path).await;
    hidden.assert_problem(404, "NOT_FOUND", "of another tenant");
    let ended = send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!(ended.status, 204, "{}", ended.text);
    let again = send(app.client.request(Method::DELETE, &path)).await;
    again.assert_problem(404, "NOT_FOUND", "ended before");
    let audited: String = app
        .db
        .one(
            "select string_agg(action, ' ' order by id) from audit_entries where action ~ '^watch'",
        )
        .await;
    assert_eq!(audited, "watch.set watch.ended");
}

#[tokio::test]
async fn account_without_a_mailbox_cannot_be_watched() {
    let app = TestApp::open().await;
    let path = format!("/v1/connections/{}/watch", app.connection);
    let request = app.client.request(Method::PUT, &path);
    let refused = send(request.json(&json!({}))).await;
    refused.assert_problem(409, "CONFLICT", "it only sends");
}

#[tokio::test]
async fn missing_folder_is_named_and_keeps_no_other_from_being_read() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(super::QUICK).await;
    dovecot.deliver("INBOX", &email(1));
    watch(&app, &["INBOX", "Nowhere"]).await;
    has_jobs(&app, 1).await;
    super::checked_again(&app, "INBOX").await;
    let folders = seen(&app).await["folders"].clone();
    assert_eq!(folders[0]["last_error"], json!(null), "{folders}");
    assert_eq!(folders[1]["last_error"], "folder_missing", "{folders}");
    assert!(
        dovecot.kept().iter().all(|kept| kept.folder != "Nowhere"),
        "it is not created"
    );
    // Its user learns of it once, and it is not what an operator is woken for.
    let items = eventually(SOON, async || {
        let items = app.client.get("/v1/inbox").await.text;
        items
            .contains("The folder Nowhere is missing")
            .then_some(items.clone())
            .ok_or(items)
    })
    .await;
    assert_eq!(items.matches("Nowhere is missing").count(), 1, "{items}");
    app.db
        .execute("update watched_folders set created_at = now() - interval '1 day' where folder = 'Nowhere'")
        .await;
    let found = watches::staleness(app.db.pool()).await.unwrap();
    assert_eq!((found.folders, found.missing), (2, 1));
    assert!(found.oldest_seconds < 3600, "{found:?}");
}

#[tokio::test]
async fn item_of_a_missing_folder_ends_with_its_absence_and_is_another_at_the_next() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker_with(super::QUICK).await;
    let has_items = async |waiting: usize, all: i64| {
        eventually(SOON, async || {
            let items = app.client.get("/v1/inbox").await.text;
            let kept: i64 = app.db.one("select count(*) from inbox_items").await;
            let found = (items.matches("The folder Plans is missing").count(), kept);
            (found == (waiting, all))
                .then_some(())
                .ok_or_else(|| format!("{found:?}: {items}"))
        })
        .await;
    };
    watch(&app, &["INBOX", "Plans"]).await;
    has_items(1, 1).await;
    dovecot.deliver("Plans", &email(1));
    has_jobs(&app, 1).await;
    has_items(0, 1).await;
    let ended = "select count(*) from inbox_items where state = 'completed'";
    assert_eq!(app.db.one::<i64>(ended).await, 1);
    dovecot.delete_folder("Plans");
    has_items(1, 2).await;
    // Its user follows the advice.
    watch(&app, &["INBOX"]).await;
    has_items(0, 2).await;
    watch(&app, &["INBOX", "Plans"]).await;
    has_items(1, 3).await;
    let path = format!("/v1/connections/{}/watch", app.connection);
    let ended = send(app.client.request(Method::DELETE, &path)).await;
    assert_eq!(ended.status, 204, "{}", ended.text);
    has_items(0, 3).await;
}

#[tokio::test]
async fn watch_that_no_worker_checks_is_pending() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let mut worker = app.worker_with(super::QUICK).await;
    watch(&app, &["INBOX"]).await;
    super::checked_again(&app, "INBOX").await;
    assert_eq!(seen(&app).await["status"], "watching");
    worker.process.kill();
    app.db
        .execute("update mailbox_watches set lease_until = now(), next_check_at = now() - interval '4 minutes'")
        .await;
    assert_eq!(seen(&app).await["status"], "pending");
}
