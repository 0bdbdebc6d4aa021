//! Every panel and every alert asked of a real Prometheus that scrapes real processes: part of `cargo dev test --full`.
//!
//! The traffic has everything the boards show: good emails, failures, retries, a model that limits us and talks
//! nonsense, a worker that is killed. An empty answer is a fault; [`INSTEAD`] names the alerts and panels
//! that are asked for something else.

mod prometheus;

use crate::actions::done;
use crate::approvals::decision;
use crate::support::{
    TestDb,
    boards::{self, Query},
    client::{Client, http, send},
    corpus, eventually,
    model::{FakeModel, Reply, VERDICT},
    process::Process,
    system::{Api, metrics},
    wait::SOON,
};
use prometheus::{Prometheus, promtool};
use promql_parser::parser::{Expr, token};
use serde_json::json;

/// Alerts whose own expression is empty in good times and panels of what this traffic does not have, and what must have data
/// instead.
const INSTEAD: [(&str, &str); 6] = [
    // A rate of answers that no traffic of a test can provoke without breaking the API.
    (
        "PostroomApiErrors",
        "sum(rate(postroom_http_requests_total[5m]))",
    ),
    // Speaks only when one of these is absent.
    (
        "PostroomMetricsMissing",
        "count(postroom_queue_oldest_available_age_seconds) and count(postroom_jobs_finished_total)
         and count(postroom_lease_lost_total) and count(postroom_llm_mode)",
    ),
    // Only of an API that serves TLS itself.
    ("PostroomCertificateExpires", "postroom_listener_alive"),
    (
        "dashboards/queue.json: Time to the end of the certificate",
        "postroom_listener_alive",
    ),
    // Second judgements and batches would take the answers that the script has for others.
    (
        "dashboards/models.json: Agreement in shadow mode",
        "postroom_shadow_fields_total",
    ),
    (
        "dashboards/models.json: Requests of batches by outcome",
        "postroom_llm_batches_open",
    ),
];

fn is_full_run() -> bool {
    std::env::var_os("POSTROOM_FULL").is_some()
}

#[test]
fn promtool_accepts_configuration_rules_and_their_tests() {
    if !is_full_run() {
        return;
    }
    promtool(
        &["check", "config", "dashboards/prometheus/prometheus.yml"],
        "",
    );
    promtool(&["check", "rules", boards::RULES], "");
    promtool(
        &["test", "rules", "dashboards/prometheus/rules_test.yml"],
        "",
    );
}

#[tokio::test]
async fn every_panel_and_every_alert_answers_with_data() {
    if !is_full_run() {
        return;
    }
    let db = TestDb::new().await;
    let api = Api::spawn(&db).await;
    accept_invite(&db, &api).await;
    let client = api.sign_in(&db).await;
    let left_behind = killed_with_a_job(&db, &client).await;

    let model = FakeModel::start(script()).await;
    let paid_and_limited = [
        // A model whose price is known, so that jobs cost something.
        ("LLM_MODEL", "gpt-4.1-mini"),
        // A rate that the traffic reaches, so that some of it waits.
        ("LLM_REQUESTS_PER_MINUTE", "120"),
    ];
    let worker = model.worker(&db, &paid_and_limited).await;
    let prometheus = Prometheus::start(&[("api", api.ops), ("worker", worker.ops)]).await;
    // Counters must be seen before they grow, so that a rate has a beginning.
    prometheus.scraped(2).await;
    client.finished(&left_behind).await;
    // One after the other, so that these get the worst of the script.
    for unlucky in ["meeting-request", "forwarded-message-rfc822"] {
        let id = client.submitted(&corpus::fixture(unlucky), unlucky).await;
        client.finished(&id).await;
    }
    traffic(&client).await;
    prometheus.scraped(3).await;

    let queries = boards::queries();
    assert!(
        queries.len() > 60,
        "the boards ask {} questions",
        queries.len()
    );
    let asked: Vec<(&str, String)> = queries
        .iter()
        .map(|query| (query.owner.as_str(), data_of(query)))
        .collect();
    eventually(SOON, async || {
        let mut silent = Vec::new();
        for (owner, expr) in &asked {
            if let Err(why) = prometheus.answers(expr).await {
                silent.push(format!("{owner}: {why}"));
            }
        }
        if silent.is_empty() {
            Ok(())
        } else {
            Err(silent.join("\n"))
        }
    })
    .await;
    for ops in [api.ops, worker.ops] {
        promtool(&["check", "metrics"], &metrics(ops).await);
    }
}

/// Submits an email to a worker that dies with it in its hands.
async fn killed_with_a_job(db: &TestDb, client: &Client) -> String {
    let model = FakeModel::start([Reply::Holds(VERDICT.to_owned())]).await;
    let mut victim = model.worker(db, &[]).await;
    let id = client
        .submitted(&corpus::fixture("plain-question"), "left-behind")
        .await;
    model.asked(1).await;
    victim.process.kill();
    id
}

/// A model on a bad day, that then recovers.
fn script() -> Vec<Reply> {
    vec![
        Reply::Refuses(500, None),
        Reply::Says("Certainly! Here is my verdict.".to_owned()),
        Reply::Says(VERDICT.to_owned()),
        // For the unlucky one: it has to wait, and then nothing it gets can be used.
        Reply::Refuses(429, Some(1)),
        Reply::Says("{}".to_owned()),
        Reply::Says("{}".to_owned()),
        // For the next: nothing that another try could mend.
        Reply::Refuses(400, None),
        Reply::Refuses(503, None),
        Reply::Says(VERDICT.to_owned()),
    ]
}

/// The first owner of a tenant comes in by the way that README describes.
async fn accept_invite(db: &TestDb, api: &Api) {
    let url = db.url();
    let bootstrap = [
        "admin",
        "bootstrap",
        "--tenant",
        "live",
        "--email",
        "owner@live.example",
    ];
    let invited = Process::spawn("postroom-api", &bootstrap, &[("DATABASE_URL", &url)])
        .ended()
        .await;
    let body = json!({ "token": invited.stdout.trim(), "password": "a quiet owl at noon" });
    let accept = format!("http://{}/v1/onboarding/accept", api.addr);
    let accepted = send(http().post(accept).json(&body)).await;
    assert!(
        accepted.status.is_success(),
        "{}: {}",
        accepted.status,
        invited.stderr
    );
}

/// Emails that rules decide and emails that the model is asked about, a repeated request, a refused one, a foreign token.
async fn traffic(client: &Client) {
    for mail in corpus::fixtures().into_iter().take(20) {
        let key = format!("traffic-{}", mail.name);
        client.submit(&mail.bytes, &key).await;
        client.submit(&mail.bytes, &key).await;
    }
    decided(client).await;
    client.submit(b"", "empty").await;
    let stranger = http()
        .get(client.url("/v1/audit"))
        .bearer_auth("no token at all");
    send(stranger).await;
    client
        .get("/v1/jobs/00000000-0000-7000-8000-000000000000")
        .await;
}

/// Says no to something that was proposed, and has something done.
async fn decided(client: &Client) {
    let proposed = eventually(SOON, async || {
        let page = client.get("/v1/approvals?status=proposed&limit=1").await;
        page.body["items"][0]["id"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| page.text.clone())
    })
    .await;
    let rejected = send(decision(client, &proposed, "reject", 1)).await;
    assert_eq!(rejected.status, 200, "{}", rejected.text);
    let action = json!({"type": "notify", "payload": {"text": "Hello"}});
    done(client, &json!({"actions": [action]})).await;
}

/// The expression whose data must be there. An alert that must not fire compares: asked is what it compares.
fn data_of(query: &Query) -> String {
    let instead = INSTEAD.iter().find(|(owner, _)| *owner == query.owner);
    instead.map_or_else(
        || inner(&query.parsed).to_string(),
        |(_, expr)| (*expr).to_owned(),
    )
}

fn inner(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => inner(&paren.expr),
        // `a > 1 or absent(b)`: the first operand is the ordinary one.
        Expr::Binary(binary)
            if binary.op.is_comparison_operator() || binary.op.id() == token::T_LOR =>
        {
            inner(&binary.lhs)
        }
        other => other,
    }
}
