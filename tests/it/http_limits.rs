//! What one client can take from the others: connections, waiting requests, bodies, answers that nobody reads. Each attack is
//! made, and somebody else is served meanwhile.

mod addresses;
mod dates;
mod targets;
mod tls;

use crate::support::{
    Client, TestDb,
    client::{http, send},
    corpus, eventually,
    system::{Api, Setup, TestApi, metric},
    wait::SOON,
};
use api::server::Limits;
use reqwest::Method;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn limited(db: &TestDb, limits: Limits) -> TestApi {
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    TestApi::start_as(db, setup).await
}

/// Sends the beginning of a submission and leaves its connection open.
async fn begin(api: &TestApi, client: &Client, length: usize, sent: usize) -> TcpStream {
    let head = format!(
        "POST /v1/jobs/triage HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: message/rfc822\r\n\
         Idempotency-Key: k\r\nContent-Length: {length}\r\n\r\n",
        client.authorization()
    );
    let mut stream = TcpStream::connect(api.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut body = b"From: a@example.org\r\n\r\n".to_vec();
    body.resize(sent.max(body.len()), b'y');
    stream.write_all(&body[..sent]).await.unwrap();
    stream
}

/// The beginning of what comes, within a while.
async fn first_line(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 1024];
    let read = timeout(SOON, stream.read(&mut bytes)).await;
    let read = read.expect("an answer comes").unwrap();
    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

async fn is_served(client: &Client, key: &str) {
    let answer = client.submit(&corpus::generated(2).bytes, key).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

#[tokio::test]
async fn long_polls_of_one_user_are_capped_and_take_no_permit() {
    let db = TestDb::new().await;
    let limits = Limits {
        polls_per_user: 3,
        in_flight: 3,
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let (greedy, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let id = greedy.submitted(&corpus::generated(1).bytes, "k").await;
    let path = format!("/v1/jobs/{id}?wait=30");
    let polls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(send(greedy.request(Method::GET, &path))))
        .collect();
    eventually(SOON, async || {
        let waiting = metric(api.ops, "postroom_long_polls_waiting", &[]).await;
        (waiting > 2.5).then_some(()).ok_or(waiting.to_string())
    })
    .await;
    let refused = greedy.get(&path).await;
    refused.assert_problem(429, "TOO_MANY_REQUESTS", "the fourth poll");
    assert!(refused.retry_after().is_some());
    is_served(&other, "k").await;
    assert_eq!(api.app.admission.available(), 3);
    api.stop().await;
    for poll in polls {
        assert_eq!(poll.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn bodies_that_stop_short_are_counted_per_user_and_take_no_permit() {
    let db = TestDb::new().await;
    let limits = Limits {
        body_bytes: 400_000,
        body_bytes_per_user: 200_000,
        in_flight: 1,
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let (greedy, other) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(begin(&api, &greedy, 60_010, 60_000).await);
    }
    eventually(SOON, async || {
        let bytes = metric(api.ops, "postroom_http_body_bytes", &[]).await;
        (bytes > 179_000.0).then_some(()).ok_or(bytes.to_string())
    })
    .await;
    let mut over = begin(&api, &greedy, 60_010, 60_000).await;
    assert!(first_line(&mut over).await.contains("429"));
    is_served(&other, "k").await;
    assert_eq!(api.app.admission.available(), 1);
    drop(open);
    eventually(SOON, async || {
        let bytes = api.app.admission.body_bytes();
        (bytes == 0).then_some(()).ok_or(bytes.to_string())
    })
    .await;
    is_served(&greedy, "later").await;
}

#[tokio::test]
async fn bodies_of_all_users_have_a_budget() {
    let db = TestDb::new().await;
    let limits = Limits {
        body_bytes: 100_000,
        body_bytes_per_user: 90_000,
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let (first, second) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let _open = begin(&api, &first, 60_010, 60_000).await;
    eventually(SOON, async || {
        let bytes = api.app.admission.body_bytes();
        (bytes == 60_000).then_some(()).ok_or(bytes.to_string())
    })
    .await;
    let mut over = begin(&api, &second, 60_010, 60_000).await;
    assert!(first_line(&mut over).await.contains("503"));
    is_served(&second, "small").await;
}

#[tokio::test]
async fn answer_that_is_not_read_ends_its_connection() {
    let db = TestDb::new().await;
    let limits = Limits {
        write_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let mut stream = TcpStream::connect(api.addr).await.unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
    // Pipelined until the server reads no more, or has closed; nothing is read here.
    eventually(SOON * 2, async || {
        let sent = timeout(Duration::from_millis(20), stream.write_all(request)).await;
        let closed = metric(
            api.ops,
            "postroom_http_connections_closed_total",
            &[("reason", "unread")],
        )
        .await;
        (closed > 0.5)
            .then_some(())
            .ok_or_else(|| format!("{sent:?}"))
    })
    .await;
    let next = send(http().get(format!("http://{}/openapi.json", api.addr))).await;
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn idle_connections_make_way_for_others() {
    let db = TestDb::new().await;
    let limits = Limits {
        connections: 4,
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let client = api.sign_in(&db).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(api.addr).await.unwrap());
    }
    is_served(&client, "k").await;
    let evicted = metric(
        api.ops,
        "postroom_http_connections_closed_total",
        &[("reason", "evicted")],
    );
    assert!(evicted.await >= 16.0);
}

#[tokio::test]
async fn connection_without_a_place_gets_503() {
    let db = TestDb::new().await;
    let limits = Limits {
        connections_per_address: 1,
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let client = api.sign_in(&db).await;
    let id = client.submitted(&corpus::generated(1).bytes, "k").await;
    let waiting = client.request(Method::GET, &format!("/v1/jobs/{id}?wait=30"));
    let waiting = tokio::spawn(send(waiting));
    eventually(SOON, async || {
        let waiting = metric(api.ops, "postroom_long_polls_waiting", &[]).await;
        (waiting > 0.5).then_some(()).ok_or(waiting.to_string())
    })
    .await;
    let mut refused = TcpStream::connect(api.addr).await.unwrap();
    assert!(first_line(&mut refused).await.contains("503"));
    api.stop().await;
    assert_eq!(waiting.await.unwrap().status, 200);
}

#[tokio::test]
async fn api_raises_its_limit_of_descriptors() {
    let db = TestDb::new().await;
    let api = Api::spawn_limited(&db, (64, 500)).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(TcpStream::connect(api.addr).await.unwrap());
    }
    let ready = send(http().get(format!("http://{}/readyz", api.ops))).await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    assert!(api.process.log().contains("\"descriptors\":500"));
}

#[tokio::test]
async fn operators_and_the_database_keep_their_descriptors() {
    let db = TestDb::new().await;
    let api = Api::spawn_limited(&db, (200, 200)).await;
    let client = api.sign_in(&db).await;
    let mut clients = Vec::new();
    for _ in 0..400 {
        // Those that are turned away are closed, and keep no descriptor.
        clients.push(TcpStream::connect(api.addr).await.unwrap());
    }
    for _ in 0..5 {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = send(http().get(format!("http://{}{path}", api.ops))).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
        assert_eq!(client.get("/v1/rules").await.status, 200);
    }
    let log = api.process.log();
    assert!(!log.contains("could not accept"), "{log}");
}

/// An email with an attachment that makes it about this large.
fn large_email(bytes: usize, seed: usize) -> Vec<u8> {
    let mut email = format!(
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: Large {seed}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n\
         --x\r\nContent-Type: application/octet-stream; name=file.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    .into_bytes();
    let line = format!("{:076}\r\n", seed);
    while email.len() + line.len() + 8 <= bytes {
        email.extend_from_slice(line.as_bytes());
    }
    email.extend_from_slice(b"--x--\r\n");
    email
}

/// The most memory that a process ever had, in MiB.
fn peak_mib(api: &Api) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.process.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[tokio::test]
async fn emails_of_25_mib_are_accepted_within_bounded_memory() {
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let (first, second) = (api.sign_in(&db).await, api.sign_in(&db).await);
    let mut submitted = Vec::new();
    for (n, client) in [&first, &second].into_iter().enumerate() {
        let email = large_email(25 * 1024 * 1024, n);
        let request = client.submission(&email, &format!("k{n}"));
        submitted.push(tokio::spawn(send(request)));
    }
    for answer in submitted {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    let stored: i64 = db
        .one("select min(octet_length(source))::bigint from messages")
        .await;
    assert!(stored > 26_000_000, "{stored}");
    let peak = peak_mib(&api);
    assert!(peak < 600, "{peak} MiB");
    let over = first
        .submit(&large_email(26 * 1024 * 1024, 9), "over")
        .await;
    over.assert_problem(413, "BODY_TOO_LARGE", "26 MiB");
}

#[tokio::test]
async fn client_that_sends_a_refused_body_to_its_end_gets_the_answer() {
    let db = TestDb::new().await;
    let limits = Limits {
        body_bytes_per_user: 1024 * 1024,
        ..Limits::default()
    };
    let api = limited(&db, limits).await;
    let client = api.sign_in(&db).await;
    for (mib, status) in [(8, "429"), (64, "413")] {
        let length = mib * 1024 * 1024;
        // More than the kernel's buffers hold, and nothing is read before all is sent.
        let sent = timeout(SOON, begin(&api, &client, length, length)).await;
        let mut stream = sent.expect("the body is taken");
        let line = first_line(&mut stream).await;
        assert!(line.contains(status), "{mib} MiB: {line}");
    }
    is_served(&client, "afterwards").await;
}
