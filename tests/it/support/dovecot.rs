//! A real IMAP server for one test: [`Dovecot`] keeps one user's mail in a folder that the test reads as files, so that
//! what is there is not told by the code under test.

mod configuration;
mod restarts;
mod user;

use super::{certificates::Certificates, eventually, wait::SOON};
pub(crate) use configuration::Configuration;
use nix::unistd::{Uid, User};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Child,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The user, and what opens the account.
pub(crate) const USER: &str = "ada";
pub(crate) const PASSWORD: &str = "hunter2-marked";

/// The file of its settings.
const CONFIGURATION: &str = "dovecot.conf";

/// A running server; it ends with its value.
pub(crate) struct Dovecot {
    child: Child,
    pub(crate) port: u16,
    folder: TempDir,
    owner: User,
    program: dev::peers::Dovecot,
}

/// An email as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredMessage {
    /// `INBOX`, `Sent` and so on.
    pub(crate) folder: String,
    /// Letters of Maildir: `S` seen, `F` flagged; and its keywords.
    pub(crate) flags: String,
    pub(crate) keywords: Vec<String>,
    pub(crate) text: String,
}

impl Dovecot {
    /// With folders for sent mail and for what was thrown away, as most servers have them.
    pub(crate) async fn start() -> Self {
        Self::start_configured(|_| {}).await
    }

    /// With only these capabilities.
    pub(crate) async fn start_with_capabilities(capabilities: &str) -> Self {
        Self::start_configured(|it| it.capabilities = Some(capabilities.to_owned())).await
    }

    /// With folders whose names begin so, separated so.
    pub(crate) async fn start_with_namespace(prefix: &'static str, separator: char) -> Self {
        Self::start_configured(|it| it.namespace = Some((prefix, separator))).await
    }

    /// Logs in over encrypted connections only: by STARTTLS on its port, and from the first byte on `tls_port`.
    pub(crate) async fn start_encrypted(certificates: &Certificates, tls_port: u16) -> Self {
        Self::start_configured(|it| it.tls = Some((certificates, tls_port))).await
    }

    async fn start_configured<'a>(configure: impl FnOnce(&mut Configuration<'a>)) -> Self {
        let program = dev::peers::dovecot().unwrap_or_else(|error| panic!("{error}"));
        Self::run(&program, configure).await
    }

    /// Runs this Dovecot and no other.
    pub(crate) async fn run<'a>(
        program: &dev::peers::Dovecot,
        configure: impl FnOnce(&mut Configuration<'a>),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (root, owner) = (folder.path(), owner());
        // Dovecot's processes are not all of one user.
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("open the folder");
        let mail = root.join("mail");
        fs::create_dir(&mail).expect("a folder for mail");
        give(&mail, &owner);
        fs::write(
            root.join("users"),
            format!("{USER}:{{PLAIN}}{PASSWORD}::::::\n"),
        )
        .expect("write the users");
        // It does not say which port it was given, so it is given one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let mut configuration = Configuration::new(port);
        configure(&mut configuration);
        fs::write(
            root.join(CONFIGURATION),
            configuration.text(root, &owner, program),
        )
        .expect("write the configuration");
        fs::create_dir(root.join(configuration::SOCKETS)).expect("a folder for sockets");
        let this = Self {
            child: restarts::spawn(program, root),
            port,
            folder,
            owner,
            program: program.clone(),
        };
        this.greets().await;
        this
    }

    /// Waits until it answers.
    async fn greets(&self) {
        eventually(SOON, async || {
            let greeted = async {
                let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
                let mut greeting = [0; 4];
                stream.read_exact(&mut greeting).await.map(|_| greeting)
            };
            match greeted.await {
                Ok(greeting) if &greeting == b"* OK" => Ok(()),
                other => Err(format!("{other:?}\n{}", self.log())),
            }
        })
        .await;
    }

    /// Puts an email into a folder, as a delivery would.
    pub(crate) fn deliver(&self, folder: &str, text: &str) {
        let maildir = self.maildir(folder);
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(part)).expect("make a folder");
        }
        let name = format!("{}.test", base::JobId::new());
        let (tmp, new) = (
            maildir.join("tmp").join(&name),
            maildir.join("new").join(&name),
        );
        fs::write(&tmp, text.replace("\r\n", "\n")).expect("write an email");
        let mail = self.folder.path().join("mail");
        for path in [&mail.join(USER), &maildir] {
            give(path, &self.owner);
            for part in ["cur", "new", "tmp"] {
                if path.join(part).exists() {
                    give(&path.join(part), &self.owner);
                }
            }
        }
        give(&tmp, &self.owner);
        fs::rename(tmp, new).expect("deliver an email");
    }

    /// Deletes a folder with its emails, as another program of its user does.
    pub(crate) fn delete_folder(&self, folder: &str) {
        fs::remove_dir_all(self.maildir(folder)).expect("delete a folder");
    }

    /// Makes the server give every email of a folder another UID under another UIDVALIDITY, as after a restore.
    pub(crate) fn forget_uids(&self, folder: &str) {
        for entry in fs::read_dir(self.maildir(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("dovecot-uidlist") || name.starts_with("dovecot.index") {
                fs::remove_file(entry.path()).expect("delete what numbers the emails");
            }
        }
    }

    /// Empties a folder and makes the server number new emails from 1 again under the same UIDVALIDITY, as after the restore of
    /// an old backup. The server must be stopped.
    pub(crate) fn turn_back_uids(&self, folder: &str) {
        let maildir = self.maildir(folder);
        let list = maildir.join("dovecot-uidlist");
        let numbered = fs::read_to_string(&list).expect("read what numbers the emails");
        // `3 V1764501234 N5 G…`: the version, UIDVALIDITY, UIDNEXT.
        let header = numbered.lines().next().expect("it has a header");
        let words = header
            .split(' ')
            .map(|word| if word.starts_with('N') { "N1" } else { word });
        let header: Vec<&str> = words.collect();
        self.forget_uids(folder);
        for part in ["cur", "new"] {
            for entry in fs::read_dir(maildir.join(part))
                .into_iter()
                .flatten()
                .flatten()
            {
                fs::remove_file(entry.path()).expect("delete an email");
            }
        }
        fs::write(&list, format!("{}\n", header.join(" "))).expect("number the emails anew");
        give(&list, &self.owner);
    }

    /// All that is kept and was not deleted, by folder.
    pub(crate) fn kept(&self) -> Vec<StoredMessage> {
        let home = self.maildir("INBOX");
        let mut kept = emails_in("INBOX", &home);
        for entry in fs::read_dir(&home).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(folder) = name.strip_prefix('.') {
                kept.extend(emails_in(folder, &entry.path()));
            }
        }
        kept.sort_by(|a, b| (&a.folder, &a.text).cmp(&(&b.folder, &b.text)));
        kept
    }

    /// The lines of its log about users who logged in.
    pub(crate) fn logins(&self) -> Vec<String> {
        let log = self.log();
        let is_login = |line: &&str| ["Login:", "Logged in:"].iter().any(|it| line.contains(it));
        log.lines().filter(is_login).map(str::to_owned).collect()
    }

    /// What it has written down.
    pub(crate) fn log(&self) -> String {
        ["stderr", "log"]
            .iter()
            .filter_map(|name| fs::read_to_string(self.folder.path().join(name)).ok())
            .collect()
    }

    fn maildir(&self, folder: &str) -> PathBuf {
        let home = self.folder.path().join("mail").join(USER);
        if folder == "INBOX" {
            home
        } else {
            home.join(format!(".{folder}"))
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.end();
    }
}

/// Owner of the mail files: Dovecot refuses to read mail as root, and another user can only use their own id.
fn owner() -> User {
    let found = if Uid::effective().is_root() {
        User::from_name("mail")
    } else {
        User::from_uid(Uid::effective())
    };
    found.ok().flatten().expect("a user to keep mail")
}

fn give(path: &Path, owner: &User) {
    if Uid::effective().is_root() {
        nix::unistd::chown(path, Some(owner.uid), Some(owner.gid)).expect("give it away");
    }
}

fn emails_in(folder: &str, maildir: &Path) -> Vec<StoredMessage> {
    // Its line `0 label` says that the letter `a` stands for this keyword.
    let listed = fs::read_to_string(maildir.join("dovecot-keywords")).unwrap_or_default();
    let keyword = |letter: char| {
        let index = (u32::from(letter) - u32::from('a')).to_string();
        listed.lines().find_map(|line| {
            let (number, name) = line.split_once(' ')?;
            (number == index).then(|| name.to_owned())
        })
    };
    let mut kept = Vec::new();
    for part in ["cur", "new"] {
        for entry in fs::read_dir(maildir.join(part))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let letters = name.rsplit_once(":2,").map_or("", |(_, letters)| letters);
            // Renamed while we looked: the test looks again.
            let Ok(text) = fs::read_to_string(entry.path()) else {
                continue;
            };
            if letters.contains('T') {
                continue;
            }
            kept.push(StoredMessage {
                folder: folder.to_owned(),
                flags: letters.chars().filter(char::is_ascii_uppercase).collect(),
                keywords: letters
                    .chars()
                    .filter(char::is_ascii_lowercase)
                    .filter_map(keyword)
                    .collect(),
                text,
            });
        }
    }
    kept
}
