//! Spans leave the processes over OTLP: a job is one trace from its request to the call of the model, and nothing waits for the
//! collector.

use crate::{
    lanes::email,
    support::{
        TestDb,
        client::send,
        eventually,
        model::{FakeModel, Reply},
        system::{Api, Worker},
        wait::SOON,
    },
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as AnyValue},
    trace::v1::Span,
};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Long enough that only the end of a process exports.
const NEVER: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "600000");
const HEADERS: (&str, &str) = ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=c0llect");
/// Longer than a test waits.
const PATIENT: (&str, &str) = ("OTEL_EXPORTER_OTLP_TIMEOUT", "600000");
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What a collector got.
#[derive(Default)]
struct Received {
    spans: Vec<(String, Span)>,
    bytes: Vec<u8>,
    keys: Vec<String>,
}

/// A collector on loopback; stops with its value.
struct Collector {
    addr: SocketAddr,
    received: Arc<Mutex<Received>>,
    server: JoinHandle<()>,
}

impl Collector {
    /// One that takes spans.
    async fn start() -> Self {
        Self::serving(|received| {
            Router::new()
                .route("/v1/traces", post(take))
                .with_state(received)
        })
        .await
    }

    /// One that takes requests and never answers.
    async fn hanging() -> Self {
        Self::serving(|_| Router::new().fallback(pending::<StatusCode>)).await
    }

    async fn serving(router: impl FnOnce(Arc<Mutex<Received>>) -> Router) -> Self {
        let received = Arc::default();
        let router = router(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("serve until dropped");
        });
        Self {
            addr,
            received,
            server,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The spans of the trace, by name, with the service that exported them.
    fn trace(&self) -> BTreeMap<String, (String, Span)> {
        let received = self.received.lock().expect("no panic with the lock");
        let ours = received
            .spans
            .iter()
            .filter(|(_, span)| hex(&span.trace_id) == TRACE);
        ours.map(|(service, span)| (span.name.clone(), (service.clone(), span.clone())))
            .collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body.clone()).expect("protobuf");
    let mut received = received.lock().expect("no panic with the lock");
    received.bytes.extend_from_slice(&body);
    let key = headers.get("x-collector-key");
    received
        .keys
        .extend(key.map(|key| key.to_str().expect("text").to_owned()));
    for resource in request.resource_spans {
        let attributes = resource.resource.expect("a resource").attributes;
        let service = attribute(&attributes, "service.name").expect("a name");
        for scope in resource.scope_spans {
            let spans = scope.spans.into_iter();
            received
                .spans
                .extend(spans.map(|span| (service.clone(), span)));
        }
    }
    StatusCode::OK
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some(text.clone()),
        AnyValue::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn job_is_one_trace_from_its_request_to_the_call_of_the_model() {
    let collector = Collector::start().await;
    let url = collector.url();
    let exported = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        NEVER,
        HEADERS,
    ];
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = Api::spawn_with(&db, &exported).await;
    let client = api.sign_in(&db).await;
    let worker = model.worker(&db, &exported).await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let submission = client.submission(&email(7), "traced");
    let accepted = send(submission.header("traceparent", &parent)).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let job = accepted.body["id"].as_str().unwrap().to_owned();
    client.finished(&job).await;
    assert!(collector.trace().is_empty(), "only the end exports here");
    for process in [worker.process, api.process] {
        process.signal(Signal::SIGTERM);
        assert!(process.ended().await.status.success());
    }

    let spans = collector.trace();
    let (request_service, request) = &spans["http.request"];
    let (attempt_service, attempt) = &spans["job.attempt"];
    let (call_service, call) = &spans["chat fake-1"];
    assert_eq!(request_service, "postroom-api");
    assert_eq!(
        [attempt_service, call_service],
        ["postroom-worker", "postroom-worker"]
    );
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(attempt.parent_span_id, request.span_id);
    assert_eq!(call.parent_span_id, attempt.span_id);
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "fake-1"),
        ("job.id", job.as_str()),
    ] {
        assert_eq!(attribute(&call.attributes, name).as_deref(), Some(value));
    }
    let kinds = [request.kind, attempt.kind, call.kind];
    assert_eq!(kinds, [2, 5, 3], "server, consumer, client");
    let received = collector.received.lock().unwrap();
    assert!(received.keys.iter().all(|key| key == "c0llect"));
    assert_eq!(received.keys.len(), 2, "one export a process");
    let text = String::from_utf8_lossy(&received.bytes);
    for secret in [
        "alice@client.example",
        "Appointment 7",
        "When can we meet",
        "key-of-the-tests",
        client.token(),
    ] {
        assert!(!text.contains(secret), "{secret} was exported");
    }
}

#[tokio::test]
async fn collector_that_hangs_delays_neither_jobs_nor_the_end_of_a_process() {
    let collector = Collector::hanging().await;
    let url = collector.url();
    let exported = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
        PATIENT,
    ];
    let db = TestDb::new().await;
    let model = FakeModel::start([Reply::Fits]).await;
    let api = Api::spawn_with(&db, &exported).await;
    let client = api.sign_in(&db).await;
    let worker = model.worker(&db, &exported).await;
    for n in 0..20 {
        client.submitted(&email(n), &format!("email-{n}")).await;
    }
    eventually(SOON, async || {
        let done: i64 = db
            .one("select count(*) from finished_jobs where state = 'succeeded' and kind = 'triage.email'")
            .await;
        (done == 20).then_some(()).ok_or(format!("{done} of 20"))
    })
    .await;
    for process in [worker.process, api.process] {
        let stopped = Instant::now();
        process.signal(Signal::SIGTERM);
        let ended = process.ended().await;
        assert!(ended.status.success());
        assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
        assert!(ended.stderr.contains("the last spans were not exported"));
    }
}

#[tokio::test]
async fn outage_of_the_collector_is_one_line_of_the_log() {
    let exported = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("LLM_TESTING_MODE", "true"),
    ];
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    let client = api.sign_in(&db).await;
    let worker = Worker::spawn_with(&db, &exported).await;
    for n in 0..3 {
        let id = client.submitted(&email(n), &format!("email-{n}")).await;
        client.finished(&id).await;
    }
    let says = "spans cannot be exported";
    eventually(SOON, async || {
        let log = worker.process.log();
        log.contains(says).then_some(()).ok_or(log)
    })
    .await;
    worker.process.signal(Signal::SIGTERM);
    let ended = worker.process.ended().await;
    assert!(ended.status.success());
    assert_eq!(ended.stderr.matches(says).count(), 1, "{}", ended.stderr);
}
