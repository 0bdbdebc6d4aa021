//! The repository as text: [`Source`] is one tracked file, for tests that hold rules about the code itself.
//!
//! Says what a file contains, never what it may contain.

use super::binaries::root;
use std::{collections::BTreeSet, fs, process::Command};

/// One file of the repository.
pub(crate) struct Source {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every file git knows or would add, in the order of paths. Binary files are left out.
///
/// # Panics
/// If git cannot list them: the tests run in a clone.
pub(crate) fn all() -> Vec<Source> {
    let output = Command::new("git")
        .args([
            "-c",
            "safe.directory=*",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("run git ls-files");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let paths: BTreeSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    paths
        .into_iter()
        // A file may be deleted and not yet committed so, and a fixture need not be text.
        .filter_map(|path| {
            fs::read_to_string(root().join(&path))
                .ok()
                .map(|text| Source { path, text })
        })
        .collect()
}

/// Every Rust file.
pub(crate) fn rust() -> Vec<Source> {
    let mut sources = all();
    sources.retain(|source| source.path.ends_with(".rs"));
    sources
}

/// One file that must exist.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

impl Source {
    pub(crate) fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// The code that is shipped: without comments and without the unit tests at the end of the file.
    pub(crate) fn code(&self) -> String {
        if self.path.ends_with("/tests.rs") {
            return String::new();
        }
        let shipped = self
            .text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        shipped
            .lines()
            .map(without_comment)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Good enough for code without `//` in its string literals but URLs.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .find(|(at, _)| *at == 0 || line[..*at].ends_with(' '));
    comment.map_or(line, |(at, _)| &line[..at])
}
