//! Which tests need a peer, so that they can be left out where it is missing. See [`Tests`].
//!
//! A test file needs the peers that it imports from `tests/it/support`; its tests are left out together. `tests/it/tidy`
//! holds that no file starts a peer for the tests of another one.

use super::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// The tests that cannot run, by the peer they miss.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tests(Vec<(Peer, Vec<String>)>);

impl Tests {
    /// Selects them from a listing of the test runner, whose lines are `module::test: test`.
    ///
    /// # Errors
    /// When the test files below `folder` cannot be read.
    pub fn that_need(
        missing: impl IntoIterator<Item = Peer>,
        folder: &Path,
        listing: &str,
    ) -> io::Result<Self> {
        let mut found = Vec::new();
        for peer in missing {
            let modules = modules_that_need(peer, folder)?;
            let tests = listing
                .lines()
                .filter_map(|line| line.strip_suffix(": test"))
                .filter(|name| {
                    name.rsplit_once("::")
                        .is_some_and(|(module, _)| modules.contains(module))
                })
                .map(str::to_owned)
                .collect();
            found.push((peer, tests));
        }
        Ok(Self(found))
    }

    /// Arguments for libtest and for nextest, to stand behind `--`.
    pub fn skip_args(&self) -> Vec<String> {
        let names = self.0.iter().flat_map(|(_, tests)| tests);
        names
            .flat_map(|name| ["--skip".to_owned(), name.clone()])
            .collect()
    }

    /// One line for each peer: how many tests are left out, and in which modules.
    pub fn sentences(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(peer, tests)| {
                let mut modules: BTreeMap<&str, usize> = BTreeMap::new();
                for name in tests {
                    let module = name.rsplit_once("::").map_or("", |(module, _)| module);
                    *modules.entry(module).or_default() += 1;
                }
                let listed: Vec<_> = modules
                    .iter()
                    .map(|(module, count)| format!("{module} ({count})"))
                    .collect();
                match tests.len() {
                    0 => format!("no test is left out without {peer}: {}", peer.otherwise()),
                    1 => format!("leaving out 1 test that needs {peer}: {}", tests[0]),
                    count => format!(
                        "leaving out {count} tests that need {peer}: {}",
                        listed.join(", ")
                    ),
                }
            })
            .collect()
    }
}

/// The modules whose files import a peer, by the names they have in the test binary.
///
/// # Errors
/// When the files cannot be read.
pub fn modules_that_need(peer: Peer, folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut modules = BTreeSet::new();
    collect(peer, folder, "", &mut modules)?;
    Ok(modules)
}

fn collect(
    peer: Peer,
    folder: &Path,
    parent: &str,
    modules: &mut BTreeSet<String>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let module = if parent.is_empty() {
            stem.into_owned()
        } else {
            format!("{parent}::{stem}")
        };
        if path.is_dir() {
            // The helpers that start peers, and the rules about code, which name everything.
            if module != "support" && module != "tidy" {
                collect(peer, &path, &module, modules)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path)?;
            if peer.imports().iter().any(|import| text.contains(import)) {
                modules.insert(module);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("mailbox.rs", "use crate::support::{dovecot::Dovecot};"),
            ("mailbox/sent.rs", "use crate::support::dovecot::{Dovecot};"),
            ("mailbox/plain.rs", "use crate::support::TestDb;"),
            ("support/dovecot.rs", "use super::dovecot::Dovecot;"),
        ];
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const LISTING: &str = "mailbox::a: test\nmailbox::sent::b: test\nmailbox::sent::c: test\n\
        mailbox::plain::d: test\nqueue::e: test\n\n5 tests, 0 benchmarks\n";

    #[test]
    fn tests_are_left_out_with_the_file_that_imports_the_peer() {
        let folder = folder();
        let tests = Tests::that_need([Peer::Dovecot], folder.path(), LISTING).unwrap();
        let skipped = tests.skip_args();
        let names: Vec<_> = skipped.iter().filter(|arg| *arg != "--skip").collect();
        assert_eq!(
            names,
            ["mailbox::a", "mailbox::sent::b", "mailbox::sent::c"]
        );
        assert_eq!(
            tests.sentences(),
            ["leaving out 3 tests that need Dovecot: mailbox (1), mailbox::sent (2)"]
        );
    }

    #[test]
    fn peer_that_no_test_needs_leaves_none_out() {
        let folder = folder();
        let tests = Tests::that_need([Peer::Libfaketime], folder.path(), LISTING).unwrap();
        assert_eq!(tests.skip_args(), [""; 0]);
        assert!(tests.sentences()[0].starts_with("no test is left out without libfaketime"));
    }
}
