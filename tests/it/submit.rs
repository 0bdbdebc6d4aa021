//! One request is one answer and one piece of work is one job, whatever is repeated, raced or cut off.

mod batch;
mod crash;
mod family;
mod locked;
mod options;

use crate::support::{
    Client, TestDb,
    client::{TestResponse, send},
    corpus,
    system::{TestApi, metric},
};
use futures::future::join_all;
use jobs::{domain::session::Role, store::request_keys};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn mail(subject: &str) -> Vec<u8> {
    format!(
        "From: Nora <nora@client.example>\r\nTo: mira@postroom.example\r\nSubject: {subject}\r\n\
         Date: Mon, 5 Oct 2026 08:15:00 +0000\r\nMessage-ID: <{}@client.example>\r\n\r\nCould you have a look?\r\n",
        subject.replace(' ', "-")
    )
    .into_bytes()
}

async fn submit_json(client: &Client, key: &str, body: &Value) -> TestResponse {
    send(
        client
            .request(Method::POST, "/v1/jobs/triage")
            .header("Idempotency-Key", key)
            .json(body),
    )
    .await
}

#[tokio::test]
async fn new_mail_is_accepted_with_its_job_and_everything_that_belongs_to_it() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = client
        .submission(&mail("Offer"), "k-1")
        .header("X-Request-Id", "req-of-this-test")
        .header("traceparent", trace);
    let answer = send(request).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.body["id"].as_str().unwrap();
    let path = format!("/v1/jobs/{id}");
    assert_eq!(answer.header("location"), Some(path.as_str()));
    let request_id = answer.header("x-request-id").unwrap();
    assert_ne!(request_id, "req-of-this-test");
    let client_s = Some("req-of-this-test");
    assert_eq!(answer.header("x-client-request-id"), client_s);
    assert_eq!(answer.body["client_request_id"], "req-of-this-test");
    assert_eq!(
        client.get(&path).await.body["client_request_id"],
        "req-of-this-test"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("idempotent-replayed"), None);
    assert_eq!(answer.body["state"], "available");
    assert_eq!(answer.body["attempts"], 0);
    assert_eq!(answer.body["links"]["self"], path.as_str());

    let stored: Value = db
        .one(
            "select jsonb_build_object('kind', kind, 'request_id', request_id, 'client', client_request_id, 'traceparent', traceparent,
                'mail', (select count(*) from messages m where m.id::text = args->>'message_id'))
             from jobs",
        )
        .await;
    let expected = json!({
        "kind": "triage.email", "request_id": request_id, "client": client_s, "traceparent": trace, "mail": 1
    });
    assert_eq!(stored, expected);
    let audited: Value = db
        .one(
            "select jsonb_build_array(resource_id, request_id, c.client_request_id, trace_id, outcome)
             from audit_entries join client_request_ids c using (request_id) where action = 'job.submitted'",
        )
        .await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(audited, json!([id, request_id, client_s, trace_id, "ok"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_parallel_submits_of_one_key_are_one_job_and_fifty_identical_bodies() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mail = mail("Once");
    let answers = join_all((0..50).map(|_| client.submit(&mail, "same-key"))).await;

    let bodies: BTreeSet<&str> = answers.iter().map(|answer| answer.text.as_str()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    assert!(answers.iter().all(|answer| answer.status == 202));
    let locations: BTreeSet<_> = answers.iter().map(|a| a.header("location")).collect();
    assert_eq!(locations.len(), 1);
    let first = answers
        .iter()
        .filter(|a| a.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1, "one of them did the work");
    let ids: BTreeSet<_> = answers.iter().map(|a| a.header("x-request-id")).collect();
    assert_eq!(ids.len(), 50, "every request has an id of its own");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
    assert_eq!(db.one::<i64>("select count(*) from messages").await, 1);
    let audited = "select count(*) from audit_entries where action = 'job.submitted'";
    assert_eq!(db.one::<i64>(audited).await, 1);
    let replayed = metric(
        api.ops,
        "postroom_duplicates_suppressed_total",
        &[("layer", "request")],
    )
    .await;
    assert!((replayed - 49.0).abs() < f64::EPSILON, "{replayed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_email_under_fifty_keys_at_once_is_one_job() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let mail = mail("Racing");
    let keys: Vec<String> = (0..50).map(|n| format!("key-{n}")).collect();
    let answers = join_all(keys.iter().map(|key| client.submit(&mail, key))).await;
    let ids: BTreeSet<&str> = answers
        .iter()
        .filter_map(|a| a.body["id"].as_str())
        .collect();
    assert_eq!(ids.len(), 1);
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    let existing = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((accepted, existing), (1, 49));
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
    assert_eq!(db.one::<i64>("select count(*) from messages").await, 1);
}

#[tokio::test]
async fn key_is_refused_for_another_request() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    assert_eq!(client.submit(&mail("First"), "k").await.status, 202);
    let other = client.submit(&mail("Second"), "k").await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED", "another email");
    let other = send(
        client
            .request(Method::POST, "/v1/jobs/triage?mode=rules_only")
            .header("Content-Type", "message/rfc822")
            .header("Idempotency-Key", "k")
            .body(mail("First")),
    )
    .await;
    other.assert_problem(422, "IDEMPOTENCY_KEY_REUSED", "another mode");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 1);
    // A refusal does not spoil the key for its own request.
    let again = client.submit(&mail("First"), "k").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn quoted_and_bare_keys_are_one_and_spacing_of_json_is_none_of_its_business() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let send_text = async |key: &str, body: &'static str| {
        let request = client
            .request(Method::POST, "/v1/jobs/triage")
            .header("Idempotency-Key", key)
            .header("Content-Type", "application/json; charset=utf-8")
            .body(body);
        send(request).await
    };
    let first = send_text(
        "k",
        r#"{"message":{"subject":"S","body_text":"B"},"mode":"rules_only"}"#,
    )
    .await;
    assert_eq!(first.status, 202, "{}", first.text);
    let second = send_text(
        "\"k\"",
        r#" { "mode" : "rules_only", "message" : { "body_text" : "B", "subject" : "\u0053" } } "#,
    )
    .await;
    assert_eq!(
        second.header("idempotent-replayed"),
        Some("true"),
        "{}",
        second.text
    );
    assert_eq!(first.text, second.text);
}

#[tokio::test]
async fn key_is_needed_and_must_be_one() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let request = || {
        client
            .request(Method::POST, "/v1/jobs/triage")
            .header("Content-Type", "message/rfc822")
            .body(mail("Keyless"))
    };
    send(request())
        .await
        .assert_problem(400, "IDEMPOTENCY_KEY_MISSING", "no key");
    let two = request()
        .header("Idempotency-Key", "a")
        .header("Idempotency-Key", "b");
    send(two)
        .await
        .assert_problem(400, "IDEMPOTENCY_KEY_INVALID", "two keys");
    let long = request().header("Idempotency-Key", "a".repeat(256));
    send(long)
        .await
        .assert_problem(400, "IDEMPOTENCY_KEY_INVALID", "a long key");
    assert_eq!(db.one::<i64>("select count(*) from request_keys").await, 0);
}

#[tokio::test]
async fn keys_of_two_tenants_and_of_two_users_never_meet() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let stranger = api.sign_in(&db).await;
    let colleague = client.colleague(&db, Role::Member).await;
    let first = client.submit(&mail("Mine"), "k").await;
    let foreign = stranger.submit(&mail("Theirs"), "k").await;
    let colleagues = colleague.submit(&mail("Ours"), "k").await;
    for answer in [&first, &foreign, &colleagues] {
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.header("idempotent-replayed"), None);
    }
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 3);
    // The same email: one job within a tenant, one more in another.
    let shared = colleague.submit(&mail("Mine"), "k2").await;
    assert_eq!(
        (shared.status.as_u16(), &shared.body["id"]),
        (200, &first.body["id"])
    );
    let foreign = stranger.submit(&mail("Mine"), "k2").await;
    assert_eq!(foreign.status, 202);
    assert_ne!(foreign.body["id"], first.body["id"]);
}

#[tokio::test]
async fn expired_key_may_be_used_again() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let first = client.submit(&mail("Old"), "k").await;
    let days: i64 = db
        .one("select extract(epoch from expires_at - created_at)::bigint / 86400 from request_keys")
        .await;
    assert_eq!(days, 7);
    let mut conn = db.pool().acquire().await.unwrap();
    let purged = request_keys::purge(&mut conn, 10).await.unwrap();
    assert_eq!(purged, 0, "it may still be replayed");
    db.execute("update request_keys set expires_at = now()")
        .await;
    let second = client.submit(&mail("New"), "k").await;
    assert_eq!(second.status, 202, "{}", second.text);
    assert_ne!(first.body["id"], second.body["id"]);
    let replay = client.submit(&mail("New"), "k").await;
    assert_eq!(replay.text, second.text);
    db.execute("update request_keys set expires_at = now()")
        .await;
    assert_eq!(request_keys::purge(&mut conn, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn mail_that_refers_to_ids_of_any_length_is_accepted() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    // No two characters repeat in a row, so that compression does not make the value short enough for an index.
    let id: String = (0..1_990)
        .filter_map(|n| char::from_u32(0x4e00 + n * 7))
        .collect();
    let mail = format!(
        "From: nora@client.example\r\nMessage-ID: <{id}>\r\nIn-Reply-To: <{id}>\r\nReferences: <{id}> <{id}x>\r\n\r\nHello"
    );
    let answer = client.submit(mail.as_bytes(), "k").await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

#[tokio::test]
async fn two_copies_of_one_email_that_differ_in_transport_are_one_job() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let first = client.submit(&mail("Copy"), "k1").await;
    let mut relayed =
        b"Received: from a.example by b.example; Mon, 5 Oct 2026 08:15:02 +0000\r\n".to_vec();
    relayed.extend(mail("Copy"));
    let second = client.submit(&relayed, "k2").await;
    assert_eq!(
        (second.status.as_u16(), &second.body["id"]),
        (200, &first.body["id"])
    );
    // What is stored under a key is what was answered, also where it is not a new job.
    let again = client.submit(&relayed, "k2").await;
    assert_eq!((again.status, &again.text), (second.status, &second.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    // Another way of judging it is other work.
    let other = send(
        client
            .request(Method::POST, "/v1/jobs/triage?mode=rules_only")
            .header("Content-Type", "message/rfc822")
            .header("Idempotency-Key", "k3")
            .body(mail("Copy")),
    )
    .await;
    assert_eq!(other.status, 202);
}

#[tokio::test]
async fn force_makes_another_job_and_a_dry_run_stands_in_nobodys_way() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let body = |more: Value| {
        let mut body = json!({"message": {"subject": "S", "body_text": "B"}});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let mut ids = BTreeSet::new();
    let requests = [
        json!({"dry_run": true}),
        json!({}),
        json!({"force": true}),
        json!({"force": true}),
        json!({"dry_run": true, "external_id": "order-7"}),
        json!({"external_id": "order-7"}),
    ];
    for (n, more) in requests.into_iter().enumerate() {
        let answer = submit_json(&client, &format!("k{n}"), &body(more.clone())).await;
        assert_eq!(answer.status, 202, "{more}: {}", answer.text);
        ids.insert(answer.body["id"].to_string());
    }
    assert_eq!(ids.len(), 6);
}

#[tokio::test]
async fn external_id_names_one_piece_of_work() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let body =
        |subject: &str, id: &str| json!({"message": {"subject": subject}, "external_id": id});
    let first = submit_json(&client, "k1", &body("A", "order-7")).await;
    let again = submit_json(&client, "k2", &body("A", "order-7")).await;
    assert_eq!(
        (again.status.as_u16(), &again.body["id"]),
        (200, &first.body["id"])
    );
    assert_eq!(again.header("location"), first.header("location"));
    let other = submit_json(&client, "k3", &body("B", "order-7")).await;
    other.assert_problem(422, "EXTERNAL_ID_REUSED", "another email");
    assert_eq!(other.body["errors"][0]["pointer"], "/external_id");
    // The refusal left nothing behind: the key is free for a valid request.
    assert_eq!(
        submit_json(&client, "k3", &body("B", "order-8"))
            .await
            .status,
        202
    );
    for id in [String::new(), "x".repeat(256), "a\nb".to_owned()] {
        let refused = submit_json(&client, "k4", &body("C", &id)).await;
        refused.assert_problem(422, "INVALID_BODY", "no external id");
    }
}

#[tokio::test]
async fn what_is_no_mail_is_refused_with_a_pointer_and_keeps_no_key() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for (bytes, code) in [
        (&b""[..], "EMPTY"),
        (b"\0\x01\x02 no mail at all", "NO_HEADER"),
    ] {
        let answer = client.submit(bytes, "k").await;
        answer.assert_problem(422, "NOT_AN_EMAIL", code);
        assert_eq!(answer.body["errors"][0]["pointer"], "/message");
        assert_eq!(answer.body["errors"][0]["code"], code);
    }
    let empty = submit_json(&client, "k", &json!({"message": {}})).await;
    empty.assert_problem(422, "NOT_AN_EMAIL", "an empty envelope");
    assert_eq!(client.submit(&mail("An email"), "k").await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_email_of_the_corpus_is_accepted_or_refused_but_breaks_nothing() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let emails = corpus::all();
    assert!(emails.len() > 200);
    let mut accepted = 0;
    for batch in emails.chunks(16) {
        let answers = join_all(
            batch
                .iter()
                .map(|mail| client.submit(&mail.bytes, &mail.name)),
        )
        .await;
        for (mail, answer) in batch.iter().zip(answers) {
            match answer.status.as_u16() {
                202 => accepted += 1,
                200 => {}
                422 => assert_eq!(answer.body["code"], "NOT_AN_EMAIL", "{}", mail.name),
                status => panic!("{}: {status} {}", mail.name, answer.text),
            }
        }
    }
    assert!(accepted > 200, "{accepted}");
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, accepted);
}
