//! The clients of the storm: each hands in mails and asks again, under the same key, until it is answered. See [`Clients`].
//!
//! What they were told is the log that the oracle holds the database to.

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
const PATIENCE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(200);
/// Every so-manyth request is repeated after it was answered, as by a client that lost the answer.
const REPEATED: u64 = 8;

/// What clients were told: for each key the jobs that its answers named, in the order of the answers.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub answers: HashMap<String, Vec<Uuid>>,
    /// Requests that were not answered, in the end, and how the API refused what it should take.
    pub unanswered: u64,
    pub refused: Vec<String>,
    /// Tries that failed and were repeated under the same key.
    pub retries: u64,
}

pub(super) struct Clients {
    tasks: JoinSet<()>,
    log: Arc<Mutex<Log>>,
    no_more: CancellationToken,
    give_up: CancellationToken,
}

#[derive(Deserialize)]
struct Accepted {
    id: Uuid,
}

impl Clients {
    /// Starts submitting so many mails a second.
    pub(super) fn start(apis: &[SocketAddr], token: &str, seed: u64, rate: u64) -> Self {
        let mut clients = Self {
            tasks: JoinSet::new(),
            log: Arc::default(),
            no_more: CancellationToken::new(),
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
            let no_more = clients.no_more.clone();
            clients.tasks.spawn(async move {
                let mut tick = interval(every);
                // What was missed while the system was down is handed in afterwards.
                tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for count in 0.. {
                    tokio::select! {
                        () = no_more.cancelled() => return,
                        _ = tick.tick() => client.hand_in(count).await,
                    }
                }
            });
        }
        clients
    }

    pub(super) fn accepted(&self) -> usize {
        self.log().answers.len()
    }

    /// No new mails; what is under way is asked again until it is answered or patience ends.
    pub(super) async fn finish(mut self, patience: Duration) -> Log {
        self.no_more.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
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
    async fn hand_in(&self, count: u64) {
        let key = format!("chaos-{}-{count}", self.name);
        let times = if count.is_multiple_of(REPEATED) { 2 } else { 1 };
        for _ in 0..times {
            self.until_answered(&key, count).await;
        }
    }

    async fn until_answered(&self, key: &str, count: u64) {
        for attempt in count.. {
            let place = usize::try_from(attempt).unwrap_or_default() % self.apis.len();
            let asked = tokio::select! {
                () = self.give_up.cancelled() => {
                    self.log().unanswered += 1;
                    return;
                }
                asked = self.ask(self.apis[place], key) => asked,
            };
            match asked {
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

    /// The job's id, or nothing if the same request should be sent again.
    async fn ask(&self, api: SocketAddr, key: &str) -> Result<Option<Uuid>, String> {
        let request = http()
            .post(format!("http://{api}/v1/jobs/triage?mode=rules_only"))
            .timeout(PATIENCE)
            .bearer_auth(&self.token)
            .header("content-type", "message/rfc822")
            .header("idempotency-key", key)
            .body(mail(key));
        let Ok(answer) = request.send().await else {
            return Ok(None);
        };
        let status = answer.status();
        // The first try under this key is still being answered.
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
        // An answer that was cut off is none.
        Ok(answer.json().await.ok().map(|Accepted { id }| id))
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mail that nobody has seen before, for the sample rules to judge.
fn mail(key: &str) -> String {
    format!(
        "From: Jo Storm <jo@client.com>\r\nTo: Mira <mira@postroom.example>\r\nSubject: Invoice {key}\r\n\
         Date: Mon, 23 Nov 2026 07:41:02 +0100\r\nMessage-ID: <{key}@client.example>\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHello Mira,\r\n\r\nplease find the invoice {key}. \
         Can you approve it until Friday?\r\n\r\nJo\r\n"
    )
}
