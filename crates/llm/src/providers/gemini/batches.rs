//! Gemini's batches: [`GeminiBatches`]. The requests stand in the request that makes the batch, and the answers in its state.
//!
//! A batch is an operation with our name of it. Its requests have keys, by which their answers are recognised.

use super::{AUTH, base, operation};
use crate::{
    batch::{BatchApi, BatchEnd, BatchItem, BatchOutcome, Erased, Found, LostBatch},
    classify,
    error::LlmError,
    providers::{
        batches::{MAX_BATCH_BYTES, MAX_STATUS_BYTES, erase, id_of},
        http::{self, Body, ClientError, Http},
        reading::invalid,
        wire::Target,
    },
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{Method, Url, header::HeaderMap};
use serde_json::{Value, json};
use uuid::Uuid;

/// The order of the list is not documented, and entries of ended batches have their answers.
const PAGE: &str = "20";
/// The pages that are looked through for a lost batch.
const PAGES: usize = 10;

/// The batches of one model.
pub(super) struct GeminiBatches {
    http: Http,
    /// Where they are made.
    make: Url,
    /// Of the list of batches.
    list: Url,
}

impl GeminiBatches {
    /// `headers` are those of single requests.
    pub(super) fn new(target: &Target, headers: HeaderMap) -> Result<Self, ClientError> {
        let list = http::join(&base(target), "/v1beta/batches");
        let (key, timeout) = (target.key.clone(), target.options.connect_timeout);
        Ok(Self {
            http: Http::new(list.clone(), &AUTH, key, headers, timeout)?,
            make: operation(target, "batchGenerateContent"),
            list,
        })
    }

    async fn batch(&self, batch: &str, now: DateTime<Utc>) -> Result<Value, LlmError> {
        // With its answers, once it has ended.
        let url = http::join(&self.list, &format!("/{batch}"));
        self.http.get_json(url, MAX_BATCH_BYTES, now).await
    }
}

#[async_trait]
impl BatchApi for GeminiBatches {
    async fn create(
        &self,
        name: Uuid,
        items: &[BatchItem],
        now: DateTime<Utc>,
    ) -> Result<String, LlmError> {
        let request =
            |item: &BatchItem| json!({ "request": item.body, "metadata": { "key": item.id } });
        let requests: Vec<Value> = items.iter().map(request).collect();
        let body = Body::Json(json!({ "batch": {
            "displayName": name,
            "inputConfig": { "requests": { "requests": requests } },
        } }));
        let made = self
            .http
            .fetch(Method::POST, self.make.clone(), body, MAX_STATUS_BYTES, now)
            .await?;
        batch_id(&made.json()?)
    }

    async fn find(&self, lost: LostBatch<'_>, now: DateTime<Utc>) -> Result<Found, LlmError> {
        let name = lost.name.to_string();
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let mut url = self.list.clone();
            url.query_pairs_mut().append_pair("pageSize", PAGE);
            if let Some(token) = &token {
                url.query_pairs_mut().append_pair("pageToken", token);
            }
            let page = self.http.get_json(url, MAX_BATCH_BYTES, now).await?;
            // A list without entries has no such field.
            let batches = page["operations"].as_array().into_iter().flatten();
            for batch in batches {
                if batch["metadata"]["displayName"] == *name {
                    return batch_id(batch).map(Found::Batch);
                }
            }
            match page["nextPageToken"].as_str() {
                Some(next) if !next.is_empty() => token = Some(next.to_owned()),
                _ => return Ok(Found::Nothing),
            }
        }
        Ok(Found::Unclear)
    }

    async fn has_ended(&self, batch: &str, now: DateTime<Utc>) -> Result<bool, LlmError> {
        has_ended(&self.batch(batch, now).await?)
    }

    async fn outcomes(
        &self,
        batch: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<BatchOutcome>, LlmError> {
        let batch = self.batch(batch, now).await?;
        let answers = &batch["response"]["inlinedResponses"]["inlinedResponses"];
        let outcome = |answer: &Value| {
            let id = answer["metadata"]["key"].as_str()?.parse().ok()?;
            let end = end_of(answer, now);
            Some(BatchOutcome { id, end })
        };
        // A batch that failed or expired has none.
        let answers = answers.as_array().into_iter().flatten();
        Ok(answers.filter_map(outcome).collect())
    }

    async fn erase(&self, batch: &str, now: DateTime<Utc>) -> Result<Erased, LlmError> {
        let has_ended = self.has_ended(batch, now).await;
        let url = |of: String| http::join(&self.list, &of);
        let (own, cancel) = (url(format!("/{batch}")), url(format!("/{batch}:cancel")));
        erase(&self.http, has_ended, own, cancel, now).await
    }
}

/// Reads the id of a batch, which is named `batches/ID`.
fn batch_id(batch: &Value) -> Result<String, LlmError> {
    let name = batch["name"].as_str().unwrap_or_default();
    id_of(&json!(name.strip_prefix("batches/")))
}

/// Returns whether the batch has ended, in either spelling of its states.
fn has_ended(batch: &Value) -> Result<bool, LlmError> {
    if batch["done"] == true {
        return Ok(true);
    }
    let state = batch["metadata"]["state"].as_str();
    let state = state.ok_or_else(|| invalid("no state"))?;
    let ends = ["_SUCCEEDED", "_FAILED", "_CANCELLED", "_EXPIRED"];
    Ok(ends.iter().any(|end| state.ends_with(end)))
}

/// Reads how a request ended.
fn end_of(answer: &Value, now: DateTime<Utc>) -> BatchEnd {
    if answer["response"].is_object() {
        return BatchEnd::Answered(answer["response"].clone());
    }
    let mut error = answer["error"].clone();
    let Some(word) = error["code"].as_u64().and_then(status_word) else {
        return BatchEnd::NotDone;
    };
    // As a request alone fails: there the code is a status of HTTP, and its word stands beside it.
    error["status"] = json!(word);
    let error = classify::error_in_success(&json!({ "error": error }), &HeaderMap::new(), now);
    error.map_or(BatchEnd::NotDone, BatchEnd::Failed)
}

/// Returns the word for a code of `google.rpc.Code`; none for a request that was cancelled or has no error.
fn status_word(code: u64) -> Option<&'static str> {
    match code {
        0 | 1 => None,
        3 => Some("INVALID_ARGUMENT"),
        4 => Some("DEADLINE_EXCEEDED"),
        5 => Some("NOT_FOUND"),
        7 => Some("PERMISSION_DENIED"),
        8 => Some("RESOURCE_EXHAUSTED"),
        9 => Some("FAILED_PRECONDITION"),
        14 => Some("UNAVAILABLE"),
        16 => Some("UNAUTHENTICATED"),
        _ => Some("INTERNAL"),
    }
}
