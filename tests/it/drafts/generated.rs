//! `draft.generate` over HTTP with a real worker and its fixtures: what is written, revised, asked and refused.

use crate::{
    approvals::decide,
    support::{
        Client, TestDb,
        binaries::root,
        client::{TestResponse, send},
        eventually,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use base::JobId;
use reqwest::Method;
use serde_json::{Value, json};

pub(crate) async fn post(client: &Client, path: &str, body: &Value) -> TestResponse {
    let key = JobId::new().to_string();
    send(
        client
            .request(Method::POST, path)
            .header("Idempotency-Key", key)
            .json(body),
    )
    .await
}

/// The output of the job, once it has succeeded.
pub(crate) async fn done(client: &Client, path: &str, body: &Value) -> Value {
    let asked = post(client, path, body).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    let job = client.finished(asked.body["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["output"].clone()
}

/// Submits an email that nothing is done about; its id.
pub(crate) async fn message(client: &Client, subject: &str) -> Value {
    let body = json!({
        "mode": "rules_only",
        "message": {
            "message_id": "<1@x.example>", "in_reply_to": "<0@x.example>", "references": ["<0@x.example>"],
            "from": {"addr": "ada@x.example"}, "to": [{"addr": "me@acme.example"}], "cc": [{"addr": "bob@x.example"}],
            "subject": subject, "body_text": "Which one is it?",
        },
    });
    done(client, "/v1/jobs/triage", &body).await["message"]["id"].clone()
}

async fn drafted(client: &Client) -> (String, Value) {
    let message = message(client, "AW: Re: Plan").await;
    let body = json!({"mode": "reply", "message_id": message});
    let output = done(client, "/v1/jobs/draft", &body).await;
    assert_eq!(output["outcome"], "drafted", "{output}");
    (output["draft_id"].as_str().unwrap().to_owned(), output)
}

#[tokio::test]
async fn reply_is_a_version_with_headers_by_code_and_an_approval_of_its_content() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let _worker = Worker::spawn(&db).await;
    let (id, output) = drafted(&client).await;
    let path = format!("/v1/drafts/{id}");
    let draft = client.get(&path).await;
    assert_eq!(draft.header("etag"), Some("\"1\""));
    let newest = &draft.body["newest"];
    assert_eq!(newest["to"], json!(["ada@x.example"]));
    assert_eq!(newest["subject"], "Re: Plan");
    assert_eq!(newest["in_reply_to"], "<1@x.example>");
    assert_eq!(
        newest["references"],
        json!(["<0@x.example>", "<1@x.example>"])
    );
    let approval = output["approval_id"].as_str().unwrap();
    let approval = client.get(&format!("/v1/approvals/{approval}")).await.body;
    assert_eq!(
        approval["payload"]["params"],
        json!({"draft_id": id, "version": "1", "content_hash": newest["content_hash"]})
    );
    assert_eq!(
        (&approval["kind"], &approval["risk"], &approval["status"]),
        (&json!("send_draft"), &json!("high"), &json!("proposed"))
    );
    for path in [path.clone(), format!("{path}/versions")] {
        let read = stranger.get(&path).await;
        read.assert_problem(404, "NOT_FOUND", &path);
    }
    let theirs = stranger.get("/v1/drafts").await.body;
    assert_eq!(theirs["items"], json!([]));
}

#[tokio::test]
async fn revision_is_a_version_that_voids_the_approval_of_the_one_before() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let (id, first) = drafted(&client).await;
    let approval = first["approval_id"].as_str().unwrap();
    let path = format!("/v1/drafts/{id}");
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    let output = done(&client, &format!("{path}/revise"), &body).await;
    assert_eq!(
        (&output["version"], &output["approval_id"]),
        (&json!(2), &first["approval_id"])
    );
    assert!(
        output["diff"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["op"] == "insert")
    );
    let stale = post(&client, &format!("{path}/revise"), &body).await;
    stale.assert_problem(409, "CONFLICT", "an old version was revised");
    decide(&client, approval, "approve", 1)
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "an old version was approved");
    // In the person's words, on the approval itself.
    let edit = client
        .request(Method::POST, &format!("/v1/approvals/{approval}/edit"))
        .header("If-Match", "\"2\"")
        .json(&json!({"instructions": "More formal."}));
    let editing = send(edit).await;
    assert_eq!(
        (editing.status.as_u16(), &editing.body["status"]),
        (200, &json!("editing"))
    );
    eventually(SOON, async || {
        let found = client.get(&format!("/v1/approvals/{approval}")).await.body;
        let there = found["status"] == "proposed" && found["payload"]["params"]["version"] == "3";
        there.then_some(()).ok_or_else(|| found.to_string())
    })
    .await;
    let versions = client.get(&format!("{path}/versions")).await.body;
    let numbers: Vec<_> = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["version"].clone())
        .collect();
    assert_eq!(numbers, [3, 2, 1]);
    let asked = client
        .get(&format!(
            "/v1/history?object_kind=draft&verb=revision_requested&object_id={id}"
        ))
        .await;
    assert_eq!(asked.body["items"].as_array().unwrap().len(), 2);
    let same = client.get(&format!("{path}/diff?from=2&to=3")).await;
    assert_eq!(same.status, 200, "{}", same.text);
}

#[tokio::test]
async fn who_does_not_know_asks_and_a_dry_run_keeps_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let unclear = message(&client, "Unclear").await;
    let body = json!({"mode": "reply", "message_id": unclear});
    let asked = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(asked["outcome"], "open_questions");
    assert_eq!(
        asked["open_questions"],
        json!(["What should the answer say?"])
    );
    let inbox = client.get("/v1/inbox").await.body;
    let item = &inbox["visible"][0];
    assert_eq!(
        (&item["title"], &item["message_id"]),
        (&json!("What should the answer say?"), &unclear),
        "{inbox}"
    );
    let written: i64 = db
        .one("select count(*) from audit_entries where action in ('draft.not_written', 'inbox_item.created')")
        .await;
    assert_eq!(written, 2);
    let again = json!({"mode": "reply", "message_id": unclear, "dry_run": true});
    done(&client, "/v1/jobs/draft", &again).await;
    let items: i64 = db.one("select count(*) from inbox_items").await;
    assert_eq!(items, 1);
    let body = json!({
        "mode": "compose", "to": ["dan@x.example"], "intent": "Say hello.", "send_at": "tomorrow 09:00",
        "dry_run": true,
    });
    let dry = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(dry["preview"]["to"], json!(["dan@x.example"]));
    assert!(
        dry["send_at"].is_string() && dry["draft_id"].is_null(),
        "{dry}"
    );
    let kept: i64 = db
        .one("select (select count(*) from drafts) + (select count(*) from approvals)")
        .await;
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn how_sure_a_model_must_be_is_for_the_operator_to_say() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let strict = [
        ("LLM_TESTING_MODE", "true"),
        ("DRAFT_MIN_CONFIDENCE", "high"),
    ];
    let _worker = Worker::spawn_with(&db, &strict).await;
    let body = json!({"mode": "reply", "message_id": message(&client, "Plan").await});
    let output = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(
        (&output["outcome"], &output["confidence"]),
        (&json!("open_questions"), &json!("MEDIUM"))
    );
    let inbox = client.get("/v1/inbox").await.body;
    assert_eq!(inbox["visible"][0]["title"], "What should this email say?");
    let kept: i64 = db.one("select count(*) from drafts").await;
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn what_is_discarded_is_skipped_and_never_revised() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let (id, output) = drafted(&client).await;
    let path = format!("/v1/drafts/{id}/discard");
    let discard = |etag: &'static str| client.request(Method::POST, &path).header("If-Match", etag);
    send(discard("\"7\""))
        .await
        .assert_problem(412, "PRECONDITION_FAILED", "another version");
    let discarded = send(discard("\"1\"")).await;
    assert_eq!(discarded.body["status"], "discarded", "{}", discarded.text);
    let approval = output["approval_id"].as_str().unwrap();
    let approval = client.get(&format!("/v1/approvals/{approval}")).await.body;
    assert_eq!(approval["status"], "rejected");
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    post(&client, &format!("/v1/drafts/{id}/revise"), &body)
        .await
        .assert_problem(409, "CONFLICT", "a discarded draft was revised");
}

#[tokio::test]
async fn email_that_wants_an_answer_gets_a_draft_by_itself() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let body = json!({"message": {"from": {"addr": "ada@x.example"}, "subject": "A question", "body_text": "Which?"}});
    let judged = done(&client, "/v1/jobs/triage", &body).await;
    assert_eq!(judged["disposition"], "respond");
    eventually(SOON, async || {
        let drafts = client.get("/v1/drafts?status=ready").await.body;
        let there = drafts["items"][0]["message_id"] == judged["message"]["id"];
        there.then_some(()).ok_or_else(|| drafts.to_string())
    })
    .await;
}

#[tokio::test]
async fn email_whose_model_proposes_a_draft_too_gets_one_draft_and_one_approval() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let _worker = Worker::spawn(&db).await;
    let email = std::fs::read(root().join("dev/samples/question.eml")).unwrap();
    let request = client
        .request(Method::POST, "/v1/jobs/triage")
        .header("Content-Type", "message/rfc822")
        .header("Idempotency-Key", "question");
    let job = send(request.body(email)).await;
    let judged = client.finished(job.body["id"].as_str().unwrap()).await;
    let proposed = &judged["output"]["actions"][0];
    assert_eq!(
        (
            &proposed["type"],
            &proposed["gate"],
            &proposed["approval_id"]
        ),
        (&json!("save_draft"), &json!("auto"), &Value::Null),
        "{judged}"
    );
    eventually(SOON, async || {
        let drafts = client.get("/v1/drafts").await.body;
        let done = client.get("/v1/jobs?state=succeeded").await.body;
        let kind = |job: &Value| job["kind"].as_str().unwrap().to_owned();
        let mut kinds: Vec<_> = done["items"].as_array().unwrap().iter().map(kind).collect();
        kinds.sort();
        (kinds == ["action.execute", "draft.generate", "triage.email"])
            .then_some(())
            .ok_or_else(|| format!("{drafts} {done}"))
    })
    .await;
    let approvals = client.get("/v1/approvals").await.body;
    let kinds = approvals["items"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|approval| &approval["kind"]).collect();
    assert_eq!(kinds, ["send_draft"]);
}

#[tokio::test]
async fn wish_that_does_not_fit_is_refused_with_a_pointer() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let reply = |field: &str, value: Value| {
        let mut body = json!({"mode": "reply", "message_id": JobId::new()});
        body[field] = value;
        body
    };
    for (body, pointer) in [
        (json!({"mode": "reply"}), "/message_id"),
        (reply("to", json!(["a@b.example"])), "/to"),
        (reply("max_words", json!(5)), "/max_words"),
        (reply("send_at", json!("2020-01-01T00:00:00Z")), "/send_at"),
        (reply("tone", json!("brief")), "/message_id"),
        (json!({"mode": "compose", "to": ["a@b.example"]}), "/intent"),
        (
            json!({"mode": "compose", "to": ["a@b.example\r\nBcc: c@d.example"], "intent": "x"}),
            "/to",
        ),
        (json!({"mode": "revise", "instructions": "x"}), "/draft_id"),
    ] {
        let refused = post(&client, "/v1/jobs/draft", &body).await;
        refused.assert_problem(422, "INVALID_BODY", pointer);
        assert_eq!(
            refused.body["errors"][0]["pointer"], pointer,
            "{}",
            refused.text
        );
    }
}
