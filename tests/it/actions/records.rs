//! Tasks and contacts by way of actions: one of a title, one of an address, undone as long as nobody has touched them.

use super::{approved::approval_in, done};
use crate::{
    approvals::{
        decide,
        seed::{propose, propose_about, propose_action},
    },
    support::{
        Client, TestDb,
        client::send,
        eventually,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use chrono::{DateTime, Days, TimeDelta, Timelike as _, Utc};
use jobs::domain::{MessageId, action::ActionType};
use reqwest::Method;
use serde_json::{Value, json};

pub(super) async fn trust(client: &Client, mode: &str) {
    let settings = json!({"trust_mode": mode, "sending_disabled": false});
    let put = client.request(Method::PUT, "/v1/settings").json(&settings);
    assert_eq!(send(put).await.status, 200);
}

fn task(title: &str) -> Value {
    json!({"type": "create_task", "payload": {"title": title, "project": "Home"}})
}

async fn titles(client: &Client) -> Vec<String> {
    let page = client.get("/v1/tasks").await.body;
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|task| task["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn trust_decides_what_waits_and_a_request_can_only_lower_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    for (n, (own, asked, result)) in [
        ("training_wheels", None, "pending_approval"),
        ("training_wheels", Some("autonomous"), "pending_approval"),
        ("supervised", None, "succeeded"),
        ("supervised", Some("training_wheels"), "pending_approval"),
        ("autonomous", None, "succeeded"),
    ]
    .into_iter()
    .enumerate()
    {
        trust(&client, own).await;
        let body = json!({"actions": [task(&format!("Task {n}"))], "trust_mode": asked});
        let output = done(&client, &body).await;
        assert_eq!(output["actions"][0]["result"], result, "{own} {asked:?}");
    }
    trust(&client, "autonomous").await;
    let mail =
        json!({"type": "send", "payload": {"to": "a@b.example", "subject": "s", "body": "b"}});
    let output = done(&client, &json!({"actions": [mail]})).await;
    assert_eq!(output["actions"][0]["result"], "pending_approval");
    let settings = client.get("/v1/settings").await.body;
    assert_eq!(settings["trust_mode"], "autonomous");
    let member = client.colleague(&db, jobs::domain::Role::Member).await;
    let put = member.request(Method::PUT, "/v1/settings").json(&settings);
    send(put).await.assert_problem(403, "FORBIDDEN", "a member");
}

#[tokio::test]
async fn approved_task_is_made_once_and_undone_unless_somebody_has_touched_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let _worker = Worker::spawn(&db).await;
    let id = propose(&db, client.tenant, "Pay Ada").await;
    assert_eq!(decide(&client, &id, "approve", 1).await.status, 200);
    approval_in(&client, &id, "executed").await;
    assert_eq!(titles(&client).await, ["Pay Ada"]);
    assert_eq!(titles(&stranger).await, [""; 0]);
    let undone = decide(&client, &id, "undo", 1).await;
    assert_eq!(undone.body["status"], "undoing", "{}", undone.text);
    approval_in(&client, &id, "undone").await;
    assert_eq!(titles(&client).await, [""; 0]);
    let audited: i64 = db
        .one("select count(*) from audit_entries where action = 'effect.undone'")
        .await;
    assert_eq!(audited, 1);

    let touched = propose(&db, client.tenant, "Call Bob").await;
    assert_eq!(decide(&client, &touched, "approve", 1).await.status, 200);
    approval_in(&client, &touched, "executed").await;
    trust(&client, "supervised").await;
    let tasks = client.get("/v1/tasks").await.body;
    let task_id = &tasks["items"][0]["id"];
    let change = json!({"type": "update_task", "payload": {"task_id": task_id, "status": "doing"}});
    let changed = done(&client, &json!({"actions": [change]})).await;
    assert_eq!(changed["actions"][0]["result"], "succeeded", "{changed}");
    assert_eq!(decide(&client, &touched, "undo", 1).await.status, 200);
    let stands = approval_in(&client, &touched, "executed").await;
    assert_eq!(stands["error"]["code"], "moved_on", "{stands}");
    assert_eq!(titles(&client).await, ["Call Bob"]);
}

#[tokio::test]
async fn title_that_is_taken_fails_the_approval_and_tells_why() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let (first, second) = (
        propose(&db, client.tenant, "Pay").await,
        propose(&db, client.tenant, "PAY").await,
    );
    assert_eq!(decide(&client, &first, "approve", 1).await.status, 200);
    approval_in(&client, &first, "executed").await;
    let refused = decide(&client, &second, "approve", 1).await;
    refused.assert_problem(409, "CONFLICT", "it would fail");
    assert!(refused.text.contains("PAY"), "{}", refused.text);
    let failed = approval_in(&client, &second, "failed").await;
    assert_eq!(failed["error"]["code"], "name_taken");
    assert!(failed["error"]["message"].as_str().unwrap().contains("PAY"));
    assert_eq!(failed["execution_job_id"], Value::Null);
    // In a project it is another title.
    let elsewhere = json!({"title": "Pay", "project": "Home"});
    let third = propose_action(&db, client.tenant, ActionType::CreateTask, &elsewhere).await;
    assert_eq!(decide(&client, &third, "approve", 1).await.status, 200);
    approval_in(&client, &third, "executed").await;
    assert_eq!(titles(&client).await, ["Pay", "Pay"]);
}

#[tokio::test]
async fn of_two_that_were_agreed_to_under_one_title_the_second_fails_and_tells_why() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (first, second) = (
        propose(&db, client.tenant, "Pay").await,
        propose(&db, client.tenant, "PAY").await,
    );
    for id in [&first, &second] {
        assert_eq!(decide(&client, id, "approve", 1).await.status, 200);
    }
    let _worker = Worker::spawn(&db).await;
    let ended = eventually(SOON, async || {
        let mut ends = Vec::new();
        for id in [&first, &second] {
            let found = client.get(&format!("/v1/approvals/{id}")).await.body;
            ends.push((
                found["status"].as_str().unwrap().to_owned(),
                found["error"]["code"].clone(),
            ));
        }
        ends.sort_by(|a, b| a.0.cmp(&b.0));
        if ends
            .iter()
            .all(|(status, _)| status != "approved" && status != "executing")
        {
            Ok(ends)
        } else {
            Err(format!("{ends:?}"))
        }
    })
    .await;
    assert_eq!(
        ended,
        [
            ("executed".to_owned(), Value::Null),
            ("failed".to_owned(), json!("name_taken"))
        ]
    );
    assert_eq!(titles(&client).await.len(), 1);
}

#[tokio::test]
async fn in_a_list_the_first_failure_stops_or_does_not_as_was_asked() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    trust(&client, "supervised").await;
    done(&client, &json!({"actions": [task("a")]})).await;
    let taken = json!({"type": "create_task", "payload": {"title": "A", "project": "home"}});
    for (on_error, last, after) in [("stop", "not_run", 1), ("continue", "succeeded", 2)] {
        let body = json!({"actions": [taken, task("b")], "on_error": on_error});
        let output = done(&client, &body).await;
        let results = [
            &output["actions"][0]["result"],
            &output["actions"][1]["result"],
        ];
        assert_eq!(results, ["failed", last], "{on_error}");
        assert_eq!(titles(&client).await.len(), after);
    }
    let dry = json!({"actions": [taken, task("c")], "on_error": "continue", "dry_run": true});
    let output = done(&client, &dry).await;
    assert_eq!(output["actions"][0]["error"]["code"], "name_taken");
    assert_eq!(output["actions"][1]["result"], "simulated");
    assert_eq!(titles(&client).await.len(), 2);
}

#[tokio::test]
async fn somebody_known_by_their_address_is_one_contact() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    trust(&client, "supervised").await;
    for (name, email) in [
        ("Ada", "ada@x.example"),
        ("Ada L.", "ADA@x.example"),
        ("Bob", "bob@x.example"),
    ] {
        let known = json!({"type": "upsert_contact", "payload": {"name": name, "email": email}});
        let output = done(&client, &json!({"actions": [known]})).await;
        assert_eq!(output["actions"][0]["result"], "succeeded", "{output}");
    }
    let page = client.get("/v1/contacts").await.body;
    let names: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|contact| (contact["name"].clone(), contact["version"].clone()))
        .collect();
    assert_eq!(
        names,
        [(json!("Bob"), json!(1)), (json!("Ada L."), json!(2))]
    );
}

#[tokio::test]
async fn task_that_was_undone_is_made_again_when_it_is_asked_for_again() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let message = MessageId::new();
    let params = json!({"title": "Pay Ada"});
    for made in 1..=3 {
        // About one email: the same action every time.
        let kind = ActionType::CreateTask;
        let id = propose_about(&db, client.tenant, kind, &params, message).await;
        assert_eq!(decide(&client, &id, "approve", 1).await.status, 200);
        approval_in(&client, &id, "executed").await;
        assert_eq!(titles(&client).await, ["Pay Ada"], "time {made}");
        if made < 3 {
            assert_eq!(decide(&client, &id, "undo", 1).await.status, 200);
            approval_in(&client, &id, "undone").await;
            assert!(titles(&client).await.is_empty(), "time {made}");
        }
    }
    let effects: i64 = db.one("select count(*) from effects").await;
    assert_eq!(effects, 3);
}

#[tokio::test]
async fn tomorrow_is_the_day_after_the_users_today() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    trust(&client, "autonomous").await;
    // It is another day there than in UTC, and not about to be midnight.
    let now: DateTime<Utc> = db.one("select now()").await;
    let (zone, hours) = match now.hour() {
        0..11 => ("Etc/GMT+12", -12),
        _ => ("Pacific/Kiritimati", 14),
    };
    db.execute(&format!("update users set timezone = '{zone}'"))
        .await;
    let mut action = task("Call Bob");
    action["payload"]["due"] = json!("tomorrow");
    done(&client, &json!({"actions": [action]})).await;
    let there = (now + TimeDelta::hours(hours)).date_naive();
    assert_ne!(there, now.date_naive());
    let page = client.get("/v1/tasks").await.body;
    let due = page["items"][0]["due_on"].as_str().unwrap();
    assert_eq!(due, (there + Days::new(1)).to_string());
}
