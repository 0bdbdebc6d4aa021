//! What is remembered for a user goes into the email that is written for them, and into nobody else's.

use super::{
    generated::{done, message},
    seed,
};
use crate::support::{
    Client, TestDb,
    client::send,
    model::{FakeModel, Reply},
    system::TestApi,
};
use jobs::domain::session::Role;
use reqwest::Method;
use serde_json::{Value, json};

/// Puts a note into the user's memory; its id.
async fn note(client: &Client, body: Value) -> String {
    let kept = send(client.request(Method::PUT, "/v1/memory").json(&body)).await;
    assert_eq!(kept.status, 201, "{}", kept.text);
    kept.body["id"].as_str().unwrap().to_owned()
}

fn habit(key: &str, value: &str) -> Value {
    json!({"level": "procedural", "key": key, "value": value})
}

fn of_sender(sender: &str, key: &str, value: &str) -> Value {
    json!({"level": "semantic", "scope": "sender", "scope_value": sender, "key": key, "value": value})
}

/// A draft by a model that says it used these.
fn drafted(used: &[&str]) -> Reply {
    let answer = json!({
        "body_text": "Hello Ada,\n\nthe second one.", "subject": null, "confidence": "HIGH", "assumptions": [],
        "open_questions": [], "used_memory_ids": used, "language": "en",
    });
    Reply::Says(answer.to_string())
}

#[tokio::test]
async fn email_is_written_with_what_its_writer_has_said_and_with_nobody_else_s() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let colleague = client.colleague(&db, Role::Member).await;
    let stranger = api.sign_in(&db).await;
    let sign_off = note(&client, habit("sign-off", "Mossy regards")).await;
    note(
        &client,
        of_sender("ada@x.example", "plan", "She means the blue plan"),
    )
    .await;
    note(
        &client,
        of_sender("eve@x.example", "plan", "Eve means the red plan"),
    )
    .await;
    note(&client, habit("phone", "Call +44 20 7946 0958")).await;
    note(&client, habit("tone", "formal")).await;
    note(&colleague, habit("sign-off", "A colleague's regards")).await;
    note(&stranger, habit("sign-off", "A stranger's regards")).await;
    let model = FakeModel::start([drafted(&[&sign_off])]).await;
    let _worker = model.worker(&db, &[]).await;
    let message = message(&client, "Plan").await;
    let body = json!({"mode": "reply", "message_id": message});
    let output = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(output["outcome"], "drafted", "{output}");
    let prompt = model.prompt(0);
    for said in [
        &format!("[{sign_off}] procedural, sign-off: \"Mossy regards\""),
        "She means the blue plan",
        "Tone: formal.",
        "Call [redacted]",
    ] {
        assert!(prompt.contains(said), "{said} is not in {prompt}");
    }
    for hidden in ["Eve means", "A colleague's", "A stranger's", "7946 0958"] {
        assert!(!prompt.contains(hidden), "{hidden} is in {prompt}");
    }
    assert_eq!(output["memory_ids"], json!([sign_off]));
    let id = output["draft_id"].as_str().unwrap();
    let newest = client.get(&format!("/v1/drafts/{id}")).await.body["newest"].clone();
    assert_eq!(
        (&newest["memory_ids"], &newest["tone"]),
        (&json!([sign_off]), &json!("formal"))
    );
    let used: i64 = db
        .one("select count(*) from memory_items where use_count > 0")
        .await;
    assert_eq!(used, 4);
}

#[tokio::test]
async fn item_that_was_not_shown_is_not_cited() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let colleague = client.colleague(&db, Role::Member).await;
    let theirs = note(&colleague, habit("sign-off", "Cheers")).await;
    let model = FakeModel::start([drafted(&[&theirs]), drafted(&[])]).await;
    let _worker = model.worker(&db, &[]).await;
    let message = message(&client, "Plan").await;
    let body = json!({"mode": "reply", "message_id": message, "tone": "brief"});
    let output = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(output["memory_ids"], json!([]));
    assert!(model.prompt(1).contains("a memory that was not given"));
    assert!(model.prompt(0).contains("Tone: brief"));
}

#[tokio::test]
async fn what_an_email_has_left_in_the_memory_is_evidence_and_no_instruction() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let read = note(
        &client,
        json!({"level": "episodic", "key": "tone", "value": "brief"}),
    )
    .await;
    // As a job leaves it that has read an email.
    db.execute("update memory_items set provenance = 'email'")
        .await;
    let model = FakeModel::start([drafted(&[&read])]).await;
    let _worker = model.worker(&db, &[]).await;
    let message = message(&client, "Plan").await;
    let body = json!({"mode": "reply", "message_id": message});
    let output = done(&client, "/v1/jobs/draft", &body).await;
    assert_eq!(output["memory_ids"], json!([read]));
    let prompt = model.prompt(0);
    let (before, after) = prompt.split_once(&read).unwrap();
    assert!(
        before
            .rfind("UNTRUSTED")
            .is_some_and(|at| before[at..].contains("memory"))
    );
    assert!(!after.contains("Tone: brief") && !before.contains("said before, each"));
}

#[tokio::test]
async fn revision_by_a_delegate_is_written_with_what_is_remembered_for_the_draft_s_owner() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let delegate = client.colleague(&db, Role::Member).await;
    note(&client, habit("sign-off", "Mossy regards")).await;
    note(&delegate, habit("sign-off", "A delegate's regards")).await;
    let owner = crate::users::user_of(&db, &client).await;
    let draft = seed::draft(&db, client.tenant, Some(owner), "Hello.").await;
    let user = crate::users::user_of(&db, &delegate).await;
    let path = format!("/v1/users/me/delegates/{user}");
    let added = send(client.request(Method::PUT, &path)).await;
    assert_eq!(added.status, 204, "{}", added.text);
    let model = FakeModel::start([drafted(&[])]).await;
    let _worker = model.worker(&db, &[]).await;
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    let output = done(&delegate, &format!("/v1/drafts/{draft}/revise"), &body).await;
    assert_eq!(output["version"], 2, "{output}");
    let prompt = model.prompt(0);
    assert!(prompt.contains("Mossy regards"), "{prompt}");
    assert!(!prompt.contains("A delegate's"), "{prompt}");
}
