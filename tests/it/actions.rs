//! Actions over HTTP with a real worker: each is executed once, for users who may, and its result is recorded.

pub(crate) mod approved;
mod blocks;
mod letters;
mod records;
pub(crate) mod sending;
mod unsubscribe;

use crate::{
    rules::put,
    support::{
        Client, TestDb,
        client::{TestResponse, send},
        eventually,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use base::JobId;
use reqwest::Method;
use serde_json::{Value, json};

/// Asks for actions under a key of its own.
pub(crate) async fn ask(client: &Client, body: &Value) -> TestResponse {
    let key = JobId::new().to_string();
    ask_with_key(client, &key, body).await
}

async fn ask_with_key(client: &Client, key: &str, body: &Value) -> TestResponse {
    send(
        client
            .request(Method::POST, "/v1/jobs/action")
            .header("Idempotency-Key", key)
            .json(body),
    )
    .await
}

/// The output of the job, once it has succeeded.
pub(crate) async fn done(client: &Client, body: &Value) -> Value {
    let asked = ask(client, body).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let job = client.finished(asked.body["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["output"].clone()
}

/// Something small that is done without asking.
fn notify(text: &str, external_id: Option<&str>) -> Value {
    json!({"type": "notify", "payload": {"text": text}, "external_id": external_id})
}

async fn notified(db: &TestDb) -> i64 {
    db.one("select count(*) from history_entries where verb = 'notified'")
        .await
}

#[tokio::test]
async fn actions_are_done_in_their_order_each_with_its_line_in_the_ledger() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let output = done(
        &client,
        &json!({"actions": [notify("a", None), notify("b", None)]}),
    )
    .await;
    for (index, text) in ["a", "b"].iter().enumerate() {
        let action = &output["actions"][index];
        assert_eq!(
            (&action["index"], &action["result"], &action["gate"]),
            (&json!(index), &json!("succeeded"), &json!("auto")),
            "{text}"
        );
        let id = action["effect_id"].as_str().unwrap();
        let effect = client.get(&format!("/v1/effects/{id}")).await;
        assert_eq!(effect.body["status"], "succeeded");
    }
    let stories: String = db
        .one("select string_agg(rationale, ' ' order by id) from history_entries where verb = 'notified'")
        .await;
    assert_eq!(stories, "a b");
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where action ~ '^(effect|action)'")
        .await;
    assert_eq!(
        audited,
        "effect.intended effect.ended effect.intended effect.ended action.ended action.ended"
    );
}

#[tokio::test]
async fn same_action_again_is_a_duplicate_that_names_the_first_and_another_is_not() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let _worker = Worker::spawn(&db).await;
    for name in [None, Some("n1")] {
        let first = done(&client, &json!({"actions": [notify("a", name)]})).await;
        let again = done(&client, &json!({"actions": [notify("a", name)]})).await;
        let (first, again) = (&first["actions"][0], &again["actions"][0]);
        assert_eq!(first["result"], "succeeded");
        assert_eq!(again["result"], "skipped_duplicate");
        assert_eq!(
            (&again["effect_id"], &again["receipt"]),
            (&first["effect_id"], &first["receipt"])
        );
    }
    let pair = json!({"actions": [notify("b", None), notify("c", None), notify("b", None)]});
    let output = done(&client, &pair).await;
    let results: Vec<_> = (0..3).map(|n| &output["actions"][n]["result"]).collect();
    // The third is the first again, and this very job has done it.
    assert_eq!(results, ["succeeded", "succeeded", "succeeded"]);
    assert_eq!(
        output["actions"][0]["effect_id"],
        output["actions"][2]["effect_id"]
    );
    let other = done(&client, &json!({"actions": [notify("d", Some("n1"))]})).await;
    assert_eq!(other["actions"][0]["error"]["code"], "external_id_reused");
    let theirs = done(&stranger, &json!({"actions": [notify("a", Some("n1"))]})).await;
    assert_eq!(theirs["actions"][0]["result"], "succeeded");
    assert_eq!(notified(&db).await, 5);
}

#[tokio::test]
async fn dry_run_touches_no_key_and_the_real_run_after_it_is_done_once() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let mut body = json!({"actions": [notify("a", Some("n1"))], "dry_run": true});
    let dry = done(&client, &body).await;
    assert_eq!(
        (&dry["dry_run"], &dry["actions"][0]["result"]),
        (&json!(true), &json!("simulated"))
    );
    assert_eq!(db.one::<i64>("select count(*) from effects").await, 0);
    assert_eq!(notified(&db).await, 0);
    body["dry_run"] = json!(false);
    let real = done(&client, &body).await;
    assert_eq!(real["actions"][0]["result"], "succeeded");
    assert_eq!(notified(&db).await, 1);
}

#[tokio::test]
async fn job_in_the_reply_has_the_times_with_which_it_is_read_later() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let draft = json!({"mode": "compose", "to": ["ada@x.example"], "intent": "Ask for the plan."});
    for (path, body) in [
        ("/v1/jobs/action", json!({"actions": [notify("a", None)]})),
        ("/v1/jobs/draft", draft),
    ] {
        let request = client
            .request(Method::POST, path)
            .header("Idempotency-Key", "k")
            .json(&body);
        let submitted = send(request).await;
        assert_eq!(submitted.status, 202, "{}", submitted.text);
        let read = client.job(submitted.body["id"].as_str().unwrap()).await;
        for time in ["created_at", "run_at"] {
            assert_eq!(submitted.body[time], read[time], "{path} {time}");
        }
    }
}

#[tokio::test]
async fn request_is_one_job_however_often_it_is_sent_and_a_changed_one_is_refused() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let body = json!({"actions": [notify("a", None)]});
    let first = ask_with_key(&client, "k1", &body).await;
    let again = ask_with_key(&client, "k1", &body).await;
    assert_eq!((first.status, again.status), (first.status, first.status));
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = json!({"actions": [notify("b", None)]});
    ask_with_key(&client, "k1", &other).await.assert_problem(
        422,
        "IDEMPOTENCY_KEY_REUSED",
        "another body",
    );
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_at_the_door_with_a_pointer() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = "0198c1d2-0000-7000-8000-000000000000";
    for (body, pointer) in [
        (json!({"actions": []}), "/actions"),
        (json!({}), ""),
        (
            json!({"actions": [notify("a", None)], "approval_id": id, "version": 1}),
            "",
        ),
        (json!({"approval_id": id}), ""),
        (
            json!({"actions": [{"type": "send_draft"}]}),
            "/actions/0/type",
        ),
        (
            json!({"actions": [{"type": "notify"}]}),
            "/actions/0/payload/text",
        ),
        (
            json!({"actions": [notify("a", None), {"type": "notify", "payload": {"text": "x", "to": "y"}}]}),
            "/actions/1/payload/to",
        ),
        (
            json!({"actions": [notify("a", Some(""))]}),
            "/actions/0/external_id",
        ),
        (
            json!({"actions": [notify("a", None)], "priority": 9}),
            "/priority",
        ),
    ] {
        let refused = ask(&client, &body).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{body}");
    }
    ask(&client, &json!({"approval_id": id, "version": 1}))
        .await
        .assert_problem(404, "NOT_FOUND", "no approval");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
}

#[tokio::test]
async fn what_triage_may_do_by_itself_is_done_once_and_what_it_may_not_waits() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let rules = "rules:\n- name: all\n  match: {from: 'bob@example.org'}\n  actions:\n  \
        - {type: notify, params: {text: 'Bob wrote'}}\n  - {type: notify, params: {text: 'Mind Bob'}, confirm: true}";
    let saved = put(&client, Some("*"), "application/yaml", rules).await;
    assert_eq!(saved.status, 200, "{}", saved.text);
    let _worker = Worker::spawn(&db).await;
    let mail = b"From: bob@example.org\nTo: me@acme.example\nSubject: Hi\n\nhello";
    let job = client.submitted(mail, "k1").await;
    client.finished(&job).await;
    assert_eq!(client.submit(mail, "k2").await.status, 200, "the same work");
    eventually(SOON, async || {
        let done: i64 = db
            .one("select count(*) from finished_jobs where kind = 'action.execute' and state = 'succeeded'")
            .await;
        (done == 1).then_some(()).ok_or_else(|| done.to_string())
    })
    .await;
    assert_eq!(notified(&db).await, 1, "the other waits for a person");
    let dry = send(
        client
            .submission(b"From: bob@example.org\nSubject: Other\n\nhello", "k3")
            .query(&[("dry_run", "true")]),
    )
    .await;
    client.finished(dry.body["id"].as_str().unwrap()).await;
    let jobs: i64 = db
        .one(
            "select count(*) from (select id from jobs where kind = 'action.execute' union all
              select id from finished_jobs where kind = 'action.execute') j",
        )
        .await;
    assert_eq!(jobs, 1, "a dry run has nothing done");
}

#[tokio::test]
async fn many_actions_that_are_asked_for_together_each_need_an_approval() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    for (count, expected) in [(20, "succeeded"), (21, "pending_approval")] {
        let action = |n| json!({"type": "notify", "payload": {"text": format!("{n} of {count}")}});
        let actions: Vec<_> = (0..count).map(action).collect();
        let output = done(&client, &json!({"actions": actions})).await;
        let outcomes = output["actions"].as_array().unwrap();
        assert_eq!(outcomes.len(), count);
        for outcome in outcomes {
            assert_eq!(outcome["result"], expected, "{outcome}");
        }
    }
}
