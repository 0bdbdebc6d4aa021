//! Where the real binaries are, and that they are as new as their sources.
//!
//! Cargo does not build the binaries of other packages for a test of this one. `cargo dev test` builds them and says
//! where (`POSTROOM_BIN_DIR`); under a plain `cargo test` the first test that needs one builds both.

use nix::fcntl::{Flock, FlockArg};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// What goes into the binaries, from the workspace's root.
const SOURCES: [&str; 7] = [
    "api",
    "crates",
    "jobs",
    "worker",
    "migrations",
    "Cargo.lock",
    "Cargo.toml",
];

const BINARIES: [&str; 2] = ["postroom-api", "postroom-worker"];

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests' package lies in the workspace")
}

/// The path of `postroom-api` or `postroom-worker`, built if it is missing or older than its sources.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own variable, set by `cargo dev test`"
)]
pub(crate) fn binary(name: &str) -> PathBuf {
    if let Ok(dir) = std::env::var("POSTROOM_BIN_DIR") {
        return Path::new(&dir).join(name);
    }
    built(Path::new(""), &BINARIES, "--bins").join(name)
}

/// The path of an example of the queue crate, built if one of `all` is missing or older than its sources.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own variable, set by `cargo dev test`"
)]
pub(crate) fn example(name: &str, all: &[&str]) -> PathBuf {
    if let Ok(dir) = std::env::var("POSTROOM_BIN_DIR") {
        return Path::new(&dir).join("examples").join(name);
    }
    built(Path::new("examples"), all, "--examples").join(name)
}

/// The folder below `target/<profile>` that holds the binaries, which are built if one is missing or out of date.
fn built(folder: &Path, names: &[&str], targets: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test binary has a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>");
    let dir = profile.join(folder);
    // Tests run in processes of their own: one builds, the others wait for it and find it done.
    let lock =
        fs::File::create(profile.join("postroom-binaries.lock")).expect("create the lock file");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).expect("lock the building of binaries");
    let built = names
        .iter()
        .filter_map(|name| modified(&dir.join(name)))
        .min();
    let all_exist = names.iter().all(|name| dir.join(name).exists());
    if !all_exist || built < newest(&SOURCES.map(|source| root().join(source))) {
        build(targets, profile.ends_with("release"));
    }
    dir
}

#[expect(
    clippy::disallowed_methods,
    reason = "the cargo that runs this test, not another one on the PATH"
)]
fn build(targets: &str, release: bool) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--workspace", targets])
        .args(release.then_some("--release"))
        .current_dir(root())
        .output()
        .expect("run cargo build");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "could not build the binaries: {stderr}"
    );
}

fn newest(paths: &[PathBuf]) -> Option<SystemTime> {
    paths
        .iter()
        .filter_map(|path| match fs::read_dir(path) {
            Ok(entries) => newest(&entries.flatten().map(|e| e.path()).collect::<Vec<_>>()),
            Err(_) => modified(path),
        })
        .max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}
