//! The processes of the storm: two APIs and three workers, each with a way of its own to Postgres. See [`Fleet`].
//!
//! Whoever ends is started again, under the same addresses; the fleet never asks why.

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
const LOOK: Duration = Duration::from_millis(100);
/// How far the clock of each worker is off, where it can be.
const SKEWS: [Option<&str>; WORKERS] = [None, Some("+90s"), Some("-45s")];

/// The APIs first, then the workers.
pub(super) struct Fleet {
    members: Vec<Member>,
    pub(super) apis: Vec<SocketAddr>,
}

struct Member {
    proxy: Proxy,
    program: PathBuf,
    args: &'static [&'static str],
    variables: Vec<(&'static str, String)>,
    log: PathBuf,
    /// None between two lives that could not follow each other at once.
    process: Mutex<Option<Supervised>>,
}

impl Fleet {
    /// Starts everybody. `database` tells the address for a port of Postgres'.
    pub(super) async fn start(
        plan: &Plan,
        logs: &Path,
        port: u16,
        database: impl Fn(u16) -> String,
    ) -> Result<Self, ChaosError> {
        let mut members = Vec::new();
        let mut apis = Vec::new();
        for place in 0..APIS + WORKERS {
            let proxy = Proxy::to(port).await.map_err(ChaosError::Proxy)?;
            let url = database(proxy.port);
            let mut variables = vec![
                ("DATABASE_URL", url.clone()),
                ("DATABASE_LISTEN_URL", url),
                ("RUST_LOG", "warn".to_owned()),
            ];
            let free = "127.0.0.1:0".to_owned();
            let name = if place < APIS {
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
                if let (Some(skew), Some(library)) = (SKEWS[place - APIS], faketime()) {
                    variables.push(("LD_PRELOAD", library));
                    variables.push(("FAKETIME", skew.to_owned()));
                    // Clocks on the wall differ; those that measure durations run as they do everywhere.
                    variables.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
                }
                "postroom-worker"
            };
            members.push(Member {
                proxy,
                program: plan.binaries.join(name),
                args: if place < APIS { &["serve"] } else { &[] },
                variables,
                log: logs.join(format!("{name}-{place}.log")),
                process: Mutex::new(None),
            });
        }
        for member in &members {
            let started = member.start().map_err(ChaosError::Spawn)?;
            *member.process() = Some(started);
        }
        Ok(Self { members, apis })
    }

    pub(super) fn worker(place: usize) -> usize {
        APIS + place
    }

    pub(super) fn proxy(&self, place: usize) -> &Proxy {
        &self.members[place].proxy
    }

    /// Sends a signal to a process; false if it is not there.
    pub(super) fn signal(&self, place: usize, signal: Signal) -> bool {
        let mut process = self.members[place].process();
        let Some(process) = process.as_mut() else {
            return false;
        };
        // Not by way of its supervisor: a stopped or killed process must not be told later.
        let alive = matches!(process.try_wait(), Ok(None));
        alive && kill(Pid::from_raw(process.pid()), signal).is_ok()
    }

    /// Starts again whoever has ended, until it is told to stop.
    pub(super) async fn keep_up(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            for member in &self.members {
                let mut process = member.process();
                let runs = process
                    .as_mut()
                    .is_some_and(|process| matches!(process.try_wait(), Ok(None)));
                if !runs {
                    // The next look tries again.
                    *process = member.start().ok();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Nothing fails any more: everybody runs, and every way is open.
    pub(super) fn calm(&self) {
        for (place, member) in self.members.iter().enumerate() {
            member.proxy.delay(Duration::ZERO);
            self.signal(place, Signal::SIGCONT);
        }
    }

    pub(super) fn replies_lost(&self) -> u64 {
        self.members.iter().map(|m| m.proxy.replies_lost()).sum()
    }
}

impl Member {
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

/// The library that skews clocks, if it is on this machine.
pub(super) fn faketime() -> Option<String> {
    let found = peers::libfaketime().ok()?;
    Some(found.library.display().to_string())
}

/// An address that stays the API's through all its lives.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
