//! Graphile Worker, a queue on Postgres for Node.js, as a peer: fetched once from npm, with its best settings. See [`Graphile`].

use super::BenchError;
use super::bench_cluster::BenchCluster;
use super::worker_process::log_file;
use crate::places::Places;
use crate::run::run;
use std::fs;
use std::path::PathBuf;
use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

pub(super) const NAME: &str = "graphile-worker";

/// The packages and versions of the figures in BENCHMARKS.md. It needs a newer Node than distributions have.
const PACKAGES: [&str; 2] = ["graphile-worker@0.18.0", "node@22.23.3"];
const SCRIPT: &str = include_str!("graphile.mjs");
const DRAINED_IN: Duration = Duration::from_secs(300);

/// The fetched peer.
pub(super) struct Graphile {
    folder: PathBuf,
    log: PathBuf,
}

/// Fetches the peer if it is requested and missing.
pub(super) fn fetch_if(wanted: bool, places: &Places) -> Result<Option<Graphile>, BenchError> {
    if !wanted {
        return Ok(None);
    }
    let folder = places.cache.join(PACKAGES.join("-").replace('@', "-"));
    let at = |path: &PathBuf| {
        let path = path.clone();
        move |source| BenchError::File { path, source }
    };
    if !folder.is_dir() {
        eprintln!(
            "Fetching {} from the npm registry …",
            PACKAGES.join(" and ")
        );
        let fresh = tempfile::Builder::new()
            .prefix("fetching-")
            .tempdir_in(&places.cache)
            .map_err(at(&places.cache))?;
        run(StdCommand::new("npm")
            .args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                ".",
            ])
            .args(PACKAGES)
            .current_dir(fresh.path()))?;
        // Renamed only when complete.
        fs::rename(fresh.keep(), &folder).map_err(at(&folder))?;
    }
    let script = folder.join("bench.mjs");
    fs::write(&script, SCRIPT).map_err(at(&script))?;
    let (log, _) = log_file(places, NAME)?;
    Ok(Some(Graphile { folder, log }))
}

impl Graphile {
    /// Fills a new database and drains it, timed from the first job's start to the empty table; returns jobs per second.
    pub(super) async fn drain(&self, bench: &BenchCluster, jobs: u64) -> Result<f64, BenchError> {
        let database = bench.new_database().await?;
        let failed = |source| BenchError::Spawn {
            program: NAME.to_owned(),
            source,
        };
        let (_, log) = log_file(&bench.places, NAME)?;
        let mut child = Command::new(self.folder.join("node_modules/.bin/node"))
            .arg(self.folder.join("bench.mjs"))
            .arg(self.folder.join("package.json"))
            .args([&database.url, &jobs.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut orders = child.stdin.take().expect("stdin is piped");
        let out = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(out).lines();
        let mut next = async || match timeout(DRAINED_IN, lines.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            _ => Err(self.silent()),
        };
        next().await?;
        orders.write_all(b"go\n").await.map_err(failed)?;
        let line = next().await?;
        let seconds = line
            .strip_prefix("drained ")
            .and_then(|s| s.parse::<f64>().ok());
        let seconds = seconds.ok_or_else(|| self.silent())?;
        drop(orders);
        child.wait().await.map_err(failed)?;
        database.clear().await?;
        Ok(jobs as f64 / seconds)
    }

    fn silent(&self) -> BenchError {
        BenchError::Process {
            program: NAME.to_owned(),
            log: fs::read_to_string(&self.log).unwrap_or_default(),
        }
    }
}
