//! A caller may give a draft the name that we would give to a job of ours: then that draft stands for the job.

use super::generated::{message, post};
use crate::{
    actions::ask,
    support::{
        Client, TestDb,
        model::{FakeModel, Reply},
        system::{TestApi, Worker},
    },
};
use base::clock::Clock;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// Asks for an answer an hour later, under the name that triage gives to the answer of an email; the id of its job.
async fn named_like_ours(client: &Client, message: &str) -> String {
    let body = json!({
        "mode": "reply", "message_id": message, "external_id": format!("{message}:reply"),
        "run_at": Clock::System.now() + TimeDelta::hours(1),
    });
    let asked = post(client, "/v1/jobs/draft", &body).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    asked.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn action_that_asks_for_an_answer_finds_the_draft_of_its_name() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    db.execute("update tenants set trust_mode = 'autonomous'")
        .await;
    let _worker = Worker::spawn(&db).await;
    let message = message(&client, "Plan").await;
    let draft = named_like_ours(&client, message.as_str().unwrap()).await;
    let action = json!({"type": "save_draft", "message_id": message, "payload": {}});
    let asked = ask(&client, &json!({"actions": [action]})).await;
    let job = client.finished(asked.body["id"].as_str().unwrap()).await;
    let outcome = &job["output"]["actions"][0];
    assert_eq!(outcome["result"], "succeeded", "{job}");
    assert_eq!(outcome["receipt"]["job_id"], json!(draft), "{job}");
}

/// What a model says of an email that wants an answer.
const RESPOND: &str = r#"{
    "reasoning": "A person asks.", "disposition": "respond", "category": "scheduling", "priority": "medium",
    "sla": "<72h", "matched_rule": null, "confidence": 0.9, "actions": [],
    "entities": {"people": [], "amounts": [], "dates": []}, "injection_suspected": false
}"#;

const EMAIL: &[u8] =
    b"Message-ID: <1@x.example>\nFrom: a@x.example\nTo: b@acme.example\nSubject: Plan\n\nWhen?";

#[tokio::test]
async fn email_is_judged_although_the_name_of_its_answer_is_taken() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let triage = client.submitted(EMAIL, "email").await;
    let message: String = db.one("select id::text from messages").await;
    named_like_ours(&client, &message).await;
    let model = FakeModel::start([Reply::Says(RESPOND.into())]).await;
    let _worker = model.worker(&db, &[]).await;
    let judged: Value = client.finished(&triage).await;
    assert_eq!(judged["state"], "succeeded", "{judged}");
    assert_eq!(judged["output"]["disposition"], "respond", "{judged}");
    let drafts: i64 = db
        .one("select count(*) from jobs where kind = 'draft.generate'")
        .await;
    assert_eq!(drafts, 1);
}
