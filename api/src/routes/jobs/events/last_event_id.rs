//! The `Last-Event-ID` header: where a stream is resumed.

use crate::error::{ApiError, Code};
use axum::http::HeaderMap;
use queue::view::events::EventId;

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// # Errors
/// 400 if it is given twice or is no id of ours: a client that lost its place must not get old events as new ones.
pub(super) fn parse(headers: &HeaderMap) -> Result<Option<EventId>, ApiError> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    match (id, values.next()) {
        (Some(id), None) => Ok(Some(id)),
        _ => Err(ApiError::new(
            Code::InvalidParameter,
            "Send the id of the last event that you received as Last-Event-ID, or leave it out for all events.",
        )
        .at(
            LAST_EVENT_ID,
            "INVALID_VALUE",
            "Must be the id of one event.",
        )),
    }
}
