//! `cargo dev test`: all tests, with the programs that they need, on a cluster that is thrown away. See [`run`].
//!
//! Everything that is said after the tests is the runner's own: its summary is the last line.

use crate::cargo;
use crate::config::Config;
use crate::peers::left_out::Tests;
use crate::peers::{self, Missing, Scope};
use crate::places::{PlaceError, Places};
use crate::postgres::{self, Cluster, ClusterError, Durability, ResolveError};
use crate::signals::Interrupts;
use base::env::ConfigError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{self, IsTerminal};
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::process::Child;

/// Says how many tests nextest runs at the same time.
const THREADS: &str = "NEXTEST_TEST_THREADS";

/// The tests did not run. That a test failed is no error: it is the runner's exit code.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not catch signals")]
    Signals(#[source] io::Error),
    #[error("could not run cargo")]
    Cargo(#[source] io::Error),
    #[error(transparent)]
    Postgres(#[from] ResolveError),
    /// In CI a test that is left out would go unnoticed.
    #[error("missing, and no test is left out where CI is set: {}", listed(.0))]
    Peers(Vec<Missing>),
    #[error("could not list the tests that need a missing peer")]
    LeftOut(#[source] io::Error),
}

/// What `cargo dev test` was asked for; all else is for the test runner.
struct TestRun {
    scope: Scope,
    /// Fetch what the tests need, and run none.
    only_fetch: bool,
    args: Vec<String>,
}

impl TestRun {
    fn parse(mut args: Vec<String>) -> Self {
        let mut take = |name: &str| {
            let given = args.len();
            args.retain(|arg| arg != name);
            args.len() < given
        };
        let scope = if take("--full") {
            Scope::Full
        } else {
            Scope::Usual
        };
        let only_fetch = take("--fetch");
        Self {
            scope,
            only_fetch,
            args,
        }
    }
}

/// Fetches what the tests need, builds everything, runs the runner with these arguments and returns its exit code.
///
/// `--full` is ours: it turns on the checks that need more than a Rust toolchain and Postgres. So is `--fetch`: it only
/// fetches.
///
/// # Errors
/// When the tests could not be run at all.
pub async fn run(args: Vec<String>) -> Result<u8, TestError> {
    let config = Config::from_process()?;
    let places = Places::of_this_workspace()?;
    let asked = TestRun::parse(args);
    // Before signals are caught: Ctrl-C ends a download at once.
    let missing = peers::fetch_all(asked.scope.peers(), &places.cache, config.forced_peers);
    if config.is_ci && !missing.is_empty() {
        return Err(TestError::Peers(missing));
    }
    for peer in &missing {
        eprintln!("test: {peer}. Its tests run once it is installed.");
    }
    if asked.only_fetch {
        eprintln!("test: {}", postgres::resolve(&config, &places)?);
        return Ok(u8::from(!missing.is_empty()));
    }
    let mut interrupts = Interrupts::catch().map_err(TestError::Signals)?;
    // Built with the tests, not apart from them: another selection of packages is another set of features,
    // and half of the dependencies would be compiled twice.
    let build = cargo::command(&places, &["build", "--workspace", "--all-targets"])
        .spawn()
        .map_err(TestError::Cargo)?;
    let built = to_its_end(build, &mut interrupts).await?;
    if !built.success() {
        return Ok(code(built));
    }
    let args = if missing.is_empty() {
        asked.args
    } else {
        let left_out = left_out(&places, &missing).await?;
        for sentence in left_out.sentences() {
            eprintln!("test: {sentence}");
        }
        with_skipped(asked.args, left_out.skip_args())
    };
    let cluster = match config.test_database_url {
        Some(_) => None,
        None => Some(started(&places).await?),
    };
    let mut runner = if has_nextest(&places).await {
        let mut runner = cargo::command(&places, &["nextest", "run"]);
        if std::env::var_os(THREADS).is_none() {
            runner.env(THREADS, threads().to_string());
        }
        runner
    } else {
        eprintln!(
            "cargo-nextest is not installed: using `cargo test` (to change that: cargo install cargo-nextest)"
        );
        cargo::command(&places, &["test"])
    };
    if !selects_packages(&args) {
        runner.arg("--workspace");
    }
    runner
        .args(args)
        .env("POSTROOM_BIN_DIR", cargo::binaries(&places));
    if let Some(cluster) = &cluster {
        runner.env("POSTROOM_TEST_DATABASE_URL", cluster.url("postgres"));
    }
    if asked.scope == Scope::Full {
        runner.env("POSTROOM_FULL", "1");
    }
    let status = to_its_end(runner.spawn().map_err(TestError::Cargo)?, &mut interrupts).await?;
    Ok(code(status))
}

/// Half as many again as there are cores: many tests wait for a lease, a time limit or a rate most of their time.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    cores + cores.div_ceil(2)
}

async fn started(places: &Places) -> Result<Cluster, TestError> {
    let started = tokio::task::spawn_blocking(|| Cluster::start(Durability::ThrowAway)).await;
    let cluster = started.expect("starting a cluster does not panic")?;
    let shown = cluster
        .folder()
        .strip_prefix(&places.workspace)
        .unwrap_or(cluster.folder());
    eprintln!("{} in {}", cluster.binaries(), shown.display());
    Ok(cluster)
}

/// Asks the test binary for its tests, which are built by now, and selects those that need what is missing.
async fn left_out(places: &Places, missing: &[Missing]) -> Result<Tests, TestError> {
    let mut list = cargo::command(places, &["test", "--quiet", "--workspace", "--test", "it"]);
    let output = list
        .args(["--", "--list", "--format", "terse"])
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(TestError::Cargo)?;
    let listing = String::from_utf8_lossy(&output.stdout);
    let peers = missing.iter().map(|missing| missing.peer);
    Tests::that_need(peers, &places.workspace.join("tests/it"), &listing)
        .map_err(TestError::LeftOut)
}

/// Adds arguments that stand behind `--`.
fn with_skipped(mut args: Vec<String>, skip: Vec<String>) -> Vec<String> {
    if !skip.is_empty() {
        if !args.iter().any(|arg| arg == "--") {
            args.push("--".to_owned());
        }
        args.extend(skip);
    }
    args
}

fn listed(missing: &[Missing]) -> String {
    let texts: Vec<_> = missing.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

async fn has_nextest(places: &Places) -> bool {
    let mut asked = cargo::command(places, &["nextest", "--version"]);
    let asked = asked.stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().await.is_ok_and(|status| status.success())
}

/// Whether the caller said which packages to test; `--workspace` beside it would win.
fn selects_packages(args: &[String]) -> bool {
    let own = args.iter().take_while(|arg| *arg != "--");
    own.into_iter()
        .any(|arg| arg.starts_with("-p") || arg == "--package" || arg.starts_with("--package="))
}

/// Waits for the child and hands it the signals that were meant for both of us.
async fn to_its_end(
    mut child: Child,
    interrupts: &mut Interrupts,
) -> Result<ExitStatus, TestError> {
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(TestError::Cargo),
            signal = interrupts.next() => {
                // Ctrl-C reaches the whole foreground group, and a second one would tell nextest to drop everything.
                let reached = signal == Signal::SIGINT && io::stdin().is_terminal();
                if let Some(pid) = child.id().filter(|_| !reached) {
                    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
                }
            }
        }
    }
}

/// As a shell would tell it: a child that a signal killed counts as 128 and the signal's number.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(args: &[&str]) -> Vec<String> {
        args.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arguments_of_ours_are_not_handed_on() {
        let asked = TestRun::parse(owned(&["--full", "settle", "--fetch"]));
        assert_eq!(asked.args, ["settle"]);
        assert!(asked.scope == Scope::Full && asked.only_fetch);
    }

    #[test]
    fn skipped_tests_follow_the_arguments_of_the_test_binary() {
        let skip = || owned(&["--skip", "a::b"]);
        assert_eq!(
            with_skipped(owned(&["settle"]), skip()),
            ["settle", "--", "--skip", "a::b"]
        );
        assert_eq!(
            with_skipped(owned(&["--", "--exact"]), skip()),
            ["--", "--exact", "--skip", "a::b"]
        );
        assert_eq!(with_skipped(owned(&["settle"]), Vec::new()), ["settle"]);
    }

    fn selects(args: &[&str]) -> bool {
        selects_packages(&owned(args))
    }

    #[test]
    fn package_asked_for_is_not_drowned_in_the_workspace() {
        assert!(selects(&["-p", "jobs"]) && selects(&["--package=jobs"]));
        assert!(!selects(&["settle"]) && !selects(&["--", "-p"]));
    }
}
