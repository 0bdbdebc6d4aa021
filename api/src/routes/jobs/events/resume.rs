//! The `Last-Event-ID` header: where a stream is taken up again.

use crate::error::{ApiError, Code};
use axum::http::HeaderMap;
use queue::view::events::EventId;

const LAST_EVENT_ID: &str = "Last-Event-ID";

/// # Errors
/// 400 if it is given twice or is no id of ours: whoever lost their place must not be sent everything as if it were new.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, ApiError> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    match (id, values.next()) {
        (Some(id), None) => Ok(Some(id)),
        _ => Err(ApiError::new(
            Code::InvalidParameter,
            "Send the id of the last event you have received, as it came, or no Last-Event-ID for all events.",
        )
        .at(
            LAST_EVENT_ID,
            "invalid",
            "Not the id of an event, or given twice.",
        )),
    }
}
