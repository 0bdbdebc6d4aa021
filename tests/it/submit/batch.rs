//! Many emails with one request: each is answered for itself, all of them once.

use super::*;

fn item(subject: &str) -> Value {
    json!({ "message": {
        "from": { "addr": "nora@client.example" }, "subject": subject, "body_text": "Could you have a look?"
    } })
}

async fn submit_batch(client: &Client, key: &str, items: &[Value]) -> TestResponse {
    let request = client
        .request(Method::POST, "/v1/jobs:batch")
        .header("Idempotency-Key", key);
    send(request.json(&json!({ "items": items }))).await
}

#[tokio::test]
async fn items_are_answered_one_by_one_and_the_bad_ones_stop_nobody() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mut urgent = item("one");
    urgent["priority"] = json!(9);
    let items = [
        item("one"),
        urgent,
        item("two"),
        json!({ "message": { "subject": 7 } }),
        item("one"),
        json!("no object"),
    ];
    let answer = submit_batch(&client, "k-1", &items).await;
    assert_eq!(answer.status, 207, "{}", answer.text);
    let answered = answer.body["items"].as_array().unwrap();
    let statuses: Vec<_> = answered.iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [202, 422, 202, 422, 200, 422]);
    let indices: Vec<_> = answered.iter().map(|item| &item["index"]).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
    assert_eq!(answered[4]["job"]["id"], answered[0]["job"]["id"]);
    assert_eq!(
        answered[3]["problem"]["errors"][0]["pointer"],
        "/items/3/message/subject"
    );
    assert_eq!(
        answered[1]["problem"]["errors"][0]["pointer"],
        "/items/1/priority"
    );
    assert_eq!(answered[5]["problem"]["code"], "INVALID_BODY");
    let stored: Value = db
        .one(
            "select jsonb_build_array((select count(*) from jobs), (select count(*) from messages),
                (select count(*) from audit_entries where action = 'job.submitted'))",
        )
        .await;
    assert_eq!(stored, json!([2, 2, 3]));

    let again = submit_batch(&client, "k-1", &items).await;
    assert_eq!(
        (again.status.as_u16(), &again.text),
        (207, &answer.text),
        "the same bytes"
    );
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let other = submit_batch(&client, "k-1", &items[..1]).await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED", "another batch");
}

#[tokio::test]
async fn jobs_of_a_batch_meet_under_their_dedupe_key() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let keyed = |subject: &str, on_duplicate: &str| {
        let mut item = item(subject);
        item["dedupe_key"] = json!("inbox");
        item["on_duplicate"] = json!(on_duplicate);
        item
    };
    let items = [
        keyed("one", "keep"),
        keyed("two", "replace"),
        keyed("three", "keep"),
    ];
    let answer = submit_batch(&client, "k-1", &items).await;
    let answered = answer.body["items"].as_array().unwrap();
    let statuses: Vec<_> = answered.iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [202, 202, 200], "{}", answer.text);
    assert_eq!(answered[2]["job"]["id"], answered[1]["job"]["id"]);
    let first = client.job(answered[0]["job"]["id"].as_str().unwrap()).await;
    assert_eq!(first["error"]["code"], "superseded");
}

#[tokio::test]
async fn batch_is_bounded() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let hundred: Vec<Value> = (0..100).map(|n| item(&format!("mail {n}"))).collect();
    let answer = submit_batch(&client, "k-1", &hundred).await;
    assert_eq!(answer.status, 207, "{}", answer.text);
    let jobs: i64 = db.one("select count(*) from jobs").await;
    assert_eq!(jobs, 100);
    for items in [Vec::new(), vec![item("x"); 101]] {
        submit_batch(&client, "k-2", &items).await.assert_problem(
            422,
            "INVALID_BODY",
            "1 to 100 items",
        );
    }
}
