//! The real binaries as real processes: [`Process`] is one of them, killed when it goes out of scope.
//!
//! A process sees only the variables it is given, and is observed as an operator would: its log on stderr, its exit
//! code, its ports. Never reaches into the code under test.

use super::{binaries::binary, eventually, wait::SOON};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

/// How much of a process's log a failed test shows.
const LAST_LINES: usize = 40;

/// A running binary of Postroom.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended, with all that it wrote.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a binary with exactly these variables, and PATH.
    pub(crate) fn spawn(name: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary(name));
        command.args(args);
        Self::run(name, command, variables)
    }

    /// As [`Process::spawn`], with limits of descriptors as systemd or a shell sets them.
    pub(crate) fn spawn_limited(
        name: &str,
        args: &[&str],
        variables: &[(&str, &str)],
        (soft, hard): (u32, u32),
    ) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(binary(name)).args(args);
        Self::run(name, command, variables)
    }

    /// As [`Process::spawn`], with a log on a disk that is full.
    pub(crate) fn spawn_with_full_log(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$0\" 2>/dev/full"])
            .arg(binary(name));
        Self::run(name, command, variables)
    }

    #[expect(clippy::disallowed_methods, reason = "PATH is handed on, not read")]
    fn run(name: &str, mut command: Command, variables: &[(&str, &str)]) -> Self {
        let mut child = command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        let (stdout, out) = follow(child.stdout.take().expect("stdout is piped"));
        let (stderr, err) = follow(child.stderr.take().expect("stderr is piped"));
        let name = name.to_owned();
        Self {
            name,
            child,
            stdout,
            stderr,
            readers: vec![out, err],
        }
    }

    /// Where the process listens, as its log says; waits until it does.
    ///
    /// # Panics
    /// If the process ends first.
    pub(crate) async fn addr(&mut self, listener: &str) -> SocketAddr {
        eventually(SOON, async || {
            if let Some(addr) = bound(&self.log(), listener) {
                return Ok(addr);
            }
            if let Some(status) = self.child.try_wait().expect("look at the process") {
                panic!(
                    "{} ended with {status} before it listened:\n{}",
                    self.name,
                    self.log()
                );
            }
            Err(format!(
                "{} does not listen yet:\n{}",
                self.name,
                self.log()
            ))
        })
        .await
    }

    /// Everything written to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.stderr
            .lock()
            .expect("the reader does not panic")
            .clone()
    }

    /// Everything written to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout
            .lock()
            .expect("the reader does not panic")
            .clone()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("look at the process")
            .is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal)
            .unwrap_or_else(|error| panic!("{signal} to {}: {error}", self.name));
    }

    /// kill -9, and the body is buried: nothing of the process runs when this returns.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("kill the process");
        self.child.wait().expect("reap the process");
    }

    /// Waits until the process has ended by itself or by a signal sent before.
    pub(crate) async fn ended(mut self) -> Ended {
        let status = eventually(SOON, async || {
            let status = self.child.try_wait().expect("look at the process");
            status.ok_or_else(|| format!("{} still runs:\n{}", self.name, self.log()))
        })
        .await;
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader does not panic");
        }
        Ended {
            status,
            stdout: self.stdout(),
            stderr: self.log(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LAST_LINES)..];
            eprintln!(
                "--- end of the log of {} ---\n{}",
                self.name,
                end.join("\n")
            );
        }
    }
}

/// Reads a pipe to its end on a thread, so that the process never blocks on a full one.
fn follow(pipe: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            sink.lock()
                .expect("nobody panics with the lock")
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    (text, reader)
}

/// The address in the log line `listening` of this listener.
fn bound(log: &str, listener: &str) -> Option<SocketAddr> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|event| {
            let fields = event.get("fields").unwrap_or(&event);
            let is_it = fields["message"] == "listening" && fields["listener"] == listener;
            is_it.then(|| fields["addr"].as_str()?.parse().ok())?
        })
}
