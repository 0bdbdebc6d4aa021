//! Whose a draft is: the person whose mailbox it is decides it, and those whom that person lets.

use super::user_of;
use crate::{
    drafts::generated::post,
    support::{
        Client, TestDb,
        client::{TestResponse, send},
        system::TestApi,
    },
};
use jobs::domain::{UserId, session::Role};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// A draft of the client, with its approval; ids of both.
async fn draft_of(db: &TestDb, client: &Client) -> (String, String) {
    let user = user_of(db, client).await;
    let draft = crate::drafts::seed::draft(db, client.tenant, Some(user), "Hello.").await;
    let approval: String = db.one("select approval_id::text from drafts").await;
    (draft.to_string(), approval)
}

async fn delegate(client: &Client, method: Method, user: UserId) -> StatusCode {
    let path = format!("/v1/users/me/delegates/{user}");
    send(client.request(method, &path)).await.status
}

/// An effect of the approval of which nobody knows whether it happened; its id.
async fn unknown_effect(db: &TestDb, approval: &str) -> String {
    db.execute(&format!(
        "insert into effects (tenant_id, id, effect_key, type, approval_id, status, job_id, attempt)
         select tenant_id, gen_random_uuid(), sha256('unknown'), 'send_draft', id, 'needs_human', job_id, 1
         from approvals where id = '{approval}'"
    ))
    .await;
    db.one("select id::text from effects").await
}

async fn resolve(client: &Client, effect: &str) -> TestResponse {
    let path = format!("/v1/effects/{effect}/resolve");
    let request = client.request(Method::POST, &path);
    send(request.json(&json!({"done": false}))).await
}

#[tokio::test]
async fn draft_is_decided_by_its_person_and_their_delegates() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let person = owner.colleague(&db, Role::Member).await;
    let (draft, approval) = draft_of(&db, &person).await;
    for choice in ["approve", "reject"] {
        let refused = crate::approvals::decide(&owner, &approval, choice, 1).await;
        refused.assert_problem(403, "NOT_YOURS", "even for the tenant's owner");
    }
    let path = format!("/v1/drafts/{draft}/discard");
    let discard = || {
        owner
            .request(Method::POST, &path)
            .header("If-Match", "\"1\"")
    };
    send(discard())
        .await
        .assert_problem(403, "NOT_YOURS", "discard");
    let revise = owner
        .request(Method::POST, &format!("/v1/drafts/{draft}/revise"))
        .header("Idempotency-Key", "revise-1")
        .json(&serde_json::json!({"base_version": 1, "instructions": "Shorter."}));
    send(revise)
        .await
        .assert_problem(403, "NOT_YOURS", "revise");
    let effect = unknown_effect(&db, &approval).await;
    resolve(&owner, &effect)
        .await
        .assert_problem(403, "NOT_YOURS", "resolve");
    assert_eq!(resolve(&person, &effect).await.status, 200);

    let boss = user_of(&db, &owner).await;
    assert_eq!(delegate(&person, Method::PUT, boss).await, 204);
    assert_eq!(delegate(&person, Method::PUT, boss).await, 204);
    let listed = person.get("/v1/users/me/delegates").await.body;
    assert_eq!(listed["items"][0]["user_id"], boss.to_string());
    assert_eq!(
        crate::approvals::decide(&owner, &approval, "reject", 1)
            .await
            .status,
        200
    );
    let undone = crate::approvals::decide(&person, &approval, "undo", 1).await;
    assert_eq!(undone.status, 200, "{}", undone.text);
    assert_eq!(delegate(&person, Method::DELETE, boss).await, 204);
    let refused = crate::approvals::decide(&owner, &approval, "reject", 2).await;
    refused.assert_problem(403, "NOT_YOURS", "no longer");
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where action like 'delegate%'")
        .await;
    assert_eq!(audited, "delegate_added delegate_removed");

    db.execute("update users set status = 'suspended' where role = 'member'")
        .await;
    let decided = crate::approvals::decide(&owner, &approval, "reject", 2).await;
    assert_eq!(decided.status, 200, "nobody else could: {}", decided.text);
}

#[tokio::test]
async fn delegate_of_another_user_is_chosen_by_admins_and_the_user_finds_it_in_their_inbox() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let admin = owner.colleague(&db, Role::Admin).await;
    let person = owner.colleague(&db, Role::Member).await;
    let (chief, boss, user) = (
        user_of(&db, &owner).await,
        user_of(&db, &admin).await,
        user_of(&db, &person).await,
    );
    let (_, approval) = draft_of(&db, &person).await;
    let of = async |client: &Client, method: Method, user: UserId, delegate: UserId| {
        let path = format!("/v1/users/{user}/delegates/{delegate}");
        send(client.request(method, &path)).await
    };
    let refused = of(&person, Method::PUT, user, boss).await;
    refused.assert_problem(403, "FORBIDDEN", "by a member");
    let refused = of(&admin, Method::PUT, chief, boss).await;
    refused.assert_problem(403, "FORBIDDEN", "of a user above");
    let refused = of(&admin, Method::PUT, UserId::new(), boss).await;
    refused.assert_problem(404, "NOT_FOUND", "of nobody");
    for _ in 0..2 {
        assert_eq!(of(&admin, Method::PUT, user, boss).await.status, 204);
    }
    let listed = admin.get(&format!("/v1/users/{user}/delegates")).await.body;
    assert_eq!(listed["items"][0]["user_id"], boss.to_string());
    let rejected = crate::approvals::decide(&admin, &approval, "reject", 1).await;
    assert_eq!(rejected.status, 200, "{}", rejected.text);
    assert_eq!(of(&admin, Method::DELETE, user, boss).await.status, 204);
    let titles = "select string_agg(title, '; ' order by created_at) from inbox_items
        where title like 'An administrator%' and owner_id = (select user_id from drafts limit 1)";
    let items: String = db.one(titles).await;
    assert_eq!(
        items,
        "An administrator let another user decide your drafts; An administrator removed one of your delegates"
    );
    let entries = "select string_agg(action, ' ' order by id) from audit_entries
        where action like 'delegate%' and actor_id::text = (select id::text from users where role = 'admin')
            and resource_id::text = (select id::text from users where role = 'member')";
    let audited: String = db.one(entries).await;
    assert_eq!(audited, "delegate_added delegate_removed");
}

#[tokio::test]
async fn denial_that_a_handler_finds_is_written_to_the_audit_log() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let owner = api.sign_in(&db).await;
    let admin = owner.colleague(&db, Role::Admin).await;
    let chief = user_of(&db, &owner).await;
    let (_, approval) = draft_of(&db, &owner).await;
    crate::approvals::decide(&admin, &approval, "approve", 1)
        .await
        .assert_problem(403, "NOT_YOURS", "another's draft");
    let path = format!("/v1/users/{chief}");
    let change = admin.request(Method::PATCH, &path);
    send(change.json(&json!({"suspended": true})))
        .await
        .assert_problem(403, "FORBIDDEN", "a role above");
    for (method, path) in [
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/password-reset")),
        (Method::DELETE, format!("{path}/second-factor")),
    ] {
        send(admin.request(method, &path))
            .await
            .assert_problem(403, "FORBIDDEN", "a role above");
    }
    let audited: String = db
        .one(
            "select string_agg(resource_id || ' ' || error_code, ', ' order by id) from audit_entries
             where action = 'authz_fail' and outcome = 'denied'",
        )
        .await;
    assert_eq!(
        audited,
        "approve_approval NOT_YOURS, update_user FORBIDDEN, remove_user FORBIDDEN, \
         create_password_reset FORBIDDEN, reset_second_factor FORBIDDEN"
    );
}

#[tokio::test]
async fn delegate_is_an_active_user_of_the_same_tenant() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (person, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let foreign = user_of(&db, &stranger).await;
    assert_eq!(delegate(&person, Method::PUT, foreign).await, 404);
    let own = user_of(&db, &person).await;
    assert_eq!(delegate(&person, Method::PUT, own).await, 404);
    assert_eq!(delegate(&person, Method::PUT, UserId::new()).await, 404);
}

#[tokio::test]
async fn revision_is_tried_out_only_by_who_may_revise_the_draft() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let person = api.sign_in(&db).await;
    let colleague = person.colleague(&db, Role::Member).await;
    let (draft, _) = draft_of(&db, &person).await;
    let dry_run = async |client: &Client, draft: &str, version: i32| {
        let body = json!({
            "mode": "revise", "draft_id": draft, "base_version": version, "instructions": "Shorter.",
            "dry_run": true,
        });
        post(client, "/v1/jobs/draft", &body).await
    };
    let admin = person.colleague(&db, Role::Admin).await;
    dry_run(&colleague, &draft, 1).await.assert_problem(
        404,
        "NOT_FOUND",
        "a dry run shows the draft",
    );
    dry_run(&admin, &draft, 1).await.assert_problem(
        403,
        "NOT_YOURS",
        "who reads it does not revise it",
    );
    dry_run(&person, &UserId::new().to_string(), 1)
        .await
        .assert_problem(404, "NOT_FOUND", "no such draft");
    let stale = dry_run(&person, &draft, 2).await;
    assert_eq!(stale.status, 409, "{}", stale.text);
    let tried = dry_run(&person, &draft, 1).await;
    assert_eq!(tried.status, 202, "{}", tried.text);
    let status: String = db.one("select status from approvals").await;
    assert_eq!(status, "proposed");
}
