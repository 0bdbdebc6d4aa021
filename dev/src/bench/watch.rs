//! Watched mailboxes: [`measure`] has the time from an email's arrival in the mailbox to its job, with IDLE and by poll, and the
//! memory and connections of a worker that watches many mailboxes.
//!
//! An email has arrived when its file is renamed into the mailbox; its job is there from the transaction that enqueues it.

use super::bench_cluster::{BenchCluster, BenchDatabase};
use super::mail_server::{MailServer, PASSWORD, name};
use super::memory::resident;
use super::noop::now_us;
use super::report::Finding;
use super::sql::{connect, number, text};
use super::statistics::percentile;
use super::{BenchError, Settings, progress};
use crate::client::http;
use crate::session;
use crate::stack::Service;
use rand::RngExt as _;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// 32 bytes in base64; only this database is encrypted with it.
const KEYS: &str = "k1:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const MAILBOXES: usize = 200;
/// The pause between two emails is up to so long; not a divisor of a poll interval.
const PAUSE_MS: u64 = 97;
const READ_IN: Duration = Duration::from_secs(180);

pub(super) async fn measure(
    bench: &BenchCluster,
    settings: &Settings,
) -> Result<Vec<Finding>, BenchError> {
    let emails = if settings.quick { 100 } else { 1_000 };
    let runs = settings.runs.min(3);
    let mut times = [vec![], vec![], vec![], vec![]];
    for run in 0..runs {
        for (place, can_idle) in [(0, true), (2, false)] {
            let waits = arrivals(bench, emails, can_idle).await?;
            let (half, most) = (percentile(&waits, 50), percentile(&waits, 99));
            times[place].push(half);
            times[place + 1].push(most);
            let by = if can_idle {
                "IDLE"
            } else {
                "a poll each second"
            };
            progress(
                "watch",
                run,
                format!("by {by}: p50 {half:.0} ms, p99 {most:.0} ms"),
            );
        }
    }
    let names = [
        "watch.idle.p50",
        "watch.idle.p99",
        "watch.poll.p50",
        "watch.poll.p99",
    ];
    let figures = names.into_iter().zip(times);
    let mut findings: Vec<Finding> = figures
        .map(|(name, times)| Finding::new(name, "ms", times))
        .collect();
    findings.push(many(bench).await?);
    Ok(findings)
}

/// A system of which one user has accounts with mailboxes.
struct System {
    database: BenchDatabase,
    server: MailServer,
    worker: Service,
    _api: Service,
    /// Resident megabytes before anything was watched.
    idle: f64,
}

impl System {
    /// Watches the inbox of each of so many accounts.
    async fn start(
        bench: &BenchCluster,
        mailboxes: usize,
        can_idle: bool,
    ) -> Result<Self, BenchError> {
        let server = MailServer::start(mailboxes, can_idle).await?;
        let database = bench.new_database().await?;
        let token = session::mint(&database.url).await?.token;
        let variables = [
            ("DATABASE_URL", database.url.as_str()),
            ("DATABASE_LISTEN_URL", database.url.as_str()),
            ("API_ADDR", "127.0.0.1:0"),
            ("API_OPS_ADDR", "127.0.0.1:0"),
            ("CREDENTIAL_KEYS", KEYS),
            ("RUST_LOG", "info"),
        ];
        let mut api = Service::spawn(&bench.places, "postroom-api", &["serve"], &variables)?;
        let address = api.listens("api").await?;
        let ops = api.listens("ops").await?;
        api.is_ready(ops).await?;
        // A server with IDLE is not polled during the measurement.
        let poll = if can_idle { "600" } else { "1" };
        let variables = [
            ("DATABASE_URL", database.url.as_str()),
            ("DATABASE_LISTEN_URL", database.url.as_str()),
            ("WORKER_OPS_ADDR", "127.0.0.1:0"),
            ("LLM_TESTING_MODE", "true"),
            ("CREDENTIAL_KEYS", KEYS),
            ("OUTBOUND_ALLOW_PRIVATE", "true"),
            ("WATCH_POLL_SECONDS", poll),
        ];
        let mut worker = Service::spawn(&bench.places, "postroom-worker", &[], &variables)?;
        let ops = worker.listens("ops").await?;
        worker.is_ready(ops).await?;
        sleep(Duration::from_secs(1)).await;
        let idle = resident(worker.pid())?;
        for mailbox in 0..mailboxes {
            let imap = json!({"host": "127.0.0.1", "port": server.port, "security": "none"});
            let account = json!({
                "provider": "imap_smtp", "address": format!("{}@acme.example", name(mailbox)),
                "imap": imap, "smtp": {"host": "127.0.0.1", "port": 25, "security": "none"},
                "username": name(mailbox), "password": PASSWORD,
            });
            let connections = format!("http://{address}/v1/connections");
            let made = http()
                .post(&connections)
                .bearer_auth(token.expose())
                .json(&account);
            let made = answered(made).await?;
            let id = made["id"].as_str().unwrap_or_default();
            let watch = http()
                .put(format!("{connections}/{id}/watch"))
                .bearer_auth(token.expose())
                .json(&json!({"folders": ["INBOX"], "since": "2026-01-01T00:00:00Z"}));
            answered(watch).await?;
        }
        let system = Self {
            database,
            server,
            worker,
            _api: api,
            idle,
        };
        let checked = "select count(*) from watched_folders where checked_at is not null";
        system.counts(checked, mailboxes).await?;
        Ok(system)
    }

    /// Waits until a statement counts so many.
    async fn counts(&self, sql: &'static str, wanted: usize) -> Result<(), BenchError> {
        let mut connection = connect(&self.database.url).await?;
        let deadline = Instant::now() + READ_IN;
        loop {
            let found = number(&mut connection, sql).await?;
            if usize::try_from(found).is_ok_and(|found| found >= wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let text = format!("{found} instead of {wanted}: {sql}");
                return Err(BenchError::Unsound(text));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn end(mut self) -> Result<(), BenchError> {
        self.worker.kill();
        let Self { database, .. } = self;
        database.clear().await
    }
}

/// Measures the time from the arrival of each email to its job, in milliseconds.
async fn arrivals(
    bench: &BenchCluster,
    emails: usize,
    can_idle: bool,
) -> Result<Vec<f64>, BenchError> {
    let system = System::start(bench, 1, can_idle).await?;
    let mut arrived = HashMap::with_capacity(emails);
    for number in 0..emails {
        let pause = rand::rng().random_range(0..PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
        let unique = format!("bench.{number}");
        let text = format!(
            "From: Jo Bench <jo@client.example>\nTo: {}@acme.example\nSubject: Offer {number}\n\
             Date: Mon, 23 Nov 2026 07:41:02 +0100\nMessage-ID: <{unique}@client.example>\n\n\
             Can you send offer {number} until Friday?\n",
            name(0)
        );
        arrived.insert(number, now_us());
        system.server.deliver(0, &unique, &text)?;
    }
    system
        .counts("select count(*) from messages", emails)
        .await?;
    let mut connection = connect(&system.database.url).await?;
    let listed = text(
        &mut connection,
        r"select string_agg(substring(encode(m.source, 'escape') from '<bench\.([0-9]+)@') || ' '
              || (extract(epoch from j.created_at) * 1000000)::bigint, e'\n')
          from (select args, created_at from jobs where kind = 'triage.email'
                union all select args, created_at from finished_jobs where kind = 'triage.email') j
          join messages m on m.id = (j.args ->> 'message_id')::uuid",
    )
    .await?;
    drop(connection);
    let waits: Vec<f64> = listed
        .lines()
        .filter_map(|line| {
            let (number, enqueued) = line.split_once(' ')?;
            let arrived = arrived.get(&number.parse().ok()?)?;
            let enqueued: u64 = enqueued.parse().ok()?;
            Some(enqueued.saturating_sub(*arrived) as f64 / 1000.0)
        })
        .collect();
    system.end().await?;
    if waits.len() == emails {
        return Ok(waits);
    }
    let text = format!("{} jobs of {emails} emails", waits.len());
    Err(BenchError::Unsound(text))
}

/// Measures memory and connections of a worker that watches many mailboxes.
async fn many(bench: &BenchCluster) -> Result<Finding, BenchError> {
    let system = System::start(bench, MAILBOXES, true).await?;
    let memory = resident(system.worker.pid())?;
    let imap = system.server.connections()?;
    let mut connection = connect(&system.database.url).await?;
    let sql = "select count(*) from pg_stat_activity where application_name = 'postroom-worker'";
    let postgres = number(&mut connection, sql).await?;
    drop(connection);
    let idle = system.idle;
    system.end().await?;
    let said = format!(
        "{MAILBOXES} mailboxes: {memory:.0} MB ({idle:.0} before), {imap} connections by IMAP, {postgres} to Postgres"
    );
    progress("watch", 0, said);
    Ok(Finding::new("watch.memory", "MB", vec![memory])
        .detail("MB before", idle)
        .detail("IMAP connections", imap as f64)
        .detail("Postgres connections", postgres as f64))
}

/// Sends a request that has to succeed.
async fn answered(request: reqwest::RequestBuilder) -> Result<Value, BenchError> {
    let refused = |error: reqwest::Error| BenchError::Http(io::Error::other(error));
    let response = request.send().await.map_err(refused)?;
    let status = response.status();
    let text = response.text().await.map_err(refused)?;
    if !status.is_success() {
        return Err(BenchError::Http(io::Error::other(format!(
            "{status}: {text}"
        ))));
    }
    Ok(serde_json::from_str(&text)?)
}
