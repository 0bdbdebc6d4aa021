//! The ends of a Dovecot that a test brings about: [`Dovecot::restart`], and the death of its sessions.

use super::{CONFIGURATION, Dovecot, configuration::SOCKETS};
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
    /// Stops it, which says goodbye to every session, and waits for its end.
    pub(crate) fn stop(&mut self) {
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
        let master = self.master().to_string();
        let mut killed = 0;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // `123 (imap) S 45 …`: the name, the state, the parent.
            let Some((pid, rest)) = stat.split_once(" (imap) ") else {
                continue;
            };
            if rest.split(' ').nth(1) == Some(master.as_str())
                && let Ok(pid) = pid.parse()
            {
                killed += usize::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
            }
        }
        killed
    }

    fn master(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}
