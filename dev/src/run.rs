//! Short-lived helper programs: run one to its end and keep what it said. See [`run`].

use std::io;
use std::process::{Command, Output, Stdio};

/// A helper program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("could not start `{program}`")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("`{program}` ended with {status}: {said}")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
        said: String,
    },
}

/// Runs the command to its end without a terminal to ask on, and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not exit with 0; the error holds the end of what it wrote.
pub fn run(command: &mut Command) -> Result<String, RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| RunError::Start {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(RunError::Failed {
        program,
        status: output.status,
        said: last_words(&output),
    })
}

/// The end of what a program wrote, on one line.
fn last_words(output: &Output) -> String {
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_last_lines_it_wrote() {
        let script = "printf 'a\\nb\\n\\nc\\nd\\ne\\n' >&2; exit 3";
        let error = run(Command::new("sh").args(["-c", script])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh` ended with exit status: 3: b / c / d / e"
        );
    }
}
