//! Runs short-lived helper programs and returns their output. See [`run`].

use std::io;
use std::process::{Command, Output, Stdio};

/// A helper program failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("could not start `{program}`")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("`{program}` failed with {status}: {said}")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
        said: String,
    },
}

/// Runs the command without standard input and returns its standard output.
///
/// # Errors
/// If it cannot be started or does not exit with 0; the error contains the end of its output.
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
        said: last_lines(&output),
    })
}

/// Returns the last lines of the output, joined.
fn last_lines(output: &Output) -> String {
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
    fn failure_contains_the_last_lines_of_output() {
        let script = "printf 'a\\nb\\n\\nc\\nd\\ne\\n' >&2; exit 3";
        let error = run(Command::new("sh").args(["-c", script])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh` failed with exit status: 3: b / c / d / e"
        );
    }
}
