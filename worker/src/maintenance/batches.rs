//! Sends the requests that can wait in batches and stores their answers: [`RunBatches`].
//!
//! Every step is committed before the next one, so that another worker continues where one died: a batch whose creation was not
//! recorded is looked for at the provider before it is made again. Holds no connection while a provider is asked.

use crate::handlers::{
    ask::{EndedRequest, Missing, ModelAccess, end_item},
    model_failure::effects::BATCH_CODE,
};
use async_trait::async_trait;
use base::{clock::Clock, db, telemetry::chain};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    commands::llm::batches::leave_batches,
    domain::llm::ModelName,
    store::{
        llm_batch_items::{self, StoredItem},
        llm_batches::{self, BatchSize, StoredBatch},
    },
};
use llm::{
    LlmError, Model,
    batch::{BatchEnd, BatchItem, Erased, Found, LostBatch},
    provider::Batches,
};
use queue::{
    operate::release::release_at,
    runtime::duty::{Duty, DutyContext},
};
use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use uuid::Uuid;

/// The answers are read at once, and Gemini takes 20 MB of requests.
const LARGEST: BatchSize = BatchSize {
    requests: 500,
    bytes: 16 * 1024 * 1024,
};
/// Batches that are looked at in one run.
const LOOKED_AT: i64 = 20;
/// The jobs that are released, and those that leave, in one run.
const JOBS: i64 = 1000;
/// Of one exchange with the provider; a check of a batch has two at most.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long no other worker looks at a batch: longer than a run of the duty may take.
const RESERVED: Duration = Duration::from_secs(45);
/// The longest time between two looks at a batch whose provider fails.
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// A provider that takes no batch for so long is asked by ordinary requests.
const LONGEST_MAKING: TimeDelta = TimeDelta::hours(2);
/// A batch ends within a day. What is not answered then is not waited for.
const LONGEST_BATCH: TimeDelta = TimeDelta::hours(26);
/// A batch that the provider has not deleted then is left to it.
const LONGEST_ERASING: TimeDelta = TimeDelta::hours(74);
/// No further batch is begun in a run of the duty after this time, well below the duty's own timeout.
const RUN: Duration = Duration::from_secs(8);

/// The provider bills no request that it did not come to.
const NOT_DONE: Missing = Missing::unbilled("batch_expired");
/// The model is not configured any more, or its provider has no batches.
const NO_BATCHES: Missing = Missing::unbilled("no_batches");
/// The provider did not take the batch.
const NOT_MADE: Missing = Missing::unbilled("batch_not_made");
/// The provider has billed an answer that the database cannot store.
const UNSTORABLE: Missing = Missing::billed("unstorable_answer");
/// The provider may have answered and billed what could not be read.
const UNREAD: Missing = Missing::billed("lost");

/// Gathers, sends and reads batches.
pub(super) struct RunBatches {
    access: ModelAccess,
    /// How long a request waits for others, and how often a batch is looked at.
    every: Duration,
}

#[async_trait]
impl Duty for RunBatches {
    fn name(&self) -> &'static str {
        "run_llm_batches"
    }

    fn every(&self) -> Duration {
        self.every.min(Duration::from_secs(5))
    }

    async fn run(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let started = Instant::now();
        // First, because jobs wait for it and it asks nobody.
        self.release(context).await?;
        leave_batches(&context.pool, JOBS).await?;
        for batch in llm_batches::take_due(&context.queue_pool, RESERVED, LOOKED_AT).await? {
            if started.elapsed() > RUN {
                break;
            }
            self.look_at(context, &batch).await?;
        }
        while started.elapsed() < RUN
            && let Some(batch) = self.gather(context).await?
        {
            self.make(context, &batch).await?;
        }
        self.release(context).await
    }
}

/// What comes next for a batch.
enum Next {
    /// It is looked at again after this time.
    Wait(Duration),
    /// Its requests have ended so, and those that are missing so.
    End(HashMap<Uuid, BatchEnd>, Missing),
}

impl RunBatches {
    pub(super) fn new(access: ModelAccess, every: Duration) -> Self {
        Self { access, every }
    }

    /// Forms the next batch.
    async fn gather(&self, context: &DutyContext) -> Result<Option<StoredBatch>, sqlx::Error> {
        let mut tx = context.pool.begin().await?;
        let id = Uuid::now_v7();
        let batch = llm_batches::gather(&mut tx, id, self.every, RESERVED, LARGEST).await?;
        if batch.is_some() {
            tx.commit().await?;
        }
        Ok(batch)
    }

    /// Makes a batch that this worker has formed.
    async fn make(&self, context: &DutyContext, batch: &StoredBatch) -> Result<(), sqlx::Error> {
        let items = items_of(context, batch).await?;
        if items.is_empty() {
            return llm_batches::delete(&context.queue_pool, batch.id).await;
        }
        let Some((model, batches)) = self.provider_of(batch) else {
            let ended = Next::End(HashMap::new(), NO_BATCHES);
            return self.proceed(context, batch, items, ended).await;
        };
        let requests: Vec<BatchItem> = items.iter().filter_map(request).collect();
        let now = Clock::System.now();
        let next = match within(batches.api.create(batch.id, &requests, now)).await {
            Ok(id) => {
                self.record_made(context, batch, &id).await?;
                let (provider, model) = (model.provider_name(), model.model_name());
                let requests = items.len();
                tracing::info!(batch = %batch.id, provider, model, requests, "a batch of requests to the model was made");
                return Ok(());
            }
            Err(error) => self.after_failure(batch, &error),
        };
        self.proceed(context, batch, items, next).await
    }

    /// Continues with a batch that any worker formed.
    async fn look_at(&self, context: &DutyContext, batch: &StoredBatch) -> Result<(), sqlx::Error> {
        let items = items_of(context, batch).await?;
        // They have all ended, or their tenant was erased and the answers are nobody's.
        if items.is_empty() {
            return self.erase(context, batch).await;
        }
        let now = Clock::System.now();
        let next = match (self.provider_of(batch), &batch.provider_id) {
            (None, None) => Ok(Next::End(HashMap::new(), NO_BATCHES)),
            // Its answers can be read only while the model is configured.
            (None, Some(_)) => Ok(Next::Wait(LONGEST_WAIT)),
            (Some((_, batches)), Some(id)) => self.read(batches, id, now).await,
            (Some((_, batches)), None) => {
                let known = llm_batches::known_ids(&context.queue_pool, &batch.provider).await?;
                let calls: Vec<Uuid> = items.iter().map(|item| item.call).collect();
                let lost = LostBatch {
                    name: batch.id,
                    items: &calls,
                    since: batch.created_at,
                    known: &known,
                };
                match within(batches.api.find(lost, now)).await {
                    Ok(Found::Batch(id)) => return self.record_made(context, batch, &id).await,
                    Ok(Found::Nothing) if now - batch.created_at > LONGEST_MAKING => {
                        Ok(Next::End(HashMap::new(), NOT_MADE))
                    }
                    Ok(Found::Nothing) => return self.make(context, batch).await,
                    Ok(Found::Unclear) => Ok(Next::Wait(self.every)),
                    Err(error) => Err(error),
                }
            }
        };
        let is_over = now - batch.made_at.unwrap_or(batch.created_at) > LONGEST_BATCH;
        let next = match next {
            Ok(Next::Wait(_)) | Err(_) if is_over => Next::End(HashMap::new(), UNREAD),
            Ok(next) => next,
            Err(error) => self.wait_after(batch, &error),
        };
        self.proceed(context, batch, items, next).await
    }

    async fn read(
        &self,
        batches: Batches<'_>,
        id: &str,
        now: DateTime<Utc>,
    ) -> Result<Next, LlmError> {
        if !within(batches.api.has_ended(id, now)).await? {
            return Ok(Next::Wait(self.every));
        }
        let outcomes = within(batches.api.outcomes(id, now)).await?;
        let ends = outcomes.into_iter().map(|it| (it.id, it.end));
        Ok(Next::End(ends.collect(), NOT_DONE))
    }

    /// What follows when the provider did not say that it made the batch.
    fn after_failure(&self, batch: &StoredBatch, error: &LlmError) -> Next {
        let is_refused = !error.is_transient() && !matches!(error, LlmError::ReplyTooLarge { .. });
        if is_refused {
            let (provider, class) = (&batch.provider, error.class());
            tracing::warn!(
                provider,
                class,
                "the provider refused a batch: its requests are sent one by one"
            );
            return Next::End(HashMap::new(), Missing::unbilled(class));
        }
        // It may have been made: it is looked for before it is made again.
        self.wait_after(batch, error)
    }

    fn wait_after(&self, batch: &StoredBatch, error: &LlmError) -> Next {
        tracing::warn!(
            batch = %batch.id,
            class = error.class(),
            error = chain(error),
            "a batch of requests to the model could not be made or read; it is tried again"
        );
        let asked = error.retry_after().map(|wait| wait.delay);
        Next::Wait(asked.unwrap_or_default().clamp(self.every, LONGEST_WAIT))
    }

    async fn record_made(
        &self,
        context: &DutyContext,
        batch: &StoredBatch,
        id: &str,
    ) -> Result<(), sqlx::Error> {
        let mut conn = context.pool.acquire().await?;
        llm_batches::record_made(&mut conn, batch.id, id, self.every).await
    }

    async fn proceed(
        &self,
        context: &DutyContext,
        batch: &StoredBatch,
        items: Vec<StoredItem>,
        next: Next,
    ) -> Result<(), sqlx::Error> {
        let (mut ends, missing) = match next {
            Next::Wait(wait) => {
                return llm_batches::postpone(&context.queue_pool, batch.id, wait).await;
            }
            Next::End(ends, missing) => (ends, missing),
        };
        let now = Clock::System.now();
        for item in &items {
            let ended = |end, missing| EndedRequest {
                asked: ModelName {
                    provider: &batch.provider,
                    model: &batch.model,
                },
                item,
                end,
                missing,
                waited: (now - item.created_at).to_std().unwrap_or_default(),
            };
            let (pool, access) = (&context.pool, &self.access);
            let answered = ended(ends.remove(&item.call), missing);
            if let Err(error) = end_item(pool, access, answered).await {
                if db::is_transient(&error) {
                    return Err(error);
                }
                // The others must not wait for it.
                tracing::warn!(
                    batch = %batch.id,
                    job.id = %item.job,
                    error = chain(&error),
                    "the answer of a batched request could not be stored"
                );
                end_item(pool, access, ended(None, UNSTORABLE)).await?;
            }
        }
        let requests = items.len();
        tracing::info!(batch = %batch.id, provider = batch.provider, requests, "a batch of requests to the model has ended");
        self.erase(context, batch).await
    }

    /// Has the provider delete a batch of which nothing is awaited, and then forgets it.
    async fn erase(&self, context: &DutyContext, batch: &StoredBatch) -> Result<(), sqlx::Error> {
        let now = Clock::System.now();
        let is_over = now - batch.made_at.unwrap_or(batch.created_at) > LONGEST_ERASING;
        if let Some((_, batches)) = self.provider_of(batch)
            && let Some(id) = &batch.provider_id
            && !is_over
        {
            let wait = match within(batches.api.erase(id, now)).await {
                Ok(Erased::Completely) => None,
                Ok(Erased::NotYet) => Some(self.every),
                Err(error) => {
                    tracing::warn!(
                        batch = %batch.id,
                        class = error.class(),
                        error = chain(&error),
                        "the provider did not delete a batch that has ended"
                    );
                    error.is_transient().then_some(LONGEST_WAIT)
                }
            };
            if let Some(wait) = wait {
                return llm_batches::postpone(&context.queue_pool, batch.id, wait).await;
            }
        }
        llm_batches::delete(&context.queue_pool, batch.id).await
    }

    /// Releases the jobs whose requests have ended. Not in the transaction of the answers: a job may be parked only a moment later.
    async fn release(&self, context: &DutyContext) -> Result<(), sqlx::Error> {
        let mut conn = context.pool.acquire().await?;
        let due = llm_batches::jobs_to_release(&mut conn, BATCH_CODE, JOBS).await?;
        if due.is_empty() {
            return Ok(());
        }
        let queues = release_at(&mut conn, &due).await?;
        for queue in queues.into_iter().collect::<BTreeSet<_>>() {
            context.notifier.job_scheduled(&queue);
        }
        Ok(())
    }

    fn provider_of(&self, batch: &StoredBatch) -> Option<(&Model, Batches<'_>)> {
        let model = self.access.model(&batch.provider, &batch.model)?;
        Some((model, model.batches()?))
    }
}

async fn items_of(
    context: &DutyContext,
    batch: &StoredBatch,
) -> Result<Vec<StoredItem>, sqlx::Error> {
    let mut conn = context.pool.acquire().await?;
    llm_batch_items::of_batch(&mut conn, batch.id).await
}

fn request(item: &StoredItem) -> Option<BatchItem> {
    Some(BatchItem {
        id: item.call,
        body: item.body.clone()?,
    })
}

async fn within<T>(exchange: impl Future<Output = Result<T, LlmError>>) -> Result<T, LlmError> {
    let ended = timeout(TIMEOUT, exchange).await;
    ended.unwrap_or(Err(LlmError::Timeout { after: TIMEOUT }))
}
