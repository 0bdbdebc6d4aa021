//! Shares transactions between concurrent requests: [`Submitter`].

use super::{AnswerOf, SubmitError, SubmitOutcome, SubmitTriage, Submitted, batch::submit_all};
use crate::kinds::triage::Triage;
use base::db::{self, DbError, PoolConfig};
use queue::{
    JobKind, Replaced,
    coalesce::{Coalescer, PendingRequest, Reply},
    signals::notifier::Notifier,
};
use sqlx::PgPool;
use std::collections::HashMap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// While one batch commits, the next is written.
const LANES: usize = 2;
/// Larger emails have a transaction of their own: a batch of them would keep the others waiting.
const LARGE: usize = 1024 * 1024;

type SubmitResult = Result<Submitted, SubmitError>;

/// A handle for submitting; cheap to clone.
#[derive(Clone)]
pub struct Submitter {
    coalescer: Coalescer<SubmitTriage, SubmitResult>,
    tools: Tools,
}

/// What a batch needs.
#[derive(Clone)]
struct Tools {
    /// Waits for locks only briefly. Used by the coalescer's tasks, which are never dropped.
    lanes: PgPool,
    /// Waits for locks as long as a single request may.
    pool: PgPool,
    notifier: Notifier,
    tracker: TaskTracker,
    answer_of: AnswerOf,
}

impl Submitter {
    /// Opens two connections and starts its tasks in `tracker`. They end when `stop` is set and all earlier requests
    /// are answered. `answer_of` turns a job into the answer to store and return.
    pub async fn spawn(
        config: &PoolConfig,
        pool: PgPool,
        notifier: Notifier,
        tracker: &TaskTracker,
        stop: &CancellationToken,
        answer_of: AnswerOf,
    ) -> Result<Self, DbError> {
        let connections = u32::try_from(LANES).expect("two lanes");
        let tools = Tools {
            lanes: db::connect_for_batches(config, connections).await?,
            pool,
            notifier,
            tracker: tracker.clone(),
            answer_of,
        };
        let of_batches = tools.clone();
        let coalescer = Coalescer::spawn(LANES, tracker, stop, move |batch| {
            submit_batch(of_batches.clone(), batch)
        });
        Ok(Self { coalescer, tools })
    }

    /// Enqueues the job, or finds the stored answer. Returns after the commit.
    ///
    /// # Errors
    /// The request may be repeated with the same key.
    pub async fn submit(&self, request: SubmitTriage) -> SubmitResult {
        if request.source.len() > LARGE {
            return submit_one(&self.tools, request).await;
        }
        self.coalescer.call(request).await?
    }
}

/// Requests with one key, in order of arrival.
type SameKey = Vec<(SubmitTriage, Reply<SubmitResult>)>;

async fn submit_batch(tools: Tools, batch: Vec<PendingRequest<SubmitTriage, SubmitResult>>) {
    let mut groups: Vec<SameKey> = Vec::new();
    let mut places = HashMap::new();
    for PendingRequest { request, reply } in batch {
        let place = *places.entry(request.own_key()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push((request, reply));
    }
    while !groups.is_empty() {
        groups = submit_round(&tools, groups).await;
    }
}

/// Submits the first request of each group and answers those of the group that repeat it. Returns the groups whose
/// first was refused, without it: it kept no key, so the next one is handled as if the first had never come.
async fn submit_round(tools: &Tools, groups: Vec<SameKey>) -> Vec<SameKey> {
    let mut firsts = Vec::with_capacity(groups.len());
    let mut others = Vec::with_capacity(groups.len());
    for group in groups {
        let mut group = group.into_iter();
        if let Some((request, reply)) = group.next() {
            firsts.push(request);
            others.push((reply, group.collect::<SameKey>()));
        }
    }
    let answers = match submit_all(&tools.lanes, &firsts, tools.answer_of).await {
        Ok(answers) => answers,
        Err(error) => {
            // One of them is at fault, or waits for a lock that another process holds, or the connection broke: the
            // others must not suffer. Their keys make a retry safe, whether or not the commit has landed.
            tracing::debug!(%error, requests = firsts.len(), "a batch failed; its requests are tried one by one");
            for (request, (reply, same_key)) in firsts.into_iter().zip(others) {
                for (request, reply) in std::iter::once((request, reply)).chain(same_key) {
                    tools
                        .tracker
                        .spawn(submit_alone(tools.clone(), request, reply));
                }
            }
            return Vec::new();
        }
    };
    announce_all(&tools.notifier, &firsts, &answers);
    let mut left = Vec::new();
    for ((first, answer), (reply, same_key)) in firsts.iter().zip(answers).zip(others) {
        match &answer {
            Ok(submitted) => {
                for (request, reply) in same_key {
                    reply.send(replay(first, submitted, &request));
                }
            }
            Err(_) if same_key.is_empty() => {}
            Err(_) => left.push(same_key),
        }
        reply.send(answer);
    }
    left
}

/// Answers a request whose key was used by one that has just been answered.
fn replay(first: &SubmitTriage, submitted: &Submitted, request: &SubmitTriage) -> SubmitResult {
    // The first may itself have been a replay; its fingerprint is that of the stored request either way.
    if first.fingerprint == request.fingerprint {
        Ok(Submitted::new(
            submitted.answer.clone(),
            SubmitOutcome::Replayed,
        ))
    } else {
        Err(SubmitError::KeyReused)
    }
}

async fn submit_alone(tools: Tools, request: SubmitTriage, reply: Reply<SubmitResult>) {
    reply.send(submit_one(&tools, request).await);
}

/// Runs the transaction for one request, which waits for locks as long as a request may.
async fn submit_one(tools: &Tools, request: SubmitTriage) -> SubmitResult {
    let requests = [request];
    let answer = submit_all(&tools.pool, &requests, tools.answer_of)
        .await
        .and_then(|mut answers| answers.remove(0));
    announce_all(&tools.notifier, &requests, std::slice::from_ref(&answer));
    answer
}

fn announce_all(notifier: &Notifier, requests: &[SubmitTriage], answers: &[SubmitResult]) {
    for (request, answer) in requests.iter().zip(answers) {
        if let Ok(submitted) = answer {
            announce(notifier, request, submitted.how, &submitted.replaced);
        }
    }
}

/// Runs after the commit: a worker that is woken earlier finds nothing. Repeated signals are coalesced.
pub(super) fn announce(
    notifier: &Notifier,
    request: &SubmitTriage,
    how: SubmitOutcome,
    replaced: &Replaced,
) {
    replaced.notify(notifier);
    match how {
        SubmitOutcome::Inserted if request.place.run_at.is_some() => {
            notifier.job_scheduled(Triage::QUEUE);
        }
        SubmitOutcome::Inserted => notifier.job_available(Triage::QUEUE),
        // Claims skipped the waiting job while the transaction held it.
        SubmitOutcome::Existing if request.place.dedupe.is_some() => {
            notifier.job_available(Triage::QUEUE);
        }
        SubmitOutcome::Existing | SubmitOutcome::Replayed => {}
    }
}
