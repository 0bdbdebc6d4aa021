//! Marks and folders: what is asked for is what lies in the mailbox, once, and undone only as far as we had done it.

use super::{app_at, app_with};
use crate::{
    actions::{approved::approval_in, ask, done, sending::TestApp},
    approvals::{decide, seed::propose_about},
    support::{
        TestDb,
        cutter::Cutter,
        dovecot::{Dovecot, StoredMessage},
        eventually,
        wait::SOON,
    },
};
use base::TenantId;
use jobs::{
    domain::{
        MessageId,
        action::ActionType,
        mail::{Mail, MailFormat},
    },
    store::messages::{self, NewMessage},
};
use serde_json::{Value, json};

const MAIL: &str = "From: Bob <bob@example.org>\r\nTo: owner@acme.example\r\nSubject: Offer\r\n\
                    Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <offer.1@example.org>\r\n\r\nHello\r\n";
const OTHER: &str = "From: Bob <bob@example.org>\r\nTo: owner@acme.example\r\nSubject: Other\r\n\
                     Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <offer.10@example.org>\r\n\r\nOther\r\n";

/// Keeps an email as one that was submitted.
pub(crate) async fn handed_in(db: &TestDb, tenant: TenantId, text: &str) -> MessageId {
    let (id, source) = (MessageId::new(), text.as_bytes());
    let mail = Mail::parse(source).unwrap();
    let new = NewMessage {
        id,
        tenant,
        format: MailFormat::Rfc822,
        source,
        content_hash: mail.content_hash(),
    };
    let mut conn = db.pool().acquire().await.unwrap();
    messages::insert(&mut conn, &[new]).await.unwrap();
    id
}

/// An app, the email in its mailbox with another beside it, and its name with us.
pub(super) async fn with_mail(dovecot: &Dovecot, app: &TestApp) -> MessageId {
    dovecot.deliver("INBOX", MAIL);
    dovecot.deliver("INBOX", OTHER);
    handed_in(&app.db, app.client.tenant, MAIL).await
}

pub(super) fn offer(dovecot: &Dovecot) -> Vec<StoredMessage> {
    let all = dovecot.kept();
    all.into_iter()
        .filter(|kept| kept.text.contains("<offer.1@"))
        .collect()
}

pub(super) fn other(dovecot: &Dovecot) -> StoredMessage {
    let all = dovecot.kept();
    let mut others = all
        .into_iter()
        .filter(|kept| kept.text.contains("<offer.10@"));
    let found = others.next().unwrap();
    assert_eq!(others.next(), None);
    found
}

/// Executes one approved action and returns the id of its approval.
pub(super) async fn agreed(
    app: &TestApp,
    kind: ActionType,
    params: &Value,
    message: MessageId,
) -> String {
    let tenant = app.client.tenant;
    let id = propose_about(&app.db, tenant, kind, params, message).await;
    app.agree(&id).await;
    id
}

pub(super) async fn undone(app: &TestApp, approval: &str, status: &str) -> Value {
    let asked = decide(&app.client, approval, "undo", 1).await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    approval_in(&app.client, approval, status).await
}

#[tokio::test]
async fn marks_are_set_on_the_one_email_that_is_meant_and_taken_off_again() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let output = done(
        &app.client,
        &json!({"actions": [
            {"type": "label", "payload": {"label": "Needs reply"}, "message_id": message},
            {"type": "mark_read", "payload": {}, "message_id": message},
            {"type": "star", "payload": {}, "message_id": message},
            {"type": "mark_read", "payload": {}, "message_id": message},
        ]}),
    )
    .await;
    let results: Vec<_> = (0..4).map(|n| &output["actions"][n]["result"]).collect();
    assert_eq!(
        results,
        ["succeeded", "succeeded", "succeeded", "succeeded"],
        "{output}"
    );
    assert_eq!(
        output["actions"][0]["receipt"],
        json!({"label": "Needs reply", "set": true, "changed": true})
    );
    assert_eq!(
        output["actions"][1]["effect_id"], output["actions"][3]["effect_id"],
        "one line in the ledger"
    );
    let found = offer(&dovecot);
    assert_eq!(
        (
            found.len(),
            found[0].folder.as_str(),
            found[0].flags.as_str()
        ),
        (1, "INBOX", "FS")
    );
    assert_eq!(found[0].keywords, ["Needs_reply"]);
    assert_eq!(
        (other(&dovecot).flags, other(&dovecot).keywords),
        (String::new(), vec![])
    );
    let unlabel =
        json!({"type": "unlabel", "payload": {"label": "needs reply"}, "message_id": message});
    let output = done(&app.client, &json!({ "actions": [unlabel] })).await;
    assert_eq!(output["actions"][0]["receipt"]["changed"], true, "{output}");
    assert_eq!(offer(&dovecot)[0].keywords, Vec::<String>::new());
}

#[tokio::test]
async fn email_is_put_where_its_user_would_look_for_it_and_back_again() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    for (kind, params, folder) in [
        // Made, for there is none.
        (ActionType::Archive, json!({}), "Archive"),
        (ActionType::Spam, json!({}), "Junk"),
        // The one that the server says is for this.
        (ActionType::Trash, json!({}), "Deleted Things"),
        (
            ActionType::Move,
            json!({"folder": "Kunden/Müller & Co"}),
            "Kunden.M&APw-ller &- Co",
        ),
    ] {
        let approval = agreed(&app, kind, &params, message).await;
        approval_in(&app.client, &approval, "executed").await;
        let found = offer(&dovecot);
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        assert_eq!(found[0].folder, folder);
        assert_eq!(other(&dovecot).folder, "INBOX");
        undone(&app, &approval, "undone").await;
        let found = offer(&dovecot);
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        assert_eq!(found[0].folder, "INBOX", "{kind} was undone");
    }
}

#[tokio::test]
async fn taking_back_touches_only_what_we_had_changed() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let read = agreed(&app, ActionType::MarkRead, &json!({}), message).await;
    approval_in(&app.client, &read, "executed").await;
    // The same email under another name with us: it is read by now.
    let twin = handed_in(&app.db, app.client.tenant, MAIL).await;
    let again = agreed(&app, ActionType::MarkRead, &json!({}), twin).await;
    approval_in(&app.client, &again, "executed").await;
    undone(&app, &again, "undone").await;
    assert_eq!(offer(&dovecot)[0].flags, "S", "it was read before");
    undone(&app, &read, "undone").await;
    assert_eq!(offer(&dovecot)[0].flags, "");
}

#[tokio::test]
async fn what_its_user_has_moved_on_is_left_alone() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let archived = agreed(&app, ActionType::Archive, &json!({}), message).await;
    approval_in(&app.client, &archived, "executed").await;
    dovecot.remove("Archive", "<offer.1@");
    let kept = undone(&app, &archived, "executed").await;
    assert_eq!(kept["error"]["code"], "moved_on", "{kept}");
    assert_eq!(offer(&dovecot), []);
    let star = json!({"type": "star", "payload": {}, "message_id": message});
    let output = done(&app.client, &json!({ "actions": [star] })).await;
    assert_eq!(output["actions"][0]["result"], "failed");
    assert_eq!(
        output["actions"][0]["error"]["code"], "message_gone",
        "{output}"
    );
}

#[tokio::test]
async fn nobody_reaches_into_the_mailbox_of_another() {
    let dovecot = Dovecot::start().await;
    let app = app_with(&dovecot).await;
    let _worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    let star = |message: MessageId| json!({"actions": [{"type": "star", "payload": {}, "message_id": message}]});
    let stranger = app.api.sign_in(&app.db).await;
    // Theirs is the same email, but no mailbox.
    let own = handed_in(&app.db, stranger.tenant, MAIL).await;
    let output = done(&stranger, &star(own)).await;
    assert_eq!(
        output["actions"][0]["error"]["code"], "no_mailbox",
        "{output}"
    );
    let asked = ask(&stranger, &star(message)).await;
    if asked.status == 202 {
        let job = stranger.finished(asked.body["id"].as_str().unwrap()).await;
        assert_ne!(job["state"], "succeeded", "{job}");
    }
    assert_eq!(offer(&dovecot)[0].flags, "");
    let dry = json!({"dry_run": true, "actions": [{"type": "star", "payload": {}, "message_id": message}]});
    let output = done(&app.client, &dry).await;
    assert_eq!(
        output["actions"][0]["receipt"]["would"],
        json!({"flag": "\\Flagged", "set": true})
    );
    assert_eq!(offer(&dovecot)[0].flags, "", "nothing was touched");
}

#[tokio::test]
async fn change_whose_answer_is_lost_is_found_done_and_can_be_undone() {
    for (kind, command) in [
        (ActionType::Archive, "UID MOVE"),
        (ActionType::Star, "UID STORE"),
    ] {
        let dovecot = Dovecot::start().await;
        let cutter = Cutter::before(dovecot.port).await;
        let app = app_at(cutter.port).await;
        let _worker = app.worker().await;
        let message = with_mail(&dovecot, &app).await;
        cutter.cut_after(command);
        let approval = agreed(&app, kind, &json!({}), message).await;
        approval_in(&app.client, &approval, "executed").await;
        assert_eq!(cutter.cuts(), 1, "the answer was lost");
        let unknown: i64 = app
            .db
            .one("select count(*) from audit_entries where action = 'effect.reconciled'")
            .await;
        assert_eq!(unknown, 1, "{kind} was asked after");
        let found = offer(&dovecot);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].folder == "Archive" || found[0].flags == "F",
            "{found:?}"
        );
        undone(&app, &approval, "undone").await;
        let found = offer(&dovecot);
        assert_eq!(
            (found[0].folder.as_str(), found[0].flags.as_str()),
            ("INBOX", "")
        );
    }
}

#[tokio::test]
async fn worker_that_dies_over_a_move_leaves_it_to_the_next_which_can_take_it_back() {
    let dovecot = Dovecot::start().await;
    let cutter = Cutter::before(dovecot.port).await;
    let app = app_at(cutter.port).await;
    let mut worker = app.worker().await;
    let message = with_mail(&dovecot, &app).await;
    cutter.stall_after("UID MOVE");
    let approval = agreed(&app, ActionType::Archive, &json!({}), message).await;
    eventually(SOON, async || {
        let found = offer(&dovecot);
        let moved = found.len() == 1 && found[0].folder == "Archive";
        moved.then_some(()).ok_or_else(|| format!("{found:?}"))
    })
    .await;
    worker.process.kill();
    let _next = app.worker().await;
    approval_in(&app.client, &approval, "executed").await;
    assert_eq!(offer(&dovecot).len(), 1);
    undone(&app, &approval, "undone").await;
    assert_eq!(offer(&dovecot)[0].folder, "INBOX");
}
