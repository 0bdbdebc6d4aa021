//! OpenAI's batch API: [`OpenAiBatches`]. The requests are a file of lines, and so are the answers.

use crate::{
    batch::{BatchApi, BatchEnd, BatchItem, BatchOutcome, Erased, Found, LostBatch},
    classify,
    error::LlmError,
    providers::{
        batches::{
            LISTED, MAX_BATCH_BYTES, MAX_STATUS_BYTES, cancel, custom_id, delete, id_of, is_gone,
            lines,
        },
        http::{self, Auth, Body, ClientError, Http},
        reading::invalid,
        wire::Target,
    },
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{Method, Url, header::HeaderMap};
use serde_json::{Value, json};
use uuid::Uuid;

/// Under which a batch has our name of it.
const NAME: &str = "postroom_batch";

/// The batches of one server.
pub(in crate::providers) struct OpenAiBatches {
    http: Http,
    base: Url,
    /// The path of single requests.
    endpoint: &'static str,
}

impl OpenAiBatches {
    pub(in crate::providers) fn new(
        target: &Target,
        endpoint: &'static str,
    ) -> Result<Self, ClientError> {
        let Target {
            base, key, options, ..
        } = target.clone();
        let (headers, timeout) = (options.headers, options.connect_timeout);
        Ok(Self {
            http: Http::new(base.clone(), &Auth::Bearer, key, headers, timeout)?,
            base,
            endpoint,
        })
    }

    async fn get(
        &self,
        path: &str,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<Value>, LlmError> {
        let url = http::join(&self.base, path);
        let response = self
            .http
            .fetch(Method::GET, url, Body::None, limit, now)
            .await?;
        lines(&response)
    }

    async fn batch(&self, batch: &str, now: DateTime<Utc>) -> Result<Value, LlmError> {
        let url = http::join(&self.base, &format!("/batches/{batch}"));
        self.http.get_json(url, MAX_STATUS_BYTES, now).await
    }
}

#[async_trait]
impl BatchApi for OpenAiBatches {
    async fn create(
        &self,
        name: Uuid,
        items: &[BatchItem],
        now: DateTime<Utc>,
    ) -> Result<String, LlmError> {
        let mut requests = String::new();
        for item in items {
            let line = json!({
                "custom_id": item.id, "method": "POST", "url": self.endpoint, "body": item.body,
            });
            requests.push_str(&line.to_string());
            requests.push('\n');
        }
        let file = Body::Upload {
            fields: &[("purpose", "batch")],
            file_name: format!("{name}.jsonl"),
            content: requests.into_bytes(),
        };
        let files = http::join(&self.base, "/files");
        let uploaded = self
            .http
            .fetch(Method::POST, files, file, MAX_STATUS_BYTES, now)
            .await?;
        let body = json!({
            "input_file_id": id_of(&uploaded.json()?["id"])?,
            "endpoint": self.endpoint,
            "completion_window": "24h",
            "metadata": { NAME: name },
        });
        let batches = http::join(&self.base, "/batches");
        let made = self
            .http
            .fetch(
                Method::POST,
                batches,
                Body::Json(body),
                MAX_STATUS_BYTES,
                now,
            )
            .await?;
        id_of(&made.json()?["id"])
    }

    async fn find(&self, lost: LostBatch<'_>, now: DateTime<Utc>) -> Result<Found, LlmError> {
        let mut url = http::join(&self.base, "/batches");
        url.set_query(Some(&format!("limit={LISTED}")));
        let list = self.http.get_json(url, MAX_STATUS_BYTES, now).await?;
        let batches = list["data"].as_array().ok_or_else(|| invalid("no list"))?;
        let name = lost.name.to_string();
        let ours = batches
            .iter()
            .find(|batch| batch["metadata"][NAME] == *name);
        match ours {
            Some(batch) => id_of(&batch["id"]).map(Found::Batch),
            None => Ok(Found::Nothing),
        }
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
        let mut outcomes = Vec::new();
        for field in ["output_file_id", "error_file_id"] {
            if batch[field].is_null() {
                continue;
            }
            let file = id_of(&batch[field])?;
            let path = format!("/files/{file}/content");
            let lines = self.get(&path, MAX_BATCH_BYTES, now).await?;
            outcomes.extend(lines.iter().filter_map(|line| {
                let id = custom_id(line)?;
                let end = end_of(line, now);
                Some(BatchOutcome { id, end })
            }));
        }
        Ok(outcomes)
    }

    async fn erase(&self, batch: &str, now: DateTime<Utc>) -> Result<Erased, LlmError> {
        let state = match self.batch(batch, now).await {
            Err(error) if is_gone(&error) => return Ok(Erased::Completely),
            state => state?,
        };
        if !has_ended(&state)? {
            let url = http::join(&self.base, &format!("/batches/{batch}/cancel"));
            return cancel(&self.http, url, now).await;
        }
        // The batch itself stays, without content: it cannot be deleted.
        for field in ["input_file_id", "output_file_id", "error_file_id"] {
            if !state[field].is_null() {
                let file = id_of(&state[field])?;
                delete(
                    &self.http,
                    http::join(&self.base, &format!("/files/{file}")),
                    now,
                )
                .await?;
            }
        }
        Ok(Erased::Completely)
    }
}

fn has_ended(batch: &Value) -> Result<bool, LlmError> {
    let status = batch["status"].as_str();
    let status = status.ok_or_else(|| invalid("no status"))?;
    Ok(matches!(
        status,
        "completed" | "failed" | "expired" | "cancelled"
    ))
}

/// Reads how the request of a line ended.
fn end_of(line: &Value, now: DateTime<Utc>) -> BatchEnd {
    let response = &line["response"];
    let body = &response["body"];
    match response["status_code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
    {
        Some(200) => BatchEnd::Answered(body.clone()),
        Some(status) => {
            let body = body.to_string();
            let error = classify::error_response(status, &HeaderMap::new(), body.as_bytes(), now);
            BatchEnd::Failed(error)
        }
        None => BatchEnd::NotDone,
    }
}
