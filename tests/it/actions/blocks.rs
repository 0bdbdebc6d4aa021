//! Blocks and inbox items by way of actions: accepted, deferred, and undone as long as nobody has changed them.

use super::{approved::approval_in, done, records::trust};
use crate::{
    approvals::{
        decide,
        seed::{propose_about, propose_action},
    },
    blocks::{self, waiting},
    drafts::generated::message,
    support::{
        Client, TestDb,
        system::{TestApi, Worker},
    },
};
use jobs::domain::action::ActionType;
use serde_json::{Value, json};

async fn agreed(db: &TestDb, client: &Client, kind: ActionType, params: &Value) -> String {
    let id = propose_action(db, client.tenant, kind, params).await;
    assert_eq!(decide(client, &id, "approve", 1).await.status, 200);
    approval_in(client, &id, "executed").await;
    id
}

async fn undone(client: &Client, approval: &str) {
    assert_eq!(decide(client, approval, "undo", 1).await.status, 200);
    approval_in(client, approval, "undone").await;
}

/// What stands although it was to be undone.
async fn stands(client: &Client, approval: &str) {
    assert_eq!(decide(client, approval, "undo", 1).await.status, 200);
    let found = approval_in(client, approval, "executed").await;
    assert_eq!(found["error"]["code"], "moved_on", "{found}");
}

async fn blocks(client: &Client, status: &str) -> Vec<Value> {
    let page = client.get(&format!("/v1/blocks?status={status}")).await;
    page.body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn approved_block_is_in_the_day_of_who_agreed_and_given_free_when_it_is_undone() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let colleague = client.colleague(&db, jobs::domain::Role::Member).await;
    let _worker = Worker::spawn(&db).await;
    let params = json!({"title": "Write the plan", "minutes": "90"});
    let first = agreed(&db, &client, ActionType::ScheduleBlock, &params).await;
    let block = blocks(&client, "accepted").await.remove(0);
    assert_eq!(
        (&block["title"], &block["source"], &block["outside_hours"]),
        (&params["title"], &json!("assistant"), &json!(false))
    );
    assert!(blocks(&colleague, "accepted").await.is_empty());
    undone(&client, &first).await;
    assert!(blocks(&client, "accepted").await.is_empty());
    assert_eq!(blocks(&client, "cancelled").await.len(), 1);

    // What the person has touched since is theirs.
    let second = agreed(&db, &client, ActionType::ScheduleBlock, &params).await;
    let block = blocks(&client, "accepted").await.remove(0);
    let id = block["id"].as_str().unwrap();
    let cancelled = blocks::decide(&client, id, "cancel", 2).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    stands(&client, &second).await;
}

#[tokio::test]
async fn block_that_one_has_agreed_to_before_is_not_an_action_s_to_take_back() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let own = blocks::block(&client, "Write the plan", "09:00", "10:00").await;
    assert_eq!(blocks::decide(&client, &own, "accept", 1).await.status, 200);
    let params = json!({"title": "Write the plan"});
    let approval = agreed(&db, &client, ActionType::ScheduleBlock, &params).await;
    undone(&client, &approval).await;
    let accepted = blocks(&client, "accepted").await;
    assert_eq!((accepted.len(), &accepted[0]["id"]), (1, &json!(own)));
    trust(&client, "supervised").await;
    let odd = json!({"type": "schedule_block", "payload": {"title": "x", "minutes": "soon"}});
    let output = done(&client, &json!({"actions": [odd]})).await;
    assert_eq!(output["actions"][0]["error"]["code"], "bad_minutes");
    // The failure of a direct action is in the history, too.
    let entries: i64 = db
        .one(
            "select count(*) from history_entries where verb = 'failed' and object_kind = 'effect'",
        )
        .await;
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn item_is_put_off_and_back_where_it_was_unless_somebody_has_touched_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let id = waiting(&db, &client, "Pay Ada").await;
    let item = async || client.get(&format!("/v1/inbox/{id}")).await.body;
    let week = json!({"item_id": id, "bucket": "next_week"});
    let first = agreed(&db, &client, ActionType::Defer, &week).await;
    let deferred = item().await;
    assert_eq!(deferred["state"], "deferred");
    // Deferred again from there, and back to there.
    let later = json!({"item_id": id, "until": "2035-01-08T09:00:00Z"});
    // Within a year it must be.
    let far = propose_action(&db, client.tenant, ActionType::Defer, &later).await;
    assert_eq!(decide(&client, &far, "approve", 1).await.status, 200);
    let failed = approval_in(&client, &far, "failed").await;
    assert_eq!(failed["error"]["code"], "not_ahead");
    let tomorrow = json!({"item_id": id, "until": "tomorrow 11:00"});
    let second = agreed(&db, &client, ActionType::Defer, &tomorrow).await;
    assert_ne!(item().await["defer_until"], deferred["defer_until"]);
    undone(&client, &second).await;
    assert_eq!(item().await["defer_until"], deferred["defer_until"]);
    // The first is not as it was left.
    stands(&client, &first).await;
    assert_eq!(item().await["state"], "deferred");

    let other = waiting(&db, &client, "Call Bob").await;
    let week = json!({"item_id": other, "bucket": "next_week"});
    let third = agreed(&db, &client, ActionType::Defer, &week).await;
    undone(&client, &third).await;
    let read = client.get(&format!("/v1/inbox/{other}")).await.body;
    assert_eq!(
        (&read["state"], &read["defer_until"]),
        (&json!("open"), &Value::Null)
    );
    let entries: i64 = db
        .one("select count(*) from history_entries where object_kind = 'inbox_item' and verb = 'deferred' and job_id is not null")
        .await;
    assert_eq!(entries, 3);
}

#[tokio::test]
async fn nobody_puts_off_what_they_cannot_see() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let _worker = Worker::spawn(&db).await;
    let theirs = waiting(&db, &stranger, "Pay Ada").await;
    trust(&client, "supervised").await;
    for (params, code) in [
        (
            json!({"item_id": theirs, "bucket": "next_week"}),
            "not_found",
        ),
        (json!({"item_id": "7", "bucket": "next_week"}), "not_found"),
        (json!({"item_id": theirs}), "bad_moment"),
        (json!({"item_id": theirs, "until": "later"}), "bad_moment"),
    ] {
        let action = json!({"type": "defer", "payload": params});
        let output = done(&client, &json!({"actions": [action]})).await;
        assert_eq!(output["actions"][0]["error"]["code"], code, "{output}");
    }
    let read = stranger.get(&format!("/v1/inbox/{theirs}")).await.body;
    assert_eq!(read["state"], "open");
}

#[tokio::test]
async fn snoozed_mail_waits_in_the_inbox_even_if_it_asked_for_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let mail = message(&client, "Plan").await;
    trust(&client, "supervised").await;
    db.execute("delete from inbox_items").await;
    let snooze = |until: &str| json!({"actions": [{"type": "snooze", "payload": {"until": until}, "message_id": mail}]});
    let output = done(&client, &snooze("next_week")).await;
    assert_eq!(output["actions"][0]["result"], "succeeded", "{output}");
    let items: String = db
        .one("select string_agg(concat_ws(' ', title, state, owner_id is null, message_id is null), ', ') from inbox_items")
        .await;
    assert_eq!(items, "Plan deferred f f");
    // The same email again is the same item, deferred anew.
    let output = done(&client, &snooze("tomorrow 09:00")).await;
    assert_eq!(output["actions"][0]["result"], "succeeded", "{output}");
    let items: String = db
        .one("select count(*) || ' ' || max(version) from inbox_items")
        .await;
    assert_eq!(items, "1 3");
    let nowhere = json!({"actions": [{"type": "snooze", "payload": {"until": "next_week"}}]});
    let output = done(&client, &nowhere).await;
    assert_eq!(
        output["actions"][0]["error"]["code"], "message_required",
        "{output}"
    );
}

#[tokio::test]
async fn snooze_is_undone_and_what_it_had_added_to_the_inbox_is_gone() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    for (subject, asked_for_something, state) in
        [("Plan", false, "dismissed"), ("Lunch", true, "open")]
    {
        let mail = message(&client, subject).await;
        let mail = mail.as_str().unwrap();
        db.execute("delete from inbox_items").await;
        if asked_for_something {
            waiting(&db, &client, subject).await;
            db.execute(&format!("update inbox_items set message_id = '{mail}'"))
                .await;
        }
        let until = json!({"until": "next_week"});
        let kind = ActionType::Snooze;
        let approval = propose_about(&db, client.tenant, kind, &until, mail.parse().unwrap()).await;
        assert_eq!(decide(&client, &approval, "approve", 1).await.status, 200);
        approval_in(&client, &approval, "executed").await;
        let is = async || -> String {
            db.one("select string_agg(concat_ws(' ', state, defer_until is null), ', ') from inbox_items")
                .await
        };
        assert_eq!(is().await, "deferred f", "{subject}");
        undone(&client, &approval).await;
        assert_eq!(is().await, format!("{state} t"), "{subject}");
    }
}
