//! Fields that several records have, parsed or refused with a pointer.

use crate::error::{ApiError, Code};
use jobs::{
    commands::record::Reference,
    domain::{
        invite::EmailAddress,
        name::{NOTES_CHARS, Name},
        tasks::Progress,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// A status as it may be written.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TaskStatusInput")]
#[expect(dead_code, reason = "describes what is read by `Progress::read`")]
pub(in crate::routes) enum ProgressInput {
    Backlog,
    Ready,
    /// The same as `ready`.
    Todo,
    Doing,
    Blocked,
    Done,
}

/// Reads a field that may be left out, null or a value: `None`, `Some(None)`, `Some(Some(_))`.
pub(in crate::routes) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

pub(in crate::routes) fn name(pointer: &str, text: &str, max: usize) -> Result<Name, ApiError> {
    Name::parse(text, max).map_err(|fault| invalid(pointer, fault.code(), fault.to_string()))
}

pub(in crate::routes) fn progress(pointer: &str, word: &str) -> Result<Progress, ApiError> {
    Progress::read(word).ok_or_else(|| {
        let known: Vec<_> = Progress::ALL.iter().map(|known| known.as_str()).collect();
        invalid(
            pointer,
            "INVALID_VALUE",
            format!("Must be one of {}.", known.join(", ")),
        )
    })
}

/// Reads notes; blank ones are none.
pub(in crate::routes) fn notes(notes: Option<String>) -> Result<Option<String>, ApiError> {
    match notes {
        Some(text) if text.chars().count() > NOTES_CHARS => Err(invalid(
            "/notes",
            "TOO_LONG",
            format!("Must have at most {NOTES_CHARS} characters."),
        )),
        Some(text) if text.trim().is_empty() => Ok(None),
        notes => Ok(notes),
    }
}

pub(in crate::routes) fn email(text: &str) -> Result<EmailAddress, ApiError> {
    EmailAddress::parse(text).map_err(|_| {
        invalid(
            "/email",
            "INVALID_VALUE",
            "Must be an email address.".to_owned(),
        )
    })
}

/// 422: the body refers to something that does not exist in this tenant.
pub(in crate::routes) fn not_found(reference: Reference) -> ApiError {
    let (pointer, what) = match reference {
        Reference::Project => ("/project_id", "project"),
        Reference::Message => ("/message_id", "email"),
    };
    let detail = format!("There is no such {what} in your tenant.");
    invalid(pointer, "UNKNOWN", detail)
}

pub(in crate::routes) fn invalid(pointer: &str, code: &str, detail: String) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "Nothing was changed. Correct the fields that `errors` lists.",
    )
    .at(pointer, code, detail)
}
