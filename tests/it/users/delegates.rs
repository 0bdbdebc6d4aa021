//! Whose a draft is: the person whose mailbox it is decides it, and those whom that person lets.

use super::user_of;
use crate::support::{Client, TestDb, client::send, system::TestApi};
use jobs::domain::{UserId, session::Role};
use reqwest::{Method, StatusCode};

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
async fn delegate_is_an_active_user_of_the_same_tenant() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (person, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let foreign = user_of(&db, &stranger).await;
    assert_eq!(delegate(&person, Method::PUT, foreign).await, 404);
    assert_eq!(delegate(&person, Method::PUT, UserId::new()).await, 404);
}
