//! What the batch interfaces of the providers share: lines of JSON, and ids that are safe in an address.

use super::{
    http::{Body, Http, HttpResponse},
    reading::invalid,
};
use crate::{batch::Erased, error::LlmError};
use chrono::{DateTime, Utc};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use uuid::Uuid;

/// The answers of one batch; the caller limits how many requests it has.
pub(super) const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;
/// A list of batches, or one of them.
pub(super) const MAX_STATUS_BYTES: usize = 4 * 1024 * 1024;
/// The batches that are looked through for a lost one, the newest first.
pub(super) const LISTED: &str = "100";

/// Parses a response with one JSON value a line.
pub(super) fn lines(response: &HttpResponse) -> Result<Vec<Value>, LlmError> {
    let text = std::str::from_utf8(&response.body).map_err(|_| invalid("not UTF-8"))?;
    let full = text.lines().filter(|line| !line.trim().is_empty());
    full.map(|line| serde_json::from_str(line).map_err(|_| invalid("not JSON")))
        .collect()
}

/// Returns the provider's id of something, which goes into addresses.
pub(super) fn id_of(value: &Value) -> Result<String, LlmError> {
    let safe = |id: &&str| {
        (1..=200).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let id = value.as_str().filter(safe);
    id.map(str::to_owned).ok_or_else(|| invalid("no usable id"))
}

/// Returns our id of a request; none if it is not one of ours.
pub(super) fn custom_id(line: &Value) -> Option<Uuid> {
    line["custom_id"].as_str()?.parse().ok()
}

/// Deletes a batch that has ended or is there no more, and cancels another: deleting would not stop it.
///
/// # Errors
/// If it may still be there.
pub(super) async fn erase(
    http: &Http,
    has_ended: Result<bool, LlmError>,
    batch: Url,
    cancel_url: Url,
    now: DateTime<Utc>,
) -> Result<Erased, LlmError> {
    match has_ended {
        Ok(false) => cancel(http, cancel_url, now).await,
        Err(error) if !is_gone(&error) => Err(error),
        Ok(true) | Err(_) => {
            delete(http, batch, now).await?;
            Ok(Erased::Completely)
        }
    }
}

/// Cancels a batch that has not ended.
///
/// # Errors
/// If the provider does not take it.
pub(super) async fn cancel(http: &Http, url: Url, now: DateTime<Utc>) -> Result<Erased, LlmError> {
    let body = Body::Json(json!({}));
    http.fetch(Method::POST, url, body, MAX_STATUS_BYTES, now)
        .await?;
    Ok(Erased::NotYet)
}

/// Deletes something, also if it is there no more, or the server has no way to delete it.
///
/// # Errors
/// If it may still be there.
pub(super) async fn delete(http: &Http, url: Url, now: DateTime<Utc>) -> Result<(), LlmError> {
    let deleted = http
        .fetch(Method::DELETE, url, Body::None, MAX_STATUS_BYTES, now)
        .await;
    match deleted {
        Err(error) if !is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether the error says that there is no such thing.
pub(super) fn is_gone(error: &LlmError) -> bool {
    matches!(
        error,
        LlmError::BadRequest {
            status: 404 | 405,
            ..
        }
    )
}
