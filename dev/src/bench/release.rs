//! Builds with optimisations and runs the same command from there. See [`again`].

use super::BenchError;
use crate::cargo;
use crate::places::Places;
use tokio::process::Command;

/// Runs this command from a release build and returns its exit code.
pub(super) async fn again() -> Result<u8, BenchError> {
    let places = Places::of_this_workspace()?;
    eprintln!("Building with --release, because figures of a debug build are meaningless …");
    let mut build = cargo::command(
        &places,
        &[
            "build",
            "--quiet",
            "--release",
            "-p",
            "api",
            "-p",
            "worker",
            "-p",
            "dev",
        ],
    );
    if !build.status().await.map_err(BenchError::Cargo)?.success() {
        return Err(BenchError::Build);
    }
    let profile = cargo::binaries(&places);
    let program = profile.with_file_name("release").join("postroom-dev");
    let status = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .status()
        .await
        .map_err(|source| BenchError::Spawn {
            program: program.display().to_string(),
            source,
        })?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}
