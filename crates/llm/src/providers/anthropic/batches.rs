//! Anthropic's message batches: [`AnthropicBatches`].
//!
//! They have no names: a lost batch is recognised by its requests, which are shown only when it has ended.

use super::AUTH;
use crate::{
    batch::{BatchApi, BatchEnd, BatchItem, BatchOutcome, Erased, Found, LostBatch},
    classify,
    error::LlmError,
    providers::{
        batches::{LISTED, MAX_BATCH_BYTES, MAX_STATUS_BYTES, custom_id, erase, id_of, lines},
        http::{self, Body, ClientError, Http},
        reading::invalid,
        wire::Target,
    },
};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, Url, header::HeaderMap};
use serde_json::{Value, json};
use uuid::Uuid;

/// How far the provider's clock may be behind ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// The batches of one server.
pub(super) struct AnthropicBatches {
    http: Http,
    /// Of the list of batches.
    url: Url,
}

impl AnthropicBatches {
    /// `headers` are those of single requests.
    pub(super) fn new(
        base: &Url,
        target: &Target,
        headers: HeaderMap,
    ) -> Result<Self, ClientError> {
        let url = http::join(base, "/v1/messages/batches");
        let (key, timeout) = (target.key.clone(), target.options.connect_timeout);
        Ok(Self {
            http: Http::new(url.clone(), &AUTH, key, headers, timeout)?,
            url,
        })
    }

    async fn batch(&self, batch: &str, now: DateTime<Utc>) -> Result<Value, LlmError> {
        let url = http::join(&self.url, &format!("/{batch}"));
        self.http.get_json(url, MAX_STATUS_BYTES, now).await
    }
}

#[async_trait]
impl BatchApi for AnthropicBatches {
    async fn create(
        &self,
        _name: Uuid,
        items: &[BatchItem],
        now: DateTime<Utc>,
    ) -> Result<String, LlmError> {
        let request = |item: &BatchItem| json!({ "custom_id": item.id, "params": item.body });
        let requests: Vec<Value> = items.iter().map(request).collect();
        let body = Body::Json(json!({ "requests": requests }));
        let made = self
            .http
            .fetch(Method::POST, self.url.clone(), body, MAX_STATUS_BYTES, now)
            .await?;
        id_of(&made.json()?["id"])
    }

    async fn find(&self, lost: LostBatch<'_>, now: DateTime<Utc>) -> Result<Found, LlmError> {
        let mut url = self.url.clone();
        url.set_query(Some(&format!("limit={LISTED}")));
        let list = self.http.get_json(url, MAX_STATUS_BYTES, now).await?;
        let batches = list["data"].as_array().ok_or_else(|| invalid("no list"))?;
        let mut found = Found::Nothing;
        for batch in batches {
            let id = id_of(&batch["id"])?;
            let made_at = batch["created_at"].as_str();
            let made_at = made_at.and_then(|at| at.parse::<DateTime<Utc>>().ok());
            let is_older = made_at.is_some_and(|at| at < lost.since - CLOCK_SKEW);
            if is_older || lost.known.contains(&id) {
                continue;
            }
            if !has_ended(batch) {
                found = Found::Unclear;
                continue;
            }
            let outcomes = self.outcomes(&id, now).await?;
            if outcomes
                .iter()
                .any(|outcome| lost.items.contains(&outcome.id))
            {
                return Ok(Found::Batch(id));
            }
        }
        Ok(found)
    }

    async fn has_ended(&self, batch: &str, now: DateTime<Utc>) -> Result<bool, LlmError> {
        self.batch(batch, now).await.map(|batch| has_ended(&batch))
    }

    async fn outcomes(
        &self,
        batch: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<BatchOutcome>, LlmError> {
        let url = http::join(&self.url, &format!("/{batch}/results"));
        let response = self
            .http
            .fetch(Method::GET, url, Body::None, MAX_BATCH_BYTES, now)
            .await?;
        let outcome = |line: &Value| {
            let id = custom_id(line)?;
            let end = end_of(&line["result"], now);
            Some(BatchOutcome { id, end })
        };
        Ok(lines(&response)?.iter().filter_map(outcome).collect())
    }

    async fn erase(&self, batch: &str, now: DateTime<Utc>) -> Result<Erased, LlmError> {
        let has_ended = self.has_ended(batch, now).await;
        let url = |of: String| http::join(&self.url, &of);
        let (own, cancel) = (url(format!("/{batch}")), url(format!("/{batch}/cancel")));
        erase(&self.http, has_ended, own, cancel, now).await
    }
}

fn has_ended(batch: &Value) -> bool {
    batch["processing_status"] == "ended"
}

/// Reads how a request ended.
fn end_of(result: &Value, now: DateTime<Utc>) -> BatchEnd {
    match result["type"].as_str() {
        Some("succeeded") => BatchEnd::Answered(result["message"].clone()),
        Some("errored") => {
            let error = classify::error_in_success(&result["error"], &HeaderMap::new(), now);
            error.map_or(BatchEnd::NotDone, BatchEnd::Failed)
        }
        _ => BatchEnd::NotDone,
    }
}
