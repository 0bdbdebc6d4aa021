//! What comes in from the wire: malformed, oversized, slow or cut off. Every answer is a clear refusal, none is a 500,
//! and work that was begun is not undone by a client that leaves.

use crate::support::{
    Client, TestDb,
    client::{http, send},
    corpus, eventually,
    system::{Setup, TestApi},
    wait::SOON,
};
use api::{
    error::ApiError,
    route_table::{Access, Route},
    server::Limits,
};
use axum::http::Method as AxumMethod;
use reqwest::Method;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};

/// Sends bytes as they are and reads whatever comes until the connection is closed.
async fn raw(api: &TestApi, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(api.addr).await.unwrap();
    // The server may refuse, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn post(client: &Client, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let authorization = client.authorization();
    format!(
        "POST /v1/jobs/triage HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
         Content-Length: {length}\r\nIdempotency-Key: k\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

#[tokio::test]
async fn malformed_body_is_refused_with_a_pointer_and_is_never_a_500() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let deep = format!(
        "{{\"message\":{}1{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let deep_objects = "{\"a\":".repeat(10_000);
    let cases: [(&str, &[u8], u16, &str, &str); 14] = [
        (
            "application/json",
            br#"{"message":{"subject":"a","subject":"b"}}"#,
            400,
            "MALFORMED_JSON",
            "/message/subject",
        ),
        (
            "application/json",
            br#"{"message":{"subject":"\u0000"}}"#,
            400,
            "MALFORMED_JSON",
            "/message/subject",
        ),
        (
            "application/json",
            b"{\"message\":{\"subject\":\"\xff\"}}",
            400,
            "MALFORMED_JSON",
            "",
        ),
        (
            "application/json",
            br#"{"message":{"subject":"\ud800"}}"#,
            400,
            "MALFORMED_JSON",
            "",
        ),
        (
            "application/json",
            deep.as_bytes(),
            400,
            "MALFORMED_JSON",
            "*",
        ),
        (
            "application/json",
            deep_objects.as_bytes(),
            400,
            "MALFORMED_JSON",
            "*",
        ),
        ("application/json", b"", 400, "MALFORMED_JSON", ""),
        ("application/json", b"[]", 422, "INVALID_BODY", ""),
        (
            "application/json",
            br#"{"message":{"sbject":"a"}}"#,
            422,
            "INVALID_BODY",
            "/message/sbject",
        ),
        (
            "application/json",
            br#"{"message":{"subject":"a"},"trust":"autonomous"}"#,
            422,
            "INVALID_BODY",
            "/trust",
        ),
        (
            "application/json",
            br#"{"message":{"subject":7}}"#,
            422,
            "INVALID_BODY",
            "/message/subject",
        ),
        (
            "application/json",
            br#"{"message":{"subject":"a"},"mode":"guess"}"#,
            422,
            "INVALID_BODY",
            "/mode",
        ),
        ("text/plain", b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", "*"),
        (
            "application/jsonx",
            b"{}",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "*",
        ),
    ];
    for (media_type, body, status, code, pointer) in cases {
        let request = client
            .request(Method::POST, "/v1/jobs/triage")
            .header("Content-Type", media_type)
            .header("Idempotency-Key", "k")
            .body(body.to_vec());
        let answer = send(request).await;
        let about = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        answer.assert_problem(status, code, &about);
        if pointer != "*" {
            assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{about}");
        }
    }
    for query in [
        "?unknown=1",
        "?mode=rules_only&mode=rules_only",
        "?dry_run=perhaps",
        "?mode=x",
    ] {
        let request = client
            .request(Method::POST, &format!("/v1/jobs/triage{query}"))
            .header("Content-Type", "message/rfc822")
            .header("Idempotency-Key", "k")
            .body(corpus::generated(1).bytes);
        send(request)
            .await
            .assert_problem(400, "INVALID_PARAMETER", query);
    }
    assert_eq!(db.one::<i64>("select count(*) from request_keys").await, 0);
    assert_eq!(db.one::<i64>("select count(*) from jobs").await, 0);
}

#[tokio::test]
async fn bodies_and_heads_have_their_size() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let large = vec![b'a'; 25 * 1024 * 1024 + 1];
    let announced = client.submit(&large, "k").await;
    announced.assert_problem(413, "BODY_TOO_LARGE", "announced");
    let mut streamed = format!(
        "POST /v1/jobs/triage HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\nIdempotency-Key: k\r\n\
         Content-Type: message/rfc822\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        client.authorization(),
        large.len()
    )
    .into_bytes();
    streamed.extend(&large);
    streamed.extend(b"\r\n0\r\n\r\n");
    let answer = raw(&api, &streamed).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("BODY_TOO_LARGE"),
        "{answer}"
    );
    let header = client
        .request(Method::GET, "/v1/rules")
        .header("X-Large", "a".repeat(20_000));
    send(header)
        .await
        .assert_problem(431, "HEADERS_TOO_LARGE", "20 kB of headers");
    let megabyte = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n",
        "a".repeat(1_000_000)
    );
    let answer = raw(&api, megabyte.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 431") && answer.contains("HEADERS_TOO_LARGE"),
        "{answer}"
    );
    let many = "X-Many: 1\r\n".repeat(2000);
    let answer = raw(
        &api,
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn head_that_is_no_http_or_names_no_host_is_a_problem_document() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    for head in [
        "GET /openapi.json HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /openapi.json HTTP/1.1\r\nHost: x\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /openapi.json HTTP/1.1\r\nHost: x/y\r\nConnection: close\r\n\r\n",
        "GET /openapi.json HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        "not http at all\r\n\r\n",
        "GET /openapi.json HTTP/1.1\r\nHost: x\r\nBro ken: 1\r\n\r\n",
        "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        let answer = raw(&api, head.as_bytes()).await;
        let lower = answer.to_lowercase();
        assert!(answer.starts_with("HTTP/1.1 400"), "{head}: {answer}");
        assert!(answer.contains("MALFORMED_REQUEST"), "{head}: {answer}");
        for header in ["content-type: application/problem+json", "x-request-id: "] {
            assert!(lower.contains(header), "{head}: {answer}");
        }
    }
    let old = raw(&api, b"GET /openapi.json HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
}

#[tokio::test]
async fn compressed_body_is_refused() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for coding in ["gzip", "identity, br"] {
        let mail = client.submission(&corpus::generated(1).bytes, "k");
        let answer = send(mail.header("Content-Encoding", coding)).await;
        answer.assert_problem(415, "UNSUPPORTED_MEDIA_TYPE", coding);
    }
    let mail = client.submission(&corpus::generated(1).bytes, "k");
    let plain = send(mail.header("Content-Encoding", "identity")).await;
    assert_eq!(plain.status, 202, "{}", plain.text);
}

#[tokio::test]
async fn client_s_request_id_cannot_break_a_line() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let ids = [
        "abc\r\n\tInjected: yes",
        "abcdefgh\nInjected: yes",
        "abcdefgh\0",
        "abcdefgh%0d%0aInjected: yes",
        "\"abcdefgh\"",
    ];
    for id in ids {
        let body = String::from_utf8_lossy(&corpus::generated(3).bytes).into_owned();
        let headers = format!("Content-Type: message/rfc822\r\nX-Request-Id: {id}\r\n");
        let answer = raw(&api, &post(&client, &headers, &body)).await;
        assert!(!answer.to_lowercase().contains("\ninjected"), "{answer}");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["202", "200", "400"].contains(&status), "{id:?}: {answer}");
    }
    let broken: i64 = db
        .one("select count(*) from jobs where client_request_id !~ '^[ -~]{1,128}$'")
        .await;
    assert_eq!(broken, 0);
}

#[tokio::test]
async fn client_that_does_not_finish_is_cut_off() {
    let db = TestDb::new().await;
    let limits = Limits {
        head_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let api = TestApi::start_as(&db, setup).await;
    let client = api.sign_in(&db).await;
    // `raw` returns only when the server has closed the connection.
    let head = raw(&api, b"GET /v1/rules HTTP/1.1\r\nHost: x\r\nX-Slow").await;
    assert!(
        head.starts_with("HTTP/1.1 408") && head.contains("REQUEST_TIMEOUT"),
        "{head}"
    );
    let idle = raw(&api, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    let mut slow = post(
        &client,
        "Content-Type: message/rfc822\r\n",
        &"a".repeat(1000),
    );
    slow.truncate(slow.len() - 500);
    let body = raw(&api, &slow).await;
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body.contains("REQUEST_TIMEOUT"), "{body}");
}

#[tokio::test]
async fn too_many_requests_at_once_are_shed() {
    let db = TestDb::new().await;
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let (release, route) = gated(AxumMethod::GET, Arc::default());
    let setup = Setup {
        limits,
        more_routes: vec![route],
        ..Setup::default()
    };
    let api = TestApi::start_as(&db, setup).await;
    let url = format!("http://{}/gated", api.addr);
    let first = tokio::spawn(send(http().get(&url)));
    eventually(SOON, async || {
        let free = api.app.admission.available();
        (free == 0)
            .then_some(())
            .ok_or_else(|| format!("{free} permits are free"))
    })
    .await;
    let shed = send(http().get(&url)).await;
    shed.assert_problem(503, "OVERLOADED", "the second request");
    assert_eq!(shed.retry_after(), Some(1));
    release.notify_one();
    assert_eq!(first.await.unwrap().status, 200);
}

/// An operation that answers when it is let go, and sets the flag when it ran to its end.
fn gated(method: AxumMethod, done: Arc<AtomicBool>) -> (Arc<Notify>, Route) {
    let release = Arc::new(Notify::new());
    let gate = release.clone();
    let handler = move || {
        let (gate, done) = (gate.clone(), done.clone());
        async move {
            gate.notified().await;
            done.store(true, Ordering::SeqCst);
            "done"
        }
    };
    (
        release,
        Route::new(method, "/gated", "gated", Access::Public, handler),
    )
}

#[tokio::test]
async fn request_that_may_write_completes_although_its_client_left() {
    let db = TestDb::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let (release, route) = gated(AxumMethod::POST, done.clone());
    let setup = Setup {
        more_routes: vec![route],
        ..Setup::default()
    };
    let api = TestApi::start_as(&db, setup).await;
    let mut stream = TcpStream::connect(api.addr).await.unwrap();
    let head = b"POST /gated HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(head).await.unwrap();
    eventually(SOON, async || {
        let tasks = api.app.tracker.len();
        (tasks == 1)
            .then_some(())
            .ok_or_else(|| format!("{tasks} tasks"))
    })
    .await;
    drop(stream);
    // Gone for the server too: the permit of a dropped request is free again.
    eventually(SOON, async || {
        let requests = api.app.metrics.http_requests_in_flight.get();
        (requests == 0)
            .then_some(())
            .ok_or_else(|| format!("{requests} in flight"))
    })
    .await;
    assert!(!done.load(Ordering::SeqCst));
    release.notify_one();
    eventually(SOON, async || {
        done.load(Ordering::SeqCst)
            .then_some(())
            .ok_or_else(|| "the handler was dropped".to_owned())
    })
    .await;
}

#[tokio::test]
async fn panics_and_endless_handlers_are_answered_like_any_fault() {
    let db = TestDb::new().await;
    let panics = async || -> Result<&'static str, ApiError> { panic!("on purpose: never shown") };
    let endless = async || -> Result<&'static str, ApiError> { std::future::pending().await };
    let route = |method, path, name| Route::new(method, path, name, Access::Public, panics);
    let setup = Setup {
        more_routes: vec![
            route(AxumMethod::GET, "/panics", "panics"),
            route(AxumMethod::POST, "/panics", "panics_writing"),
            Route::new(
                AxumMethod::GET,
                "/endless",
                "endless",
                Access::Public,
                endless,
            )
            .timeout(Duration::from_millis(50)),
        ],
        ..Setup::default()
    };
    let api = TestApi::start_as(&db, setup).await;
    for method in [Method::GET, Method::POST] {
        let answer = send(http().request(method, format!("http://{}/panics", api.addr))).await;
        answer.assert_problem(500, "INTERNAL", "a panic");
        assert!(!answer.text.contains("on purpose"));
    }
    let answer = send(http().get(format!("http://{}/endless", api.addr))).await;
    answer.assert_problem(504, "TIMEOUT", "an endless handler");
    assert_eq!(
        send(http().get(format!("http://{}/openapi.json", api.addr)))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn database_that_does_not_answer_is_a_503_and_never_a_401() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    let ready = format!("http://{}/readyz", api.ops);
    assert_eq!(send(http().get(&ready)).await.status, 200);
    let mut tx = db.pool().begin().await.unwrap();
    // Both look-ups wait for these locks until they give up.
    db_lock(&mut tx).await;
    let answer = client.get("/v1/rules").await;
    answer.assert_problem(503, "UNAVAILABLE", "the look-up of the session timed out");
    assert!(answer.retry_after().is_some());
    let not_ready = send(http().get(&ready)).await;
    assert_eq!(
        (not_ready.status.as_u16(), not_ready.text.as_str()),
        (503, "the database answers too late\n")
    );
    let live = send(http().get(format!("http://{}/livez", api.ops))).await;
    assert_eq!(live.status, 200);
    tx.rollback().await.unwrap();
    assert_eq!(client.get("/v1/rules").await.status, 200);
}

async fn db_lock(tx: &mut sqlx::PgConnection) {
    sqlx::raw_sql("lock table session_tokens, _sqlx_migrations in access exclusive mode")
        .execute(tx)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let db = TestDb::new().await;
    let api = TestApi::start(&db).await;
    let client = api.sign_in(&db).await;
    for (path, kept) in [
        ("/v1/rules", "no-store"),
        ("/nowhere", "no-store"),
        ("/v1/jobs/no-id", "no-store"),
        ("/openapi.json", "no-cache"),
        ("/docs", "no-cache"),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.header("cache-control"), Some(kept), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert!(answer.header("x-request-id").is_some(), "{path}");
    }
}
