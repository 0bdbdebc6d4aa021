//! What a person says about a mail to be written: bounded, and free of what cannot be stored.

use crate::error::{ApiError, Code};

const MOST_CHARACTERS: usize = 2_000;

/// # Errors
/// 422 with a pointer if there is nothing in it, or too much.
pub(crate) fn instructions(text: &str) -> Result<String, ApiError> {
    said("/instructions", text)
}

/// # Errors
/// As [`instructions`].
pub(crate) fn said(pointer: &'static str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (1..=MOST_CHARACTERS).contains(&text.chars().count()) && !text.contains('\0');
    if fits {
        return Ok(text.to_owned());
    }
    Err(
        ApiError::new(Code::InvalidBody, "Say it in 1 to 2,000 characters.").at(
            pointer,
            "INVALID_VALUE",
            "It is empty or too long.",
        ),
    )
}
