//! Text that a person gives a model: bounded, and free of what cannot be stored.

use crate::error::{ApiError, Code};

const MAX_CHARACTERS: usize = 2_000;

/// # Errors
/// 422 with a pointer if it is empty or too long.
pub(crate) fn instructions(text: &str) -> Result<String, ApiError> {
    text_at("/instructions", text)
}

/// # Errors
/// As [`instructions`].
pub(crate) fn text_at(pointer: &'static str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (1..=MAX_CHARACTERS).contains(&text.chars().count()) && !text.contains('\0');
    if fits {
        return Ok(text.to_owned());
    }
    Err(
        ApiError::new(Code::InvalidBody, "Use 1 to 2,000 characters of text.").at(
            pointer,
            "INVALID_VALUE",
            "Must have 1 to 2,000 characters and no U+0000.",
        ),
    )
}
