//! What a person corrects is an example for the next judgements and drafts of the same person, until it is deleted or old.

use crate::{
    approvals::decide,
    drafts::generated::post,
    support::{
        Client, TestDb,
        client::send,
        model::{FakeModel, Reply},
        system::TestApi,
    },
};
use jobs::{domain::session::Role, store::corrections};
use serde_json::{Value, json};

/// Submits an email to the user and waits for its judgement; the id of the approval that was proposed.
async fn judged(db: &TestDb, client: &Client, subject: &str) -> String {
    let owner = "select email from users where id = (select user_id from sessions where id = $1)";
    let owner = sqlx::query_scalar(owner).bind(client.session.0);
    let to: String = owner.fetch_one(db.pool()).await.unwrap();
    let email = format!(
        "From: Ann <ann@client.example>\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@client.example>\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\r\nCould we move the call?\r\n"
    );
    let job = client.submitted(email.as_bytes(), subject).await;
    let output = client.finished(&job).await["output"].clone();
    output["actions"][0]["approval_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{output}"))
        .to_owned()
}

#[tokio::test]
async fn rejected_proposal_is_shown_to_the_next_judgement_for_the_same_person_until_it_is_reopened()
{
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let colleague = client.colleague(&db, Role::Member).await;
    let model = FakeModel::start([Reply::Fits]).await;
    let _worker = model.worker(&db, &[]).await;

    let first = judged(&db, &client, "HUNTER-first").await;
    assert_eq!(decide(&client, &first, "reject", 1).await.status, 200);
    judged(&db, &client, "second").await;
    let said = "1. create_task was proposed; the owner rejected it.";
    let prompt = model.prompt(1);
    assert!(prompt.contains(said), "{prompt}");
    let (trusted, evidence) = prompt
        .split_once("UNTRUSTED corrections")
        .expect("the evidence");
    assert!(!trusted.contains("HUNTER-first"), "{trusted}");
    assert!(evidence.contains("subject: HUNTER-first"), "{evidence}");

    judged(&db, &colleague, "third").await;
    assert!(
        !model.prompt(2).contains(said),
        "a colleague's judgements do not learn from it"
    );

    assert_eq!(decide(&client, &first, "undo", 1).await.status, 200);
    judged(&db, &client, "fourth").await;
    assert!(!model.prompt(3).contains("HUNTER-first"));
}

#[tokio::test]
async fn changed_parameters_are_shown_with_what_was_proposed() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let model = FakeModel::start([Reply::Fits]).await;
    let _worker = model.worker(&db, &[]).await;
    let approval = judged(&db, &client, "first").await;
    for (version, title) in [(1, "Wrong again"), (2, "Call Ann")] {
        let edit = crate::approvals::decision(&client, &approval, "edit", version);
        let edited = send(edit.json(&json!({ "patch": { "title": title } }))).await;
        assert_eq!(edited.status, 200, "{}", edited.text);
    }
    judged(&db, &client, "second").await;
    let prompt = model.prompt(1);
    assert!(
        prompt.contains("1. create_task was proposed; the owner changed its parameters."),
        "{prompt}"
    );
    assert!(
        prompt.contains("proposed: title: TestResponse the sender; changed to: title: Call Ann"),
        "{prompt}"
    );
    assert!(
        !prompt.contains("2. create_task"),
        "the last correction of an approval counts"
    );
}

#[tokio::test]
async fn instructions_for_a_draft_are_shown_to_the_next_draft() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let model = FakeModel::start([Reply::Fits]).await;
    let _worker = model.worker(&db, &[]).await;
    let compose = json!({ "mode": "compose", "intent": "Say hello", "to": ["ada@x.example"] });
    let drafted = async || -> Value {
        let asked = post(&client, "/v1/jobs/draft", &compose).await;
        assert_eq!(asked.status, 202, "{}", asked.text);
        client.finished(asked.body["id"].as_str().unwrap()).await["output"].clone()
    };
    let draft = drafted().await["draft_id"].as_str().unwrap().to_owned();
    let revise = json!({ "base_version": 1, "instructions": "Never say noted." });
    let asked = post(&client, &format!("/v1/drafts/{draft}/revise"), &revise).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    client.finished(asked.body["id"].as_str().unwrap()).await;
    drafted().await;
    let said = "1. a draft was written; the owner then asked: Never say noted.";
    assert!(
        !model.prompt(1).contains(said),
        "the revision has its instructions already"
    );
    let prompt = model.prompt(2);
    assert!(prompt.contains(said), "{prompt}");
    let (_, evidence) = prompt
        .split_once("UNTRUSTED corrections")
        .expect("the evidence");
    assert!(
        evidence.contains("proposed: Hello, thank you, noted."),
        "{evidence}"
    );
}

#[tokio::test]
async fn old_corrections_are_neither_shown_nor_kept() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let model = FakeModel::start([Reply::Fits]).await;
    let _worker = model.worker(&db, &[]).await;
    for subject in ["first", "second"] {
        let approval = judged(&db, &client, subject).await;
        assert_eq!(decide(&client, &approval, "reject", 1).await.status, 200);
    }
    db.execute("update judgement_corrections set created_at = now() - interval '181 days' where subject = 'first'")
        .await;
    judged(&db, &client, "third").await;
    let prompt = model.prompt(2);
    assert!(
        prompt.contains("subject: second") && !prompt.contains("subject: first"),
        "{prompt}"
    );
    let mut conn = db.pool().acquire().await.unwrap();
    assert_eq!(corrections::purge(&mut conn, 10).await.unwrap(), 1);
    let left: String = db
        .one("select string_agg(subject, ' ') from judgement_corrections")
        .await;
    assert_eq!(left, "second");
}

#[tokio::test]
async fn oldest_corrections_of_a_person_make_way_at_the_limit() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let model = FakeModel::start([Reply::Fits]).await;
    let _worker = model.worker(&db, &[]).await;
    let approval = judged(&db, &client, "newest").await;
    db.execute(
        "with copies as (
             insert into approvals (tenant_id, id, kind, title, summary, actions, source, payload, payload_hash, risk, confidence,
                                    job_id, expires_at)
             select tenant_id, gen_random_uuid(), kind, title, summary, actions, source, payload, payload_hash, risk, confidence,
                    job_id, expires_at
             from approvals, generate_series(1, 200)
             returning tenant_id, id)
         insert into judgement_corrections (tenant_id, approval_id, user_id, kind, action_type, subject, proposed, created_at)
         select copies.tenant_id, copies.id, users.id, 'rejected', 'archive', 'old', '', now() - interval '1 day'
         from copies join users on users.tenant_id = copies.tenant_id",
    )
    .await;
    assert_eq!(decide(&client, &approval, "reject", 1).await.status, 200);
    let counts = "select count(*) || ' ' || count(*) filter (where subject = 'newest') from judgement_corrections";
    assert_eq!(db.one::<String>(counts).await, "200 1");
}
