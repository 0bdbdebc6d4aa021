//! Fields that several bodies of the desk have, understood or refused with a pointer.

use crate::error::{ApiError, Code};
use jobs::domain::{
    invite::EmailAddress,
    name::{NOTES_CHARS, Name},
    tasks::Progress,
};
use serde::{Deserialize, Deserializer};

/// For a field that may be left out, null or a value: `None`, `Some(None)`, `Some(Some(_))`.
pub(super) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

pub(super) fn name(pointer: &str, text: &str, max: usize) -> Result<Name, ApiError> {
    Name::parse(text, max).map_err(|fault| invalid(pointer, fault.code(), fault.to_string()))
}

pub(super) fn progress(pointer: &str, word: &str) -> Result<Progress, ApiError> {
    Progress::read(word).ok_or_else(|| {
        let known: Vec<_> = Progress::ALL.iter().map(|known| known.as_str()).collect();
        invalid(
            pointer,
            "INVALID_VALUE",
            format!("Use one of {}.", known.join(", ")),
        )
    })
}

/// Blank notes are none.
pub(super) fn notes(notes: Option<String>) -> Result<Option<String>, ApiError> {
    match notes {
        Some(text) if text.chars().count() > NOTES_CHARS => Err(invalid(
            "/notes",
            "TOO_LONG",
            format!("It may have {NOTES_CHARS} characters."),
        )),
        Some(text) if text.trim().is_empty() => Ok(None),
        notes => Ok(notes),
    }
}

pub(super) fn email(text: &str) -> Result<EmailAddress, ApiError> {
    EmailAddress::parse(text)
        .map_err(|_| invalid("/email", "INVALID_VALUE", "It is no address.".to_owned()))
}

/// What a body refers to is not there, or is somebody else's.
pub(super) fn unknown(noun: &'static str) -> ApiError {
    let pointer = match noun {
        "mail" => "/message_id",
        _ => "/project_id",
    };
    invalid(pointer, "UNKNOWN", format!("There is no such {noun}."))
}

pub(super) fn invalid(pointer: &str, code: &str, detail: String) -> ApiError {
    ApiError::new(
        Code::InvalidBody,
        "Nothing was changed: correct what is listed in `errors`.",
    )
    .at(pointer, code, detail)
}
