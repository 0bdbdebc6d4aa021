//! What nobody decides in time: refused at once, and expired once, by one worker of all.

use super::{decide, edit, propose};
use crate::support::{TestDb, system::TestApi};
use futures::future::join_all;
use jobs::commands::approvals::expire_approvals;
use serde_json::json;

const LAPSE: &str = "update approvals set expires_at = now() - interval '1 second'";

#[tokio::test]
async fn decision_that_comes_too_late_is_gone_and_the_approval_expired() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    db.execute(LAPSE).await;
    let late = decide(&client, &id, "reject", 1).await;
    late.assert_problem(410, "GONE", "a late rejection");
    let now = client.get(&format!("/v1/approvals/{id}")).await;
    assert_eq!(now.body["status"], "expired");
    let request = late.header("x-request-id").unwrap();
    let log = client.get(&format!("/v1/audit?request_id={request}")).await;
    assert_eq!(log.body["items"][0]["action"], "approval.expired");
    for refused in [
        decide(&client, &id, "undo", 1).await,
        edit(&client, &id, 1, json!({})).await,
    ] {
        refused.assert_problem(410, "GONE", "after the end");
    }
    let entries: i64 = db
        .one("select count(*) from history_entries where verb = 'expired'")
        .await;
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn skip_is_not_undone_into_an_approval_that_has_lapsed() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = propose(&db, client.tenant, "Pay").await;
    assert_eq!(decide(&client, &id, "reject", 1).await.status, 200);
    db.execute(LAPSE).await;
    decide(&client, &id, "undo", 1)
        .await
        .assert_problem(410, "GONE", "a late undo");
    let now = client.get(&format!("/v1/approvals/{id}")).await;
    assert_eq!(now.body["status"], "rejected");
}

#[tokio::test]
async fn only_what_has_lapsed_undecided_expires_each_once_and_in_batches() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(propose(&db, client.tenant, &format!("Task {n}")).await);
    }
    assert_eq!(decide(&client, &ids[0], "reject", 1).await.status, 200);
    db.execute(LAPSE).await;
    let open = propose(&db, client.tenant, "Still open").await;
    assert_eq!(expire_approvals(db.pool(), 2).await.unwrap(), 2);
    let rest = join_all((0..4).map(|_| expire_approvals(db.pool(), 500))).await;
    let rest: u64 = rest.into_iter().map(Result::unwrap).sum();
    assert_eq!(rest, 4);
    let expired: i64 = db
        .one("select count(*) from approvals where status = 'expired'")
        .await;
    let audited: i64 = db
        .one("select count(distinct resource_id) from audit_entries where action = 'approval.expired' and actor_kind = 'system'")
        .await;
    let entries: i64 = db
        .one("select count(*) from history_entries where verb = 'expired'")
        .await;
    assert_eq!((expired, audited, entries), (6, 6, 6));
    for (id, status) in [(&ids[0], "rejected"), (&open, "proposed")] {
        assert_eq!(
            client.get(&format!("/v1/approvals/{id}")).await.body["status"],
            status
        );
    }
}
