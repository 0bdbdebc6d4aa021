//! Child processes that never outlive this process, even after SIGKILL. See [`Supervised`].
//!
//! A small `sh` supervisor holds the read end of a pipe. A line in the pipe is a signal to pass on; the end of the pipe means
//! that this process is gone, and the supervisor stops the program. Linux's parent-death signal would need unsafe code, and
//! fires when the spawning *thread* ends.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// `$1` log, `$2` signal for an orphan, `$3` folder to remove once orphaned and ended (or empty), then the program.
const SUPERVISOR: &str = r#"
log=$1 orphaned=$2 trash=$3; shift 3
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"
exec >/dev/null 2>&1
(
    while read -r signal <&3; do kill -s "$signal" "$child"; done
    kill -s "$orphaned" "$child"
    exit 7
) &
watcher=$!
exec 3<&-
wait "$child"; status=$?
kill "$watcher"
wait "$watcher"
if [ $? = 7 ] && [ -n "$trash" ]; then rm -rf "$trash"; fi
exit "$status"
"#;

const POLL: Duration = Duration::from_millis(10);

/// A running program in its own process group, so that Ctrl-C does not reach it directly.
///
/// Dropping it stops the program and waits; after ten seconds, it is killed.
#[derive(Debug)]
pub struct Supervised {
    shell: Child,
    /// None after the pipe was closed.
    orders: Option<ChildStdin>,
    pid: i32,
    ended: Option<ExitStatus>,
    last_order: Signal,
}

/// How to run the program.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a> {
    pub program: &'a Path,
    /// Receives standard output and error, appended.
    pub log: &'a Path,
    /// The signal that stops the program, on drop and when this process is gone.
    pub stop: Signal,
    /// A folder to remove if this process dies without stopping the program.
    pub trash: Option<&'a Path>,
}

impl Supervised {
    /// Starts the program; `configure` adds arguments, variables and the user.
    ///
    /// # Errors
    /// If `sh` cannot be started. A program that cannot be started ends with 126 or 127.
    pub fn spawn(spec: &Spec<'_>, configure: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args([
                OsStr::new("-c"),
                OsStr::new(SUPERVISOR),
                OsStr::new("supervise"),
                spec.log.as_os_str(),
            ])
            .arg(name_of(spec.stop))
            .arg(spec.trash.map_or(OsStr::new(""), Path::as_os_str))
            .arg(spec.program);
        configure(&mut command);
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = shell.stdin.take();
        let pid = shell
            .stdout
            .take()
            .and_then(|stdout| BufReader::new(stdout).lines().next());
        let pid = match pid {
            Some(line) => line?.trim().parse().map_err(io::Error::other)?,
            None => {
                return Err(io::Error::other(
                    "the supervisor ended before it started the program",
                ));
            }
        };
        Ok(Self {
            shell,
            orders,
            pid,
            ended: None,
            last_order: spec.stop,
        })
    }

    /// The program's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns the exit status, if the program has ended.
    ///
    /// # Errors
    /// If the process table cannot be read.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.shell.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Sends a signal to the program. Ignores a program that has ended.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(orders) = &mut self.orders {
            // The pipe is broken if the program has ended.
            drop(writeln!(orders, "{}", name_of(signal)));
        }
    }

    /// Sends the signal and waits; kills the program at the time limit.
    ///
    /// # Errors
    /// If the process table cannot be read.
    pub fn end(&mut self, signal: Signal, limit: Duration) -> io::Result<ExitStatus> {
        self.signal(signal);
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.try_wait()? {
                self.orders = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                // The supervisor, its watcher and the program share one group.
                let _ = killpg(
                    Pid::from_raw(self.shell.id().cast_signed()),
                    Signal::SIGKILL,
                );
                let status = self.shell.wait()?;
                self.ended = Some(status);
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if self.ended.is_none() {
            drop(self.end(self.last_order, Duration::from_secs(10)));
        }
    }
}

/// Returns `INT` for SIGINT, the only form that every `kill` accepts.
fn name_of(signal: Signal) -> &'static str {
    let name = signal.as_str();
    name.strip_prefix("SIG").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sh(script: &str, log: &Path) -> Supervised {
        let spec = Spec {
            program: Path::new("/bin/sh"),
            log,
            stop: Signal::SIGTERM,
            trash: None,
        };
        Supervised::spawn(&spec, |command| {
            command.args(["-c", script]);
        })
        .unwrap()
    }

    fn is_alive(pid: i32) -> bool {
        nix::sys::signal::kill(Pid::from_raw(pid), None).is_ok()
    }

    fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for: {what}");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn program_that_ends_by_itself_has_its_status() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut child = sh("echo hello; exit 3", &log);
        wait_until("the end", || child.try_wait().unwrap().is_some());
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
        assert_eq!(fs::read_to_string(log).unwrap(), "hello\n");
    }

    #[test]
    fn dropped_program_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let child = sh("exec sleep 600", &folder.path().join("log"));
        let pid = child.pid();
        assert!(is_alive(pid));
        drop(child);
        assert!(!is_alive(pid));
    }

    #[test]
    fn program_that_ignores_the_signal_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut child = sh(
            "trap '' TERM; echo ready; while :; do sleep 600; done",
            &log,
        );
        wait_until("the trap", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))
        });
        child
            .end(Signal::SIGTERM, Duration::from_millis(100))
            .unwrap();
        wait_until("the program's end", || !is_alive(child.pid()));
    }

    #[test]
    fn orphan_is_stopped_and_its_folder_removed() {
        let folder = tempfile::tempdir().unwrap();
        let trash = folder.path().join("trash");
        fs::create_dir(&trash).unwrap();
        let spec = Spec {
            program: Path::new("/bin/sleep"),
            log: &folder.path().join("log"),
            stop: Signal::SIGTERM,
            trash: Some(&trash),
        };
        let mut child = Supervised::spawn(&spec, |command| {
            command.arg("600");
        })
        .unwrap();
        // What the kernel does to our end of the pipe when we are killed.
        child.orders = None;
        wait_until("the orphan's end", || !is_alive(child.pid()));
        wait_until("the removal", || !trash.exists());
    }
}
