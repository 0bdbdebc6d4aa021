//! An approved action is executed once, exactly as approved; not at all if the approval was revoked in time.

use super::{ask, notified};
use crate::{
    approvals::{decide, seed::propose_action},
    support::{
        Client, TestDb, eventually,
        system::{TestApi, Worker},
        wait::SOON,
    },
};
use futures::future::join_all;
use jobs::{commands::approvals::execute::abandon, domain::action::ActionType};
use serde_json::{Value, json};

async fn proposed(db: &TestDb, client: &Client, text: &str) -> String {
    let params = json!({ "text": text });
    propose_action(db, client.tenant, ActionType::Notify, &params).await
}

/// The approval, as soon as it is in this state.
pub(crate) async fn approval_in(client: &Client, id: &str, status: &str) -> Value {
    eventually(SOON, async || {
        let found = client.get(&format!("/v1/approvals/{id}")).await.body;
        if found["status"] == status {
            Ok(found)
        } else {
            Err(found.to_string())
        }
    })
    .await
}

#[tokio::test]
async fn twenty_people_who_agree_at_once_have_it_done_once() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = proposed(&db, &client, "a").await;
    let answers = join_all((0..20).map(|_| decide(&client, &id, "approve", 1))).await;
    let agreed = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(agreed.count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_problem(409, "CONFLICT", "agreed to before");
        assert!(refused.text.contains("approved"), "{}", refused.text);
    }
    let _worker = Worker::spawn(&db).await;
    let executed = approval_in(&client, &id, "executed").await;
    let job = executed["execution_job_id"].as_str().unwrap();
    let output = client.finished(job).await["output"].clone();
    assert_eq!(
        (&output["approval_id"], &output["actions"][0]["result"]),
        (&json!(id), &json!("succeeded"))
    );
    assert_eq!(notified(&db).await, 1);
    assert_eq!(db.one::<i64>("select count(*) from effects").await, 1);
    let found = ask(&client, &json!({"approval_id": id, "version": 1})).await;
    assert_eq!(
        (found.status.as_u16(), &found.body["id"]),
        (200, &json!(job))
    );
    let audited: String = db
        .one("select string_agg(action, ' ' order by id) from audit_entries where resource_kind = 'approval'")
        .await;
    assert_eq!(audited, "approval.approved approval.begun approval.ended");
    let requests: i64 = db
        .one("select count(distinct request_id) from audit_entries where resource_kind in ('approval', 'effect')")
        .await;
    assert_eq!(requests, 1, "one request is behind all of it");
}

#[tokio::test]
async fn agreement_that_is_revoked_in_time_does_nothing_and_may_be_given_again() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let id = proposed(&db, &client, "a").await;
    let agreed = decide(&client, &id, "approve", 1).await;
    let job = agreed.body["execution_job_id"].as_str().unwrap().to_owned();
    let revoked = decide(&client, &id, "revoke", 1).await;
    assert_eq!(
        (
            &revoked.body["status"],
            &revoked.body["version"],
            &revoked.body["decided_by"]
        ),
        (&json!("proposed"), &json!(2), &Value::Null)
    );
    assert_eq!(client.job(&job).await["state"], "cancelled");
    ask(&client, &json!({"approval_id": id, "version": 2}))
        .await
        .assert_problem(409, "CONFLICT", "not agreed to");
    let _worker = Worker::spawn(&db).await;
    assert_eq!(decide(&client, &id, "approve", 2).await.status, 200);
    approval_in(&client, &id, "executed").await;
    assert_eq!(notified(&db).await, 1);
    decide(&client, &id, "revoke", 2)
        .await
        .assert_problem(409, "CONFLICT", "too late");
    decide(&client, &id, "undo", 2).await.assert_problem(
        409,
        "CONFLICT",
        "what was notified was notified",
    );
}

#[tokio::test]
async fn what_was_agreed_to_is_what_is_done_or_nothing_is() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut jobs = Vec::new();
    for change in [
        r#"payload = jsonb_set(payload, '{params,text}', '"forged"')"#,
        "version = 2",
        "execution_job_id = gen_random_uuid()",
        "status = 'proposed'",
    ] {
        let id = proposed(&db, &client, change).await;
        let agreed = decide(&client, &id, "approve", 1).await;
        let job = agreed.body["execution_job_id"].as_str().unwrap();
        db.execute(&format!("update approvals set {change} where id = '{id}'"))
            .await;
        jobs.push((job.to_owned(), change));
    }
    let _worker = Worker::spawn(&db).await;
    for (job, change) in jobs {
        let ended = client.finished(&job).await;
        let code = &ended["error"]["code"];
        assert_eq!(code, "approval_changed", "{change}: {ended}");
    }
    assert_eq!(notified(&db).await, 0);
}

#[tokio::test]
async fn approval_whose_job_ends_without_a_word_is_not_left_hanging() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let (waits, runs) = (
        proposed(&db, &client, "a").await,
        proposed(&db, &client, "b").await,
    );
    for id in [&waits, &runs] {
        assert_eq!(decide(&client, id, "approve", 1).await.status, 200);
    }
    assert_eq!(abandon(db.pool(), 500).await.unwrap(), 0, "their jobs wait");
    db.execute(&format!(
        "update approvals set status = 'executing' where id = '{runs}'"
    ))
    .await;
    db.execute("delete from jobs").await;
    assert_eq!(abandon(db.pool(), 500).await.unwrap(), 2);
    let waits = client.get(&format!("/v1/approvals/{waits}")).await.body;
    assert_eq!(
        (&waits["status"], &waits["version"]),
        (&json!("proposed"), &json!(2))
    );
    let runs = client.get(&format!("/v1/approvals/{runs}")).await.body;
    assert_eq!(
        (&runs["status"], &runs["error"]["code"]),
        (&json!("failed"), &json!("job_ended"))
    );
}

#[tokio::test]
async fn another_tenant_agrees_to_nothing_of_ours() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (client, stranger) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let id = proposed(&db, &client, "a").await;
    for what in ["approve", "revoke"] {
        decide(&stranger, &id, what, 1)
            .await
            .assert_problem(404, "NOT_FOUND", what);
    }
    ask(&stranger, &json!({"approval_id": id, "version": 1}))
        .await
        .assert_problem(404, "NOT_FOUND", "not theirs");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
}
