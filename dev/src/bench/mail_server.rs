//! A Dovecot with many users, for one measurement: [`MailServer`].

use super::BenchError;
use crate::peers::{self, Dovecot, Syntax};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Group, Pid, Uid, User, chown};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

pub(super) const PASSWORD: &str = "of-the-bench";
/// What a server without IDLE offers.
const WITHOUT_IDLE: &str = "imap_capability = IMAP4rev1 UIDPLUS SPECIAL-USE\n";
const STARTED_IN: Duration = Duration::from_secs(30);

/// A running server; it ends with its value.
pub(super) struct MailServer {
    pub(super) port: u16,
    child: Child,
    folder: TempDir,
    owner: User,
}

impl MailServer {
    /// Starts it with so many users, whose names are [`name`]s.
    pub(super) async fn start(users: usize, can_idle: bool) -> Result<Self, BenchError> {
        let program = peers::dovecot()?;
        let folder = tempfile::tempdir().map_err(BenchError::MailServer)?;
        let owner = owner().map_err(BenchError::MailServer)?;
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .map_err(BenchError::MailServer)?
            .port();
        let spawn = || -> io::Result<Child> {
            let root = folder.path();
            // Its processes are not all of one user.
            fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
            fs::create_dir(root.join("mail"))?;
            give(&root.join("mail"), &owner)?;
            let lines =
                (0..users).map(|user| format!("{}:{{PLAIN}}{PASSWORD}::::::\n", name(user)));
            fs::write(root.join("users"), lines.collect::<String>())?;
            let mut text = settings(&program, root, &owner, port);
            if !can_idle {
                text += WITHOUT_IDLE;
            }
            let config = root.join("dovecot.conf");
            fs::write(&config, text)?;
            let sockets = root.join("base");
            fs::create_dir(&sockets)?;
            program
                .command(&sockets)?
                .args(["-F", "-c"])
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(root.join("stderr"))?)
                .spawn()
        };
        let child = spawn().map_err(BenchError::MailServer)?;
        let server = Self {
            port,
            child,
            folder,
            owner,
        };
        server.greets().await?;
        Ok(server)
    }

    async fn greets(&self) -> Result<(), BenchError> {
        let deadline = Instant::now() + STARTED_IN;
        loop {
            let greeted = async {
                let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
                stream.read_u8().await
            };
            match greeted.await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(BenchError::MailServer(error));
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Puts an email into a user's inbox, as a delivery would.
    pub(super) fn deliver(&self, user: usize, unique: &str, text: &str) -> Result<(), BenchError> {
        let inbox = self.folder.path().join("mail").join(name(user));
        let put = || -> io::Result<()> {
            for part in ["cur", "new", "tmp"] {
                let part = inbox.join(part);
                if !part.exists() {
                    fs::create_dir_all(&part)?;
                    give(&inbox, &self.owner)?;
                    give(&part, &self.owner)?;
                }
            }
            let tmp = inbox.join("tmp").join(unique);
            fs::write(&tmp, text)?;
            give(&tmp, &self.owner)?;
            fs::rename(tmp, inbox.join("new").join(unique))
        };
        put().map_err(BenchError::MailServer)
    }

    /// The connections to it that are open, seen from its clients.
    pub(super) fn connections(&self) -> Result<usize, BenchError> {
        let path = PathBuf::from("/proc/net/tcp");
        let table =
            fs::read_to_string(&path).map_err(|source| BenchError::File { path, source })?;
        Ok(established(&table, self.port))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // Not killed: it ends its own processes.
        let _ = kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        );
        drop(self.child.wait());
    }
}

/// The login of a user.
pub(super) fn name(user: usize) -> String {
    format!("user{user}")
}

/// Counts the established connections to a port in the text of `/proc/net/tcp`.
fn established(table: &str, port: u16) -> usize {
    let remote = format!(":{port:04X}");
    let is_ours = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields
            .next()
            .is_some_and(|address| address.ends_with(&remote))
            && fields.next() == Some("01")
    };
    table.lines().filter(is_ours).count()
}

/// Dovecot refuses to read mail as root, and another user can only use their own id.
fn owner() -> io::Result<User> {
    let found = if Uid::effective().is_root() {
        User::from_name("mail")
    } else {
        User::from_uid(Uid::effective())
    };
    found?.ok_or_else(|| io::Error::other("there is no user to keep mail"))
}

fn give(path: &Path, owner: &User) -> io::Result<()> {
    if Uid::effective().is_root() {
        chown(path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

fn group(gid: Gid) -> String {
    let found = Group::from_gid(gid).ok().flatten();
    found.map_or_else(|| gid.to_string(), |group| group.name)
}

fn settings(program: &Dovecot, root: &Path, owner: &User, port: u16) -> String {
    let (shown, uid, gid) = (root.display(), owner.uid, owner.gid);
    let login_user = if Uid::effective().is_root() {
        "nobody"
    } else {
        &owner.name
    };
    let mut text = match program.syntax {
        Syntax::V2_3 => format!(
            "disable_plaintext_auth = no\nmail_location = maildir:{shown}/mail/%u\n\
             passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN username_format=%u {shown}/users\n}}\n\
             userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={shown}/mail/%u\n}}\n"
        ),
        Syntax::V2_4 => format!(
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\nauth_allow_cleartext = yes\n\
             mail_driver = maildir\nmail_path = {shown}/mail/%{{user}}\n\
             passdb passwd-file {{\n  passwd_file_path = {shown}/users\n}}\n\
             userdb static {{\n  fields {{\n    uid = {uid}\n    gid = {gid}\n    home = {shown}/mail/%{{user}}\n  }}\n}}\n"
        ),
    };
    text += &program.settings();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {login_user}\n\
         protocols = imap\nlisten = 127.0.0.1\nbase_dir = {shown}/base\nstate_dir = {shown}/state\n\
         log_path = {shown}/log\nfirst_valid_uid = 1\nssl = no\n\
         service imap-login {{\n  chroot =\n  process_limit = 1000\n  inet_listener imap {{\n    port = {port}\n  }}\n  \
         inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
         service anvil {{\n  chroot =\n}}\nservice stats {{\n  chroot =\n}}\n",
        user = owner.name,
        group = group(owner.gid),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::established;

    #[test]
    fn connections_to_the_port_are_counted_from_the_side_of_the_client() {
        let table = "  sl  local_address rem_address   st tx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000
   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000";
        assert_eq!(established(table, 8080), 1);
    }
}
