//! Writes results to standard output: [`line()`]. Progress goes to standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line. Ignores a closed pipe, as of `… | head`.
pub fn line(text: impl Display) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}
