//! Runs cargo from a program started by cargo. See [`command`].

use crate::places::Places;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Returns the cargo that runs us, without its variables about our package, which would confuse build scripts.
pub fn command(places: &Places, args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
        .args(args)
        .current_dir(&places.workspace)
        .stdin(Stdio::null());
    command
}

/// Returns the folder of our binaries: that of this program.
pub fn binaries(places: &Places) -> PathBuf {
    let here = std::env::current_exe().ok();
    here.as_deref()
        .and_then(Path::parent)
        .map_or_else(|| places.workspace.join("target/debug"), Path::to_owned)
}
