//! Runs the whole system on this machine: Postgres, the API and a worker as real processes. See [`Stack`].
//!
//! Knows nothing of email; [`crate::client`] calls the API.

use crate::cargo;
use crate::config::{self, Config};
use crate::places::{PlaceError, Places};
use crate::postgres::{Cluster, ClusterError, DATABASE, Durability};
use crate::session::TENANT;
use crate::state::{Endpoints, StateError, StateFile};
use crate::supervised::{Spec, Supervised};
use base::env::{ConfigError, Env};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::sys::signal::Signal;
use rand::RngExt as _;
use serde_json::Value;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Longer than the grace period of the worker.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running system. Dropping it stops it: the worker, then the API, then Postgres.
pub struct Stack {
    worker: Service,
    api: Service,
    /// None if `DATABASE_URL` names another server.
    cluster: Option<Cluster>,
    endpoints: Endpoints,
    _state_file: StateFile,
}

/// The API or the worker as a process.
pub(crate) struct Service {
    name: &'static str,
    process: Supervised,
    log: PathBuf,
}

/// The system could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not run cargo")]
    Cargo(#[source] io::Error),
    #[error("the build failed; see the compiler errors above")]
    Build,
    #[error("could not start {name}")]
    Spawn {
        name: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("could not write {}", .path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("postroom-api migrate failed; the last lines of {}:\n{tail}{advice}", .log.display())]
    Migrate {
        log: PathBuf,
        tail: String,
        advice: String,
    },
    #[error("{name} failed; the last lines of {}:\n{tail}", .log.display())]
    Failed {
        name: &'static str,
        log: PathBuf,
        tail: String,
    },
}

impl Stack {
    /// Builds the binaries, finds or starts the database, migrates it and starts both processes.
    ///
    /// # Errors
    /// If a step fails; everything is stopped then.
    pub async fn start(places: &Places, api_addr: Option<SocketAddr>) -> Result<Self, StackError> {
        let config = Config::from_process()?;
        let mut state_file = StateFile::claim(places)?;
        build(places).await?;
        let cluster = match &config.database_url {
            Some(_) => {
                eprintln!("Using the Postgres of DATABASE_URL.");
                None
            }
            None => Some(kept_cluster(places).await?),
        };
        let database_url = match (&cluster, config.database_url) {
            (Some(cluster), _) => cluster.url(DATABASE),
            (None, given) => given.unwrap_or_default(),
        };
        if let Some(cluster) = &cluster {
            eprintln!("Started {}, port {}.", cluster.binaries(), cluster.port());
        }
        let database = database_variables(&database_url, cluster.is_some());
        migrate(places, &database, cluster.as_ref()).await?;
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let api_addr = api_addr.unwrap_or(free).to_string();
        let free = free.to_string();
        let keys = credential_keys(places)?;
        let keys = ("CREDENTIAL_KEYS", keys.as_str());
        let (mut api, mut worker) = (database.clone(), database);
        api.extend([
            ("API_ADDR", &*api_addr),
            ("API_OPS_ADDR", &*free),
            keys,
            // The developer is an operator too.
            ("OPERATOR_TENANT", TENANT),
        ]);
        worker.extend([
            ("WORKER_OPS_ADDR", &*free),
            keys,
            // The local mail server is on this machine.
            ("OUTBOUND_ALLOW_PRIVATE", "true"),
        ]);
        if !config.has_model {
            eprintln!(
                "No credential of a model is set (LLM_API_KEY, OPENAI_API_KEY, …); its answers come from fixtures (LLM_TESTING_MODE=true)."
            );
            worker.push(("LLM_TESTING_MODE", "true"));
        }
        let mut api = Service::spawn(places, "postroom-api", &["serve"], &api)?;
        let mut worker = Service::spawn(places, "postroom-worker", &[], &worker)?;
        let address = api.listens("api").await?;
        for service in [&mut api, &mut worker] {
            let ops = service.listens("ops").await?;
            service.is_ready(ops).await?;
        }
        let endpoints = Endpoints {
            pid: std::process::id(),
            api: format!("http://{address}"),
            database_url,
            bin: cluster.as_ref().map(|cluster| cluster.bin_dir().to_owned()),
        };
        state_file.publish(places, &endpoints)?;
        Ok(Self {
            worker,
            api,
            cluster,
            endpoints,
            _state_file: state_file,
        })
    }

    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Waits until a process ends by itself, and returns the error with its last log lines.
    pub async fn broken(&mut self) -> StackError {
        loop {
            for service in [&mut self.api, &mut self.worker] {
                if !matches!(service.process.try_wait(), Ok(None)) {
                    return service.failure();
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Stops both processes gracefully, then Postgres.
    ///
    /// # Errors
    /// If Postgres does not stop.
    pub async fn stop(mut self) -> Result<(), StackError> {
        let stopped = tokio::task::spawn_blocking(move || {
            // Signals both before waiting, so that their grace periods overlap.
            for service in [&mut self.api, &mut self.worker] {
                service.process.signal(Signal::SIGTERM);
            }
            for service in [&mut self.api, &mut self.worker] {
                // A process that cannot be waited for is killed on drop.
                drop(service.process.end(Signal::SIGTERM, STOP_TIMEOUT));
            }
            self.cluster.as_ref().map_or(Ok(()), Cluster::stop)
        });
        Ok(stopped.await.expect("stopping does not panic")?)
    }
}

impl Service {
    pub(crate) fn spawn(
        places: &Places,
        name: &'static str,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self, StackError> {
        let folder = places.dev.join("logs");
        let log = folder.join(format!("{name}.log"));
        // One log per run, so that it contains this run only.
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&log, ""))
            .map_err(|source| StackError::Log {
                path: log.clone(),
                source,
            })?;
        let program = cargo::binaries(places).join(name);
        let spec = Spec {
            program: &program,
            log: &log,
            stop: Signal::SIGTERM,
            trash: None,
        };
        let log_events = config::log_events(Env::from_process())?;
        let process = Supervised::spawn(&spec, |command| {
            command.env("RUST_LOG", log_events);
            command.args(args).envs(variables.iter().copied());
            // Both binaries refuse to start with DEV_MODE.
            command.env_remove("DEV_MODE");
        });
        let process = process.map_err(|source| StackError::Spawn { name, source })?;
        Ok(Self { name, process, log })
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
    }

    /// Waits for the address of a listener in the log.
    pub(crate) async fn listens(&mut self, listener: &str) -> Result<SocketAddr, StackError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            if let Some(address) = bound(&log, listener) {
                return Ok(address);
            }
            let ended = !matches!(self.process.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                return Err(self.failure());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) async fn is_ready(&mut self, ops: SocketAddr) -> Result<(), StackError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let url = format!("http://{ops}/readyz");
        loop {
            let answer = crate::client::http().get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            let ended = !matches!(self.process.try_wait(), Ok(None));
            if ended || Instant::now() > deadline {
                return Err(self.failure());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn failure(&self) -> StackError {
        StackError::Failed {
            name: self.name,
            log: self.log.clone(),
            tail: tail(&self.log),
        }
    }
}

/// Starts the cluster whose data is kept between runs.
///
/// # Errors
/// If it cannot be started.
pub async fn kept_cluster(places: &Places) -> Result<Cluster, ClusterError> {
    let kept = Durability::Kept(places.clusters.clone());
    let started = tokio::task::spawn_blocking(|| Cluster::start(kept)).await;
    started.expect("starting a cluster does not panic")
}

/// Returns the key that encrypts the secrets of connections; it is created once and kept with the database.
fn credential_keys(places: &Places) -> Result<String, StackError> {
    let path = places.dev.join("credential_keys");
    let failed = |source| StackError::Log {
        path: path.clone(),
        source,
    };
    match fs::read_to_string(&path) {
        Ok(keys) => Ok(keys.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key: [u8; 32] = rand::rng().random();
            let keys = format!("dev:{}", STANDARD.encode(key));
            fs::create_dir_all(&places.dev).map_err(failed)?;
            let mut file = fs::OpenOptions::new();
            let file = file.write(true).create_new(true).mode(0o600).open(&path);
            file.and_then(|mut file| file.write_all(keys.as_bytes()))
                .map_err(failed)?;
            Ok(keys)
        }
        Err(error) => Err(failed(error)),
    }
}

async fn build(places: &Places) -> Result<(), StackError> {
    let mut build = cargo::command(places, &["build", "--workspace", "--bins"]);
    let built = build.status().await.map_err(StackError::Cargo)?;
    if built.success() {
        Ok(())
    } else {
        Err(StackError::Build)
    }
}

/// Returns the variables that lead a process to the database.
///
/// A cluster of our own is no business of the shell's `DATABASE_LISTEN_URL`, which would send LISTEN and the migrations to
/// another database; blank is unset.
fn database_variables(url: &str, is_ours: bool) -> Vec<(&'static str, &str)> {
    let listen = is_ours.then_some(("DATABASE_LISTEN_URL", ""));
    [("DATABASE_URL", url)].into_iter().chain(listen).collect()
}

/// Migrates the database; `kept` is its cluster if it is ours, which may be of migrations that were changed since.
async fn migrate(
    places: &Places,
    database: &[(&str, &str)],
    kept: Option<&Cluster>,
) -> Result<(), StackError> {
    let name = "postroom-api migrate";
    let output = Command::new(cargo::binaries(places).join("postroom-api"))
        .arg("migrate")
        .envs(database.iter().copied())
        .env_remove("DEV_MODE")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| StackError::Spawn { name, source })?;
    let log = places.dev.join("logs/migrate.log");
    let written = fs::create_dir_all(places.dev.join("logs"));
    written
        .and_then(|()| fs::write(&log, [output.stdout, output.stderr].concat()))
        .map_err(|source| StackError::Log {
            path: log.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let advice = kept.map(|cluster| {
        let folder = cluster.folder().display();
        format!("\nTo start with a new development database: rm -r {folder}")
    });
    Err(StackError::Migrate {
        tail: tail(&log),
        log,
        advice: advice.unwrap_or_default(),
    })
}

/// Returns the address in the `listening` log line of this listener.
fn bound(log: &str, listener: &str) -> Option<SocketAddr> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["message"] == "listening" && event["listener"] == listener)
        .find_map(|event| event["addr"].as_str()?.parse().ok())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::db::PoolConfig;

    #[test]
    fn cluster_of_ours_is_not_mixed_with_the_listen_url_of_the_shell() {
        let url = "postgres://postroom@localhost/postroom";
        let ours = [("DATABASE_URL", url), ("DATABASE_LISTEN_URL", "")];
        assert_eq!(database_variables(url, true), ours);
        // The shell's own pair belongs together.
        assert_eq!(database_variables(url, false), [("DATABASE_URL", url)]);
        let shell = [("DATABASE_LISTEN_URL", "postgres://elsewhere/live")];
        let mut env = Env::from_vars(shell.into_iter().chain(ours));
        let pool = PoolConfig::with_connections(&mut env, 1, "test");
        assert!(!pool.is_pooled);
    }

    #[test]
    fn address_is_read_from_the_log_line_of_the_listener() {
        let log = r#"{"message":"starting"}
not JSON
{"level":"INFO","message":"listening","listener":"ops","addr":"127.0.0.1:2"}
{"level":"INFO","message":"listening","listener":"api","addr":"127.0.0.1:3"}"#;
        assert_eq!(bound(log, "api"), Some(([127, 0, 0, 1], 3).into()));
        assert_eq!(bound(log, "grpc"), None);
    }
}
