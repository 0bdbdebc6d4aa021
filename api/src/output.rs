//! What commands write to stdout: [`print`].

use anyhow::Context;
use std::io::{ErrorKind, Write};

/// The reader of stdout has left, as `head` does when it has enough: nothing went wrong, and there is nobody to write for.
#[derive(Debug, thiserror::Error)]
#[error("the reader of stdout has left")]
pub struct OutputClosed;

/// Writes a line to stdout.
pub(crate) fn print(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        written => written.context("could not write to stdout"),
    }
}
