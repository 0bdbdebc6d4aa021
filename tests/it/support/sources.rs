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

    /// The modules of its own crate that the code names: `crate::x`, also inside braces.
    pub(crate) fn imports(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut found = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(heads(group)),
                None => found.extend(head(rest)),
            }
        }
        found
    }
}

/// Good enough for code without `//` in its string literals but URLs.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices("//")
        .find(|(at, _)| *at == 0 || line[..*at].ends_with(' '));
    comment.map_or(line, |(at, _)| &line[..at])
}

fn head(path: &str) -> Option<String> {
    let end = path
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(path.len());
    (end > 0).then(|| path[..end].to_owned())
}

/// The first segments of the paths in a braced group, whose opening brace has been read.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut found, mut start) = (0_u32, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.extend(head(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn imports_are_found_one_by_one_and_in_groups() {
    let text = "use crate::{\n    db::{A, B},\n    domain, // crate::comment\n};\nuse crate::clock::Clock;\n\
                #[cfg(test)]\nmod tests {\n use crate::tested;\n}";
    let source = Source {
        path: "x.rs".into(),
        text: text.into(),
    };
    assert_eq!(Vec::from_iter(source.imports()), ["clock", "db", "domain"]);
}
