//! The processes of a chaos run: two APIs and three workers, each with its own proxy to Postgres. See [`Processes`].
//!
//! Restarts every process that ends, under the same address.

use super::proxy::Proxy;
use super::{ChaosError, Plan};
use crate::peers;
use crate::supervised::{Spec, Supervised};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(super) const APIS: usize = 2;
pub(super) const WORKERS: usize = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The clock skew of each worker, if libfaketime is installed.
const SKEWS: [Option<&str>; WORKERS] = [None, Some("+90s"), Some("-45s")];

/// The APIs first, then the workers.
pub(super) struct Processes {
    processes: Vec<ManagedProcess>,
    pub(super) apis: Vec<SocketAddr>,
}

struct ManagedProcess {
    proxy: Proxy,
    program: PathBuf,
    args: &'static [&'static str],
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
    /// None while a restart is pending.
    process: Mutex<Option<Supervised>>,
}

impl Processes {
    /// Starts all processes. `database` returns the URL for a port of Postgres.
    pub(super) async fn start(
        plan: &Plan,
        logs: &Path,
        port: u16,
        database: impl Fn(u16) -> String,
    ) -> Result<Self, ChaosError> {
        let mut processes = Vec::new();
        let mut apis = Vec::new();
        for index in 0..APIS + WORKERS {
            let proxy = Proxy::to(port).await.map_err(ChaosError::Proxy)?;
            let url = database(proxy.port);
            let mut variables = vec![
                ("DATABASE_URL", url.clone()),
                ("DATABASE_LISTEN_URL", url),
                ("RUST_LOG", "warn".to_owned()),
            ];
            let free = "127.0.0.1:0".to_owned();
            let name = if index < APIS {
                let address = free_address().map_err(ChaosError::Proxy)?;
                apis.push(address);
                variables.push(("API_ADDR", address.to_string()));
                variables.push(("API_OPS_ADDR", free));
                "postroom-api"
            } else {
                variables.push(("WORKER_OPS_ADDR", free));
                variables.push(("WORKER_LEASE_SECONDS", plan.lease.as_secs().to_string()));
                variables.push(("WORKER_POLL_SECONDS", "0.5".to_owned()));
                variables.push(("LLM_TESTING_MODE", "true".to_owned()));
                if let (Some(skew), Some(library)) = (SKEWS[index - APIS], faketime()) {
                    variables.push(("LD_PRELOAD", library));
                    variables.push(("FAKETIME", skew.to_owned()));
                    // Skews wall clocks only; monotonic clocks stay correct.
                    variables.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
                }
                "postroom-worker"
            };
            processes.push(ManagedProcess {
                proxy,
                program: plan.binaries.join(name),
                args: if index < APIS { &["serve"] } else { &[] },
                variables,
                log: logs.join(format!("{name}-{index}.log")),
                process: Mutex::new(None),
            });
        }
        for entry in &processes {
            let started = entry.start().map_err(ChaosError::Spawn)?;
            *entry.process() = Some(started);
        }
        Ok(Self { processes, apis })
    }

    pub(super) fn worker(index: usize) -> usize {
        APIS + index
    }

    pub(super) fn proxy(&self, index: usize) -> &Proxy {
        &self.processes[index].proxy
    }

    /// Sends a signal to a process; returns false if it is not running.
    pub(super) fn signal(&self, index: usize, signal: Signal) -> bool {
        let mut process = self.processes[index].process();
        let Some(process) = process.as_mut() else {
            return false;
        };
        // Bypasses the supervisor, which would deliver the signal to a stopped process later.
        let alive = matches!(process.try_wait(), Ok(None));
        alive && kill(Pid::from_raw(process.pid()), signal).is_ok()
    }

    /// Restarts ended processes until stopped.
    pub(super) async fn restart_ended(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            for entry in &self.processes {
                let mut process = entry.process();
                let runs = process
                    .as_mut()
                    .is_some_and(|process| matches!(process.try_wait(), Ok(None)));
                if !runs {
                    // A failed start is tried again in the next round.
                    *process = entry.start().ok();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Ends all faults: every process runs and every proxy forwards.
    pub(super) fn stop_faults(&self) {
        for (index, entry) in self.processes.iter().enumerate() {
            entry.proxy.delay(Duration::ZERO);
            self.signal(index, Signal::SIGCONT);
        }
    }

    pub(super) fn replies_lost(&self) -> u64 {
        self.processes
            .iter()
            .map(|entry| entry.proxy.replies_lost())
            .sum()
    }
}

impl ManagedProcess {
    fn start(&self) -> io::Result<Supervised> {
        let spec = Spec {
            program: &self.program,
            log: &self.log,
            stop: Signal::SIGKILL,
            trash: None,
        };
        Supervised::spawn(&spec, |command| {
            let variables = self.variables.iter().map(|(name, value)| (name, value));
            command
                .args(self.args)
                .envs(variables)
                .env_remove("DEV_MODE");
        })
    }

    fn process(&self) -> MutexGuard<'_, Option<Supervised>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the library that skews clocks, if this machine has it.
pub(super) fn faketime() -> Option<String> {
    let found = peers::libfaketime().ok()?;
    Some(found.library.display().to_string())
}

/// Returns a free address, which an API keeps across restarts.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
