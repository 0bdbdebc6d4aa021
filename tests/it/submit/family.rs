//! Many emails as one job: it waits for theirs without a slot, sums them up, and is cancelled with them.

use super::*;
use crate::support::{eventually, system::Worker, wait::SOON};

fn item(subject: &str) -> Value {
    json!({
        "message": { "from": { "addr": "nora@client.example" }, "subject": subject, "body_text": "Have a look." },
        "mode": "rules_only",
    })
}

async fn submit_family(client: &Client, key: &str, items: &[Value]) -> TestResponse {
    let request = client
        .request(Method::POST, "/v1/jobs/triage:batch")
        .header("Idempotency-Key", key);
    send(request.json(&json!({ "items": items }))).await
}

async fn ended(client: &Client, job: &Value) -> Value {
    let path = format!("/v1/jobs/{}?wait=30", job["id"].as_str().unwrap());
    let answer = client.get(&path).await;
    assert!(answer.body["finished_at"].is_string(), "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn batch_ends_when_its_emails_are_judged_and_counts_them() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let known = submit_json(&client, "k-0", &item("known")).await;
    let items = [item("one"), item("known"), item("two"), item("one")];
    let batch = submit_family(&client, "k-1", &items).await;
    assert_eq!(batch.status, 202, "{}", batch.text);
    assert_eq!(
        (&batch.body["kind"], &batch.body["state"]),
        (&json!("triage.batch"), &json!("scheduled"))
    );
    let children = json!({ "total": 2, "ended": 0, "failed": 0 });
    assert_eq!(batch.body["children"], children);
    assert_eq!(batch.body["progress"]["value"], 0.0);
    let again = submit_family(&client, "k-1", &items).await;
    assert_eq!((again.status.as_u16(), &again.text), (202, &batch.text));

    let _worker = Worker::spawn(&db).await;
    let done = ended(&client, &batch.body).await;
    assert_eq!(done["state"], "succeeded", "{done}");
    let output = &done["output"];
    assert_eq!(output["total"], 4);
    assert_eq!(output["outcomes"], json!({ "succeeded": 4 }));
    let jobs: Vec<&Value> = output["items"].as_array().unwrap().iter().collect();
    let existing: Vec<_> = jobs.iter().map(|item| &item["existing"]).collect();
    assert_eq!(existing, [false, true, false, true]);
    assert_eq!(jobs[1]["job"], known.body["id"]);
    assert_eq!(jobs[3]["job"], jobs[0]["job"], "one email, one job");
    assert!(jobs.iter().all(|item| item["category"].is_string()));
    let counted: Value = db
        .one("select jsonb_build_array((select count(*) from finished_jobs), (select count(*) from messages))")
        .await;
    assert_eq!(counted, json!([4, 3]));
    let child = jobs[0]["job"].as_str().unwrap();
    let child = client.get(&format!("/v1/jobs/{child}")).await;
    assert_eq!(child.body["parent"], done["id"]);
}

#[tokio::test]
async fn batch_of_emails_that_were_all_known_waits_for_their_jobs_too() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    // Not to be judged before it is asked for.
    let mut later = item("known");
    later["run_at"] = json!("2099-01-01T00:00:00Z");
    let refused = submit_json(&client, "k-0", &later).await;
    refused.assert_problem(422, "INVALID_BODY", "too far ahead");
    let known = submit_json(&client, "k-1", &item("known")).await;
    db.execute("update jobs set state = 'scheduled', run_at = now() + interval '1 hour'")
        .await;
    let batch = submit_family(&client, "k-2", &[item("known")]).await;
    assert_eq!(batch.body["state"], "available", "{}", batch.text);
    let _worker = Worker::spawn(&db).await;
    // The batch has looked and waits.
    eventually(SOON, async || {
        db.one::<bool>(
            "select exists (select from job_attempts where outcome = 'snoozed' and error_code = 'batch_incomplete')",
        )
        .await
        .then_some(()).ok_or_else(|| "no attempt was put off".to_owned())
    })
    .await;
    let cancel = format!("/v1/jobs/{}/cancel", known.body["id"].as_str().unwrap());
    send(client.request(Method::POST, &cancel)).await;
    let done = ended(&client, &batch.body).await;
    assert_eq!(done["output"]["outcomes"], json!({ "cancelled": 1 }));
}

#[tokio::test]
async fn one_email_that_cannot_be_used_refuses_the_batch_and_says_which() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut named = item("one");
    named["external_id"] = json!("mine");
    submit_json(&client, "k-0", &named).await;
    let mut clash = item("another");
    clash["external_id"] = json!("mine");
    let refused = submit_family(&client, "k-1", &[item("two"), clash]).await;
    refused.assert_problem(422, "EXTERNAL_ID_REUSED", "the second");
    assert_eq!(refused.body["errors"][0]["pointer"], "/items/1/external_id");
    let bad = json!({ "message": { "subject": 7 } });
    let refused = submit_family(&client, "k-1", &[item("two"), bad]).await;
    refused.assert_problem(422, "INVALID_BODY", "the second");
    assert_eq!(
        refused.body["errors"][0]["pointer"],
        "/items/1/message/subject"
    );
    for items in [&[][..], &vec![item("x"); 101]] {
        let refused = submit_family(&client, "k-1", items).await;
        refused.assert_problem(422, "INVALID_BODY", "too few or too many");
    }
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
    assert_eq!(db.one::<i64>("select count(*) from messages").await, 1);
    // Nothing was done under the key.
    let accepted = submit_family(&client, "k-1", &[item("two")]).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
}

#[tokio::test]
async fn to_cancel_a_batch_cancels_what_it_waits_for() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let batch = submit_family(&client, "k-1", &[item("one"), item("two")]).await;
    let id = batch.body["id"].as_str().unwrap();
    let explained = client.get(&format!("/v1/jobs/{id}/explain")).await;
    assert!(explained.text.contains("children"), "{}", explained.text);
    let cancelled = send(client.request(Method::POST, &format!("/v1/jobs/{id}/cancel"))).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.text);
    let states: Value = db
        .one("select jsonb_agg(distinct state) from finished_jobs")
        .await;
    assert_eq!(states, json!(["cancelled"]));
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
    let seen = client.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(
        seen.body["error"]["message"],
        "The job was cancelled while it waited."
    );
}

#[tokio::test]
async fn batches_of_two_tenants_with_the_same_email_have_nothing_in_common() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let (one, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let batches = [
        submit_family(&one, "k-1", &[item("same")]).await,
        submit_family(&other, "k-1", &[item("same")]).await,
    ];
    for batch in &batches {
        assert_eq!(batch.body["children"]["total"], 1, "{}", batch.text);
    }
    let path = format!("/v1/jobs/{}", batches[0].body["id"].as_str().unwrap());
    assert_eq!(other.get(&path).await.status, 404);
}
