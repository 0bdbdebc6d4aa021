//! What the batch interfaces of the providers share: lines of JSON, and ids that are safe in an address.

use super::{http::HttpResponse, reading::invalid};
use crate::error::LlmError;
use serde_json::Value;
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
