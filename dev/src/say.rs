//! Answers on standard output. See [`line()`]; everything else is said on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line. A reader that has gone (`… | head`) has seen what it wanted.
pub fn line(text: impl Display) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}
