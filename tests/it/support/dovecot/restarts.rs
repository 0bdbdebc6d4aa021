//! The ends of a Dovecot that a test brings about: [`Dovecot::stop`] and [`Dovecot::start_again`], and the death of its sessions.

use super::{CONFIGURATION, Dovecot, SOON, configuration::SOCKETS, eventually};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

/// Starts it in a folder that has its settings.
pub(super) fn spawn(program: &dev::peers::Dovecot, root: &Path) -> Child {
    let sockets = root.join(SOCKETS);
    // A link that an earlier start made; it is made again.
    drop(fs::remove_file(sockets.join("usr")));
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(root.join("stderr"))
        .expect("create the log");
    program
        .command(&sockets)
        .expect("link its files")
        .args(["-F", "-c"])
        .arg(root.join(CONFIGURATION))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("start dovecot")
}

impl Dovecot {
    /// Stops it, which says goodbye to every session, and waits for the end of all its processes: a session that is still
    /// ending writes its own list of UIDs once more.
    pub(crate) async fn stop(&mut self) {
        let processes = self.processes();
        self.end();
        eventually(SOON, async || {
            let left: Vec<&Process> = processes.iter().filter(|it| it.is_running()).collect();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("still there: {left:?}"))
            }
        })
        .await;
    }

    /// Ends the process that ends all others.
    pub(super) fn end(&mut self) {
        // Not killed: it ends its own processes.
        let _ = kill(self.master(), Signal::SIGTERM);
        drop(self.child.wait());
    }

    /// Starts it again on its port, after [`Dovecot::stop`].
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.program, self.folder.path());
        self.greets().await;
    }

    /// Kills the processes that serve sessions; they say nothing more. Returns how many there were.
    pub(crate) fn kill_sessions(&self) -> usize {
        self.processes()
            .iter()
            .filter(|it| it.name == "imap" && kill(it.pid, Signal::SIGKILL).is_ok())
            .count()
    }

    /// Its processes but for the first.
    fn processes(&self) -> Vec<Process> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Process::read(Pid::from_raw(pid)))
            .filter(|it| it.parent == self.master())
            .collect()
    }

    fn master(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

/// A process of this machine.
#[derive(Debug)]
struct Process {
    pid: Pid,
    name: String,
    parent: Pid,
    has_ended: bool,
}

impl Process {
    /// Returns `None` if there is none with this id.
    fn read(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `123 (imap) S 45 …`: the name, the state, the parent.
        let (name, rest) = stat.split_once(" (")?.1.split_once(") ")?;
        let mut words = rest.split(' ');
        let state = words.next()?;
        Some(Self {
            pid,
            name: name.to_owned(),
            parent: Pid::from_raw(words.next()?.parse().ok()?),
            // Nobody may have asked how it ended.
            has_ended: state == "Z" || state == "X",
        })
    }

    fn is_running(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.name == self.name && !now.has_ended)
    }
}
