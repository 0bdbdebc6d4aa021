//! Which tests need Dovecot and its like is read from their files, so that they can be left out where it is missing.

use super::hold;
use crate::support::sources;
use dev::peers::{Scope, left_out::modules_that_need};

/// How a helper of `support` starts a peer.
const STARTS: [&str; 6] = [
    "Dovecot::start",
    "Dovecot::run(",
    "Radicale::start",
    "Aiosmtpd::start",
    "Prometheus::start",
    "PgBouncer::start",
];

/// Otherwise tests in a file that imports no peer would need one.
#[test]
fn no_file_starts_a_peer_for_the_tests_of_another() {
    let mut breaches = Vec::new();
    for source in sources::rust() {
        let is_test = source.is_below(&["tests/it/"]);
        if !is_test || source.is_below(&["tests/it/support", "tests/it/tidy"]) {
            continue;
        }
        let mut function = "";
        for line in source.text.lines() {
            if line.contains("fn ") && line.trim_end().ends_with('{') {
                function = line.trim();
            }
            if STARTS.iter().any(|start| line.contains(start)) && function.starts_with("pub") {
                breaches.push(format!("{}: {function}: must be private", source.path));
            }
        }
    }
    hold(breaches);
}

#[test]
fn every_peer_that_tests_import_is_recognised() {
    let folder = crate::support::binaries::root().join("tests/it");
    for peer in Scope::Full.peers() {
        let modules = modules_that_need(*peer, &folder).unwrap();
        // The chaos run does without libfaketime.
        let expected = *peer != dev::peers::Peer::Libfaketime;
        assert_eq!(!modules.is_empty(), expected, "{peer}: {modules:?}");
    }
}
