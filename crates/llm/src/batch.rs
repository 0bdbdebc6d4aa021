//! Many requests at once, for less money and within a day: [`BatchApi`].
//!
//! A batch is made with a name of the caller's, so that one whose creation was not recorded is found again instead of being
//! paid for twice. Nothing here waits, retries or stores.

use crate::{error::LlmError, prompt::OutputSchema};
use async_trait::async_trait;
use base::{JobId, TenantId};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// One request of a batch.
#[derive(Clone, Debug)]
pub struct BatchItem {
    /// By which its answer is recognised.
    pub id: Uuid,
    pub body: Value,
}

/// A batch that was about to be made when its maker died.
#[derive(Clone, Copy, Debug)]
pub struct LostBatch<'a> {
    pub name: Uuid,
    pub items: &'a [Uuid],
    pub since: DateTime<Utc>,
    /// The provider's ids of batches that are not it.
    pub known: &'a [String],
}

/// Whether the provider has a lost batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// By the provider's id.
    Batch(String),
    Nothing,
    /// The provider shows whose a batch is only when it has ended, and one has not.
    Unclear,
}

/// How far the erasure of a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// The provider keeps nothing of it.
    Completely,
    /// It was cancelled and has yet to end.
    NotYet,
}

/// What became of one request of an ended batch.
#[derive(Debug)]
pub struct BatchOutcome {
    pub id: Uuid,
    pub end: BatchEnd,
}

/// How a request of a batch ended.
#[derive(Debug)]
pub enum BatchEnd {
    /// The provider's answer, as it would answer a request alone.
    Answered(Value),
    Failed(LlmError),
    /// The provider did not come to it, and does not bill it.
    NotDone,
}

/// What is known of a request when its answer is read.
#[derive(Clone, Copy, Debug)]
pub struct BatchedCall<'a> {
    pub task: &'static str,
    pub schema: &'a OutputSchema,
    pub max_output_tokens: u32,
    pub prompt_bytes: u64,
    /// Since the batch was made.
    pub waited: Duration,
    pub tenant: TenantId,
    pub job: JobId,
    /// The job's attempt that asked, for its span.
    pub attempt: i32,
    /// The W3C trace context of the job.
    pub traceparent: Option<&'a str>,
}

/// A provider's interface for batches.
///
/// Errors are those of single requests. After one of [`BatchApi::create`], the batch may have been made all the same, unless the
/// provider refused it.
#[async_trait]
pub trait BatchApi: Send + Sync {
    /// Makes a batch and returns the provider's id of it.
    async fn create(
        &self,
        name: Uuid,
        items: &[BatchItem],
        now: DateTime<Utc>,
    ) -> Result<String, LlmError>;

    /// Looks for a batch that may have been made.
    async fn find(&self, lost: LostBatch<'_>, now: DateTime<Utc>) -> Result<Found, LlmError>;

    /// Returns whether the batch has ended.
    async fn has_ended(&self, batch: &str, now: DateTime<Utc>) -> Result<bool, LlmError>;

    /// Reads what became of the requests of an ended batch. Those that are missing were not done.
    async fn outcomes(
        &self,
        batch: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<BatchOutcome>, LlmError>;

    /// Deletes what the provider keeps of the batch, requests and answers. One that has not ended is cancelled instead, and the
    /// caller erases it later.
    async fn erase(&self, batch: &str, now: DateTime<Utc>) -> Result<Erased, LlmError>;
}
