//! The clients of a chaos run: each submits emails and retries with the same key until it gets an answer. See [`Clients`].
//!
//! The oracle compares their log with the database.

use crate::client::http;
use reqwest::StatusCode;
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const CLIENTS: u64 = 64;
const TIMEOUT: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(200);
/// Every n-th request is repeated after its answer, as by a client that lost it.
const REPEAT_EVERY: u64 = 8;

/// The responses that clients received: for each key the job ids, in order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub answers: HashMap<String, Vec<Uuid>>,
    /// Requests that never got an answer, and unexpected rejections.
    pub unanswered: u64,
    pub refused: Vec<String>,
    /// Failed tries that were repeated with the same key.
    pub retries: u64,
}

pub(super) struct Clients {
    tasks: JoinSet<()>,
    log: Arc<Mutex<Log>>,
    stop: CancellationToken,
    give_up: CancellationToken,
}

#[derive(Deserialize)]
struct Accepted {
    id: Uuid,
}

impl Clients {
    /// Starts submitting `rate` emails per second.
    pub(super) fn start(apis: &[SocketAddr], token: &str, seed: u64, rate: u64) -> Self {
        let mut clients = Self {
            tasks: JoinSet::new(),
            log: Arc::default(),
            stop: CancellationToken::new(),
            give_up: CancellationToken::new(),
        };
        let every = Duration::from_micros(1_000_000 * CLIENTS / rate.max(1));
        for number in 0..CLIENTS {
            let client = Client {
                name: format!("{seed:x}-{number}"),
                apis: apis.to_vec(),
                token: token.to_owned(),
                log: clients.log.clone(),
                give_up: clients.give_up.clone(),
            };
            let stop = clients.stop.clone();
            clients.tasks.spawn(async move {
                let mut tick = interval(every);
                // Emails missed during an outage are submitted afterwards.
                tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for count in 0.. {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        _ = tick.tick() => client.submit(count).await,
                    }
                }
            });
        }
        clients
    }

    pub(super) fn accepted(&self) -> usize {
        self.log().answers.len()
    }

    /// Stops new emails and retries the pending ones until they are answered or the limit is reached.
    pub(super) async fn finish(mut self, limit: Duration) -> Log {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            self.give_up.cancel();
            while self.tasks.join_next().await.is_some() {}
        }
        self.log().clone()
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Client {
    name: String,
    apis: Vec<SocketAddr>,
    token: String,
    log: Arc<Mutex<Log>>,
    give_up: CancellationToken,
}

impl Client {
    async fn submit(&self, count: u64) {
        let key = format!("chaos-{}-{count}", self.name);
        let times = if count.is_multiple_of(REPEAT_EVERY) {
            2
        } else {
            1
        };
        for _ in 0..times {
            self.until_answered(&key, count).await;
        }
    }

    async fn until_answered(&self, key: &str, count: u64) {
        for attempt in count.. {
            let index = usize::try_from(attempt).unwrap_or_default() % self.apis.len();
            let answer = tokio::select! {
                () = self.give_up.cancelled() => {
                    self.log().unanswered += 1;
                    return;
                }
                answer = self.send(self.apis[index], key) => answer,
            };
            match answer {
                Ok(Some(id)) => {
                    self.log()
                        .answers
                        .entry(key.to_owned())
                        .or_default()
                        .push(id);
                    return;
                }
                Ok(None) => {}
                Err(refused) => {
                    self.log().refused.push(format!("{key}: {refused}"));
                    return;
                }
            }
            self.log().retries += 1;
            sleep(PAUSE).await;
        }
    }

    /// Sends the request. Returns the job's id, or none if the request should be repeated.
    async fn send(&self, api: SocketAddr, key: &str) -> Result<Option<Uuid>, String> {
        let request = http()
            .post(format!("http://{api}/v1/jobs/triage?mode=rules_only"))
            .timeout(TIMEOUT)
            .bearer_auth(&self.token)
            .header("content-type", "message/rfc822")
            .header("idempotency-key", key)
            .body(mail(key));
        let Ok(answer) = request.send().await else {
            return Ok(None);
        };
        let status = answer.status();
        // The first try with this key is still in progress.
        let busy = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT
        );
        if busy || status.is_server_error() {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(status.to_string());
        }
        // A truncated answer counts as none.
        Ok(answer.json().await.ok().map(|Accepted { id }| id))
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a new email that the sample rules match.
fn mail(key: &str) -> String {
    format!(
        "From: Jo Chaos <jo@client.com>\r\nTo: Mira <mira@postroom.example>\r\nSubject: Invoice {key}\r\n\
         Date: Mon, 23 Nov 2026 07:41:02 +0100\r\nMessage-ID: <{key}@client.example>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHello Mira,\r\n\r\nplease find the invoice {key}. \
         Can you approve it until Friday?\r\n\r\nJo\r\n"
    )
}
