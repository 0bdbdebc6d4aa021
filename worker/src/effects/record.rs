//! What the effects on tasks, contacts, inbox items and blocks share: names, receipts and refusals.

use super::ActionContext;
use jobs::{
    commands::{effects::local::Refusal, record::RecordError},
    domain::name::Name,
    store::effects::StoredEffect,
};
use uuid::Uuid;

/// Converts a command's error into a refusal of the effect.
pub(super) fn refusal(error: RecordError) -> Refusal {
    match error {
        RecordError::Database(error) => Refusal::Database(error),
        other => Refusal::refused(other.code(), other.user_message()),
    }
}

/// Converts an error while reverting: a changed record stays as it is.
pub(super) fn moved_on(error: RecordError) -> Refusal {
    match error {
        RecordError::Database(error) => Refusal::Database(error),
        _ => touched(),
    }
}

/// The refusal to undo a record that was changed since.
pub(super) fn touched() -> Refusal {
    Refusal::refused("moved_on", "It was changed since; nothing was undone.")
}

/// The refusal to undo an effect whose receipt is unreadable.
pub(super) fn unreadable() -> Refusal {
    Refusal::refused(
        "moved_on",
        "The record of this action is unreadable; nothing was undone.",
    )
}

/// Reads a name from the parameters.
pub(super) fn name(action: &ActionContext<'_>, field: &str, most: usize) -> Result<Name, Refusal> {
    let text = action.params.get(field).unwrap_or_default();
    Name::parse(text, most).map_err(|fault| Refusal::refused("bad_name", fault.to_string()))
}

/// Reads the record's id and its version after the effect.
pub(super) fn id_and_version(done: &StoredEffect) -> Result<(Uuid, i32), Refusal> {
    let receipt = done.receipt.as_ref().ok_or_else(unreadable)?;
    let id = receipt["id"].as_str().and_then(|id| id.parse().ok());
    let version = receipt["version"].as_i64().map(i32::try_from);
    match (id, version) {
        (Some(id), Some(Ok(version))) => Ok((id, version)),
        _ => Err(unreadable()),
    }
}

/// Reads a text from the state before the effect.
pub(super) fn text_before<'a>(done: &'a StoredEffect, field: &str) -> Option<&'a str> {
    done.before_image.as_ref()?.get(field)?.as_str()
}
