//! When it is a job's turn: priority, time, and what becomes of a job with the same dedupe key.

use super::*;

fn body(subject: &str, options: Value) -> Value {
    let mut body = json!({ "message": {
        "from": { "addr": "nora@client.example" }, "subject": subject, "body_text": "Could you have a look?"
    } });
    let fields = body.as_object_mut().unwrap();
    fields.extend(options.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn priority_and_time_are_kept_and_shown() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let run_at: String = db
        .one("select to_char((now() + interval '1 hour') at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        .await;
    let asked = body("later", json!({ "priority": 1, "run_at": run_at }));
    let answer = submit_json(&client, "k-1", &asked).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body["priority"], 1);
    assert_eq!(answer.body["state"], "scheduled");
    let id = answer.body["id"].as_str().unwrap();
    let seen = client.job(id).await;
    assert_eq!(seen["run_at"], answer.body["run_at"]);
    assert_eq!(seen["priority"], 1);
    let listed = client.get("/v1/jobs").await;
    assert_eq!(listed.body["items"][0]["priority"], 1, "{}", listed.text);

    let past = body("past", json!({ "run_at": "2001-01-01T00:00:00Z" }));
    let answer = submit_json(&client, "k-2", &past).await;
    assert_eq!(answer.body["state"], "available");
    assert_eq!(
        answer.body["run_at"], answer.body["created_at"],
        "a time that has passed is no way to the head of the line"
    );
    assert_eq!(answer.body["priority"], 3);
    let other = body("past", json!({ "priority": 2 }));
    submit_json(&client, "k-2", &other).await.assert_problem(
        422,
        "IDEMPOTENCY_KEY_REUSED",
        "options are part of the request",
    );
}

#[tokio::test]
async fn options_that_cannot_be_used_are_pointed_at() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let cases = [
        (json!({ "priority": 0 }), "/priority"),
        (json!({ "priority": 5 }), "/priority"),
        (json!({ "priority": 70000 }), "/priority"),
        (json!({ "priority": "high" }), "/priority"),
        (json!({ "run_at": "9999-12-31T23:59:59Z" }), "/run_at"),
        (json!({ "run_at": "tomorrow" }), "/run_at"),
        (json!({ "dedupe_key": "" }), "/dedupe_key"),
        (json!({ "dedupe_key": "x".repeat(256) }), "/dedupe_key"),
        (json!({ "on_duplicate": "replace" }), "/on_duplicate"),
        (
            json!({ "dedupe_key": "a", "on_duplicate": "drop" }),
            "/on_duplicate",
        ),
    ];
    for (options, pointer) in cases {
        let answer = submit_json(&client, "k", &body("bad", options.clone())).await;
        answer.assert_problem(422, "INVALID_BODY", pointer);
        let pointed = answer.body["errors"][0]["pointer"].as_str().unwrap();
        assert!(pointed.starts_with(pointer), "{options}: {pointed}");
    }
    let jobs: i64 = db.one("select count(*) from jobs").await;
    assert_eq!(jobs, 0);
}

#[tokio::test]
async fn option_of_a_raw_email_is_pointed_at_as_a_parameter() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let sent = async |key: &str, option: (&str, &str), email: &'static str| {
        let request = client
            .request(Method::POST, "/v1/jobs/triage")
            .header("Content-Type", "message/rfc822")
            .header("Idempotency-Key", key)
            .query(&[option])
            .body(email);
        send(request).await
    };
    let email = "From: nora@client.example\r\nSubject: A\r\n\r\nHello.\r\n";
    for option in [
        ("priority", "5"),
        ("priority", "high"),
        ("run_at", "9999-12-31T23:59:59Z"),
        ("dedupe_key", ""),
        ("on_duplicate", "replace"),
        ("unknown", "1"),
    ] {
        let refused = sent("k", option, email).await;
        refused.assert_problem(400, "INVALID_PARAMETER", option.0);
        let pointer = format!("?{}", option.0);
        assert_eq!(refused.body["errors"][0]["pointer"], pointer);
    }
    let name = ("external_id", "order-7");
    assert_eq!(sent("k-1", name, email).await.status, 202);
    let other = "From: nora@client.example\r\nSubject: B\r\n\r\nHello.\r\n";
    let reused = sent("k-2", name, other).await;
    reused.assert_problem(422, "EXTERNAL_ID_REUSED", "another email");
    assert_eq!(reused.body["errors"][0]["pointer"], "?external_id");
}

#[tokio::test]
async fn of_the_jobs_with_one_dedupe_key_one_waits() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let keyed = |subject: &str, on_duplicate: &str| {
        body(
            subject,
            json!({ "dedupe_key": "inbox", "on_duplicate": on_duplicate }),
        )
    };
    let first = submit_json(&client, "k-1", &keyed("one", "keep")).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let kept = submit_json(&client, "k-2", &keyed("two", "keep")).await;
    assert_eq!(kept.status, 200, "{}", kept.text);
    assert_eq!(kept.body["id"], first.body["id"]);
    let newer = submit_json(&client, "k-3", &keyed("three", "replace")).await;
    assert_eq!(newer.status, 202, "{}", newer.text);
    let ended = client.job(first.body["id"].as_str().unwrap()).await;
    assert_eq!(
        (&ended["state"], &ended["error"]["code"]),
        (&json!("cancelled"), &json!("superseded"))
    );
    let audited: Value = db
        .one(
            "select jsonb_build_array(resource_id, detail->>'why') from audit_entries where action = 'job.cancelled'",
        )
        .await;
    assert_eq!(audited, json!([first.body["id"], "superseded"]));
    let again = submit_json(&client, "k-4", &keyed("three", "replace")).await;
    assert_eq!(
        (again.status.as_u16(), &again.body["id"]),
        (200, &newer.body["id"]),
        "the same email is the same work"
    );
    db.execute(
        "update jobs set state = 'running', worker_id = gen_random_uuid(), lease_until = now() + interval '1 minute'",
    )
    .await;
    let last = submit_json(&client, "k-5", &keyed("four", "replace_and_cancel")).await;
    assert_eq!(last.status, 202, "{}", last.text);
    let asked: i64 = db
        .one(
            "select count(*) from jobs where state = 'running' and cancel_requested_at is not null",
        )
        .await;
    assert_eq!(asked, 1);
}
