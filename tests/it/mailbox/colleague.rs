//! Whose mailbox an action changes: that of the user who asks, and never a colleague's.

use super::{
    app_with,
    changes::{offer, with_mail},
};
use crate::{
    actions::done,
    support::{api_keys::key, dovecot::Dovecot},
};
use jobs::domain::{api_key::KeyScope, session::Role};
use serde_json::json;

#[tokio::test]
async fn colleague_without_an_account_changes_nobody_s_mailbox_and_an_api_key_the_recipient_s() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let star = json!({"actions": [{"type": "star", "payload": {}, "message_id": message}]});
    let colleague = app.client.colleague(&app.db, Role::Member).await;
    let output = done(&colleague, &star).await;
    assert_eq!(
        output["actions"][0]["error"]["code"], "no_mailbox",
        "{output}"
    );
    assert_eq!(offer(&dovecot)[0].flags, "");
    let token = key(&app.db, app.client.tenant, KeyScope::ALL.iter().copied()).await;
    let output = done(&app.client.with_token(&token), &star).await;
    assert_eq!(output["actions"][0]["result"], "succeeded", "{output}");
    assert_eq!(offer(&dovecot)[0].flags, "F");
}
