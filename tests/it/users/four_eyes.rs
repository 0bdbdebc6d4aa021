//! Four eyes: the person who asked for an action, edited it or created the API key that asked for it does not approve it, and
//! does not lift the rule either.

use super::user_of;
use crate::support::{
    Client, TestDb,
    api_keys::key,
    client::{TestResponse, send},
    system::{TestApi, Worker},
};
use base::{JobId, clock::Clock};
use jobs::{
    domain::{
        MessageId,
        action::{ActionType, Params},
        api_key::KeyScope,
        approval::NewApproval,
        gate::Confirmation,
        proposal::Proposal,
        risk::Risk,
        session::Role,
    },
    store::approvals,
};
use reqwest::Method;
use serde_json::json;

async fn put_four_eyes(client: &Client, four_eyes: bool) -> TestResponse {
    let settings = json!({
        "trust_mode": "training_wheels", "sending_disabled": false, "four_eyes": four_eyes,
    });
    send(client.request(Method::PUT, "/v1/settings").json(&settings)).await
}

/// The approval of an action that `caller` asks for; `reader` waits for it.
async fn asked(caller: &Client, reader: &Client) -> String {
    let actions = json!({"actions": [{"type": "create_task", "payload": {"title": "Buy paper"}}]});
    let submitted = send(
        caller
            .request(Method::POST, "/v1/jobs/action")
            .header("Idempotency-Key", "four-eyes")
            .json(&actions),
    )
    .await;
    let job = submitted.body["id"].as_str().expect(&submitted.text);
    reader.finished(job).await;
    let waiting = reader.get("/v1/approvals?status=proposed").await.body;
    let id = waiting["items"][0]["id"].as_str().expect("an approval");
    id.to_owned()
}

#[tokio::test]
async fn four_eyes_are_lifted_only_by_those_who_manage_users() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let operator = owner.colleague(&db, Role::Operator).await;
    assert_eq!(put_four_eyes(&owner, true).await.status, 200);
    let lifted = put_four_eyes(&operator, false).await;
    lifted.assert_problem(403, "FORBIDDEN", "it binds them");
    assert_eq!(
        put_four_eyes(&operator, true).await.status,
        200,
        "unchanged"
    );
    assert_eq!(put_four_eyes(&owner, false).await.status, 200);
}

#[tokio::test]
async fn action_is_not_approved_by_the_person_whose_key_asked_for_it_when_the_tenant_wants_four_eyes()
 {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let _worker = Worker::spawn(&db).await;
    let owner = api.sign_in(&db).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    let program = owner.with_token(&key(&db, owner.tenant, [KeyScope::JobsWrite]).await);
    let creator = user_of(&db, &owner).await;
    db.execute(&format!(
        "update tenants set four_eyes = true; update api_keys set created_by = '{creator}'"
    ))
    .await;
    let id = asked(&program, &owner).await;
    let refused = crate::approvals::decide(&owner, &id, "approve", 1).await;
    refused.assert_problem(403, "OWN_REQUEST", "their key asked");
    let agreed = crate::approvals::decide(&colleague, &id, "approve", 1).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
}

/// A running job with these arguments, and who asked for the approval that it proposes: the user, and the creator of the key.
async fn asked_by(db: &TestDb, client: &Client, kind: &str, args: &str) -> (bool, bool) {
    let job = JobId::new();
    db.execute(&format!(
        "insert into jobs (tenant_id, id, max_attempts, kind, queue, args, state)
         values ('{}', '{job}', 3, '{kind}', 'draft', '{args}', 'available')",
        client.tenant
    ))
    .await;
    let kind = ActionType::CreateTask;
    let title = json!({"title": "Buy paper"});
    let proposal = Proposal {
        kind,
        params: Params::read(kind, title.as_object().unwrap()).unwrap(),
        confirmation: Confirmation::AsTrusted,
        confidence: 0.9,
        rationale: None,
    };
    let now = Clock::System.now();
    let approval = NewApproval::of(&proposal, MessageId::new(), Risk::Medium, now);
    let mut conn = db.pool().acquire().await.unwrap();
    approvals::insert(&mut conn, client.tenant, job, &approval)
        .await
        .unwrap();
    let stored = approvals::find(&mut conn, client.tenant, approval.id)
        .await
        .unwrap()
        .unwrap();
    (stored.requested_by.is_some(), stored.key_creator.is_some())
}

#[tokio::test]
async fn only_who_put_words_into_a_draft_counts_as_having_asked_for_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let user = user_of(&db, &owner).await;
    key(&db, owner.tenant, [KeyScope::JobsWrite]).await;
    db.execute(&format!("update api_keys set created_by = '{user}'"))
        .await;
    let key: String = db.one("select id::text from api_keys").await;
    for (kind, args, expected) in [
        (
            "draft.generate",
            json!({"mode": "compose", "user": user}),
            (true, false),
        ),
        // A reminder: nobody asked, so its owner may approve it.
        (
            "draft.generate",
            json!({"mode": "follow_up", "user": user, "follow_up": user}),
            (false, false),
        ),
        (
            "draft.generate",
            json!({"mode": "compose", "api_key": key}),
            (false, true),
        ),
        (
            "draft.generate",
            json!({"mode": "reply", "api_key": key, "instructions": "Say no."}),
            (false, true),
        ),
        // The reply of a triage: the key only submitted the email.
        (
            "draft.generate",
            json!({"mode": "reply", "api_key": key, "suggestion": "Say no."}),
            (false, false),
        ),
        (
            "triage.email",
            json!({"mode": "full", "api_key": key}),
            (false, false),
        ),
        (
            "action.execute",
            json!({"work": {"requested": []}, "api_key": key}),
            (false, true),
        ),
        (
            "action.execute",
            json!({"work": {"triaged": {}}, "api_key": key}),
            (false, false),
        ),
    ] {
        let found = asked_by(&db, &owner, kind, &args.to_string()).await;
        assert_eq!(found, expected, "{kind} {args}");
    }
}

#[tokio::test]
async fn action_is_approved_by_another_person_when_the_tenant_wants_four_eyes() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let _worker = Worker::spawn(&db).await;
    let owner = api.sign_in(&db).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    assert_eq!(put_four_eyes(&owner, true).await.body["four_eyes"], true);
    let id = asked(&owner, &owner).await;
    let refused = crate::approvals::decide(&owner, &id, "approve", 1).await;
    refused.assert_problem(403, "OWN_REQUEST", "who asked does not agree");
    let agreed = crate::approvals::decide(&colleague, &id, "approve", 1).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
}

#[tokio::test]
async fn action_is_not_approved_by_the_person_who_edited_it_when_the_tenant_wants_four_eyes() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    db.execute("update tenants set four_eyes = true").await;
    let id = crate::approvals::seed::propose(&db, owner.tenant, "Buy paper").await;
    let edit = crate::approvals::decision(&colleague, &id, "edit", 1)
        .json(&json!({"patch": {"title": "Buy gold"}}));
    let edited = send(edit).await;
    assert_eq!(edited.status, 200, "{}", edited.text);
    let refused = crate::approvals::decide(&colleague, &id, "approve", 2).await;
    refused.assert_problem(403, "OWN_REQUEST", "who edited does not approve");
    let agreed = crate::approvals::decide(&owner, &id, "approve", 2).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
}

#[tokio::test]
async fn draft_is_not_approved_by_the_person_who_had_it_revised_when_the_tenant_wants_four_eyes() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let _worker = Worker::spawn(&db).await;
    let owner = api.sign_in(&db).await;
    let colleague = owner.colleague(&db, Role::Member).await;
    db.execute("update tenants set four_eyes = true").await;
    let draft = crate::drafts::seed::draft(&db, owner.tenant, None, "Hello.").await;
    let approval: String = db.one("select approval_id::text from drafts").await;
    let body = json!({"base_version": 1, "instructions": "Shorter."});
    let path = format!("/v1/drafts/{draft}/revise");
    crate::drafts::generated::done(&colleague, &path, &body).await;
    let refused = crate::approvals::decide(&colleague, &approval, "approve", 2).await;
    refused.assert_problem(403, "OWN_REQUEST", "who had it revised does not approve");
    let agreed = crate::approvals::decide(&owner, &approval, "approve", 2).await;
    assert_eq!(agreed.status, 200, "{}", agreed.text);
}
