//! Emails of mailing lists, which name no user among their recipients: they are of the user whose watched mailbox has them, also
//! for what rules do with them.

use super::{QUICK, TestApp, app_with, watch};
use crate::{
    follow_ups::put_preferences,
    rules::put,
    support::{dovecot::Dovecot, eventually, wait::SOON},
};
use serde_json::json;

const NEWS: &str = "From: News <news@lists.example>\r\nTo: team@lists.example\r\nSubject: All the news\r\n\
    Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <news.1@lists.example>\r\n\
    List-Id: Team <team.lists.example>\r\n\r\nAll the news.\r\n";

/// An app with a watched mailbox, and this action by rule for each email of the list.
async fn app_with_rule(dovecot: &Dovecot, action: &str) -> TestApp {
    let app = app_with(dovecot).await;
    let preferences = json!({"timezone": "UTC", "digest_at": "07:30"});
    put_preferences(&app.client, &preferences).await;
    let rules =
        format!("rules: [{{name: news, match: {{from: '*@lists.example'}}, actions: [{action}]}}]");
    let put = put(&app.client, Some("*"), "application/yaml", &rules).await;
    assert_eq!(put.status, 200, "{}", put.text);
    dovecot.deliver("INBOX", NEWS);
    watch(&app, &["INBOX"]).await;
    app
}

#[tokio::test]
async fn list_email_is_put_into_the_digest_of_the_user_who_gets_it() {
    let dovecot = Dovecot::start().await;
    let app = app_with_rule(&dovecot, "{type: digest_add, params: {note: weekly}}").await;
    let _worker = app.worker_with(QUICK).await;
    eventually(SOON, async || {
        let found: i64 = app
            .db
            .one("select count(*) from digest_entries where note = 'weekly'")
            .await;
        (found == 1).then_some(()).ok_or_else(|| found.to_string())
    })
    .await;
}

#[tokio::test]
async fn list_email_is_archived_in_the_mailbox_that_has_it() {
    let dovecot = Dovecot::start().await;
    let app = app_with_rule(&dovecot, "{type: archive}").await;
    // Nobody approves it: then it would be that person's.
    app.db
        .execute("update tenants set trust_mode = 'autonomous'")
        .await;
    let _worker = app.worker_with(QUICK).await;
    eventually(SOON, async || {
        let kept = dovecot.kept();
        let is_archived = kept.iter().any(|mail| mail.folder == "Archive");
        is_archived.then_some(()).ok_or_else(|| format!("{kept:?}"))
    })
    .await;
}
