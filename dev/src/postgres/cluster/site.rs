//! The folder of a cluster and everything done in it: creating it, launching Postgres on it. See [`Site`].
//! Does not know how long a cluster lives; that is [`Cluster`](super::Cluster).

use super::{ClusterError, DATABASE, Durability};
use crate::places::{Places, RunAs, hand_over, make_folder};
use crate::postgres::Binaries;
use crate::run::run;
use crate::supervised::{Spec, Supervised};
use base::hex;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY_IN: Duration = Duration::from_secs(60);
const LEFTOVER_STOPPED_IN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
const LOCALE: &str = if cfg!(target_os = "linux") {
    "C.UTF-8"
} else {
    "C"
};

/// A folder that holds `data/`, `password` and `postgres.log`, all owned by the user that Postgres runs as.
pub(super) struct Site {
    pub(super) binaries: Binaries,
    pub(super) folder: PathBuf,
    pub(super) password: String,
    keeping: Keeping,
}

/// What keeps the folder ours, and what becomes of it.
enum Keeping {
    /// Held as long as we use a kept folder.
    Kept { _lock: File },
    ThrownAway {
        _folder: TempDir,
        /// Postgres' own settings instead of those that suit tests.
        measured: bool,
    },
}

/// A Postgres that accepts connections.
pub(super) struct Running {
    pub(super) postgres: Supervised,
    pub(super) port: u16,
}

impl Site {
    /// The folder with a cluster in it that nobody uses.
    pub(super) fn prepare(
        binaries: Binaries,
        durability: Durability,
        places: &Places,
    ) -> Result<Self, ClusterError> {
        let site = Self::reserve(binaries, durability, places)?;
        if site.data().exists() {
            site.settle_leftovers()?;
        } else {
            site.create()?;
        }
        Ok(site)
    }

    /// The folder, whether there is a cluster in it or not.
    pub(super) fn reserve(
        binaries: Binaries,
        durability: Durability,
        places: &Places,
    ) -> Result<Self, ClusterError> {
        let measured = durability == Durability::Measured;
        let (folder, keeping) = match durability {
            Durability::Kept(root) => {
                // A major version cannot read another's files.
                let folder = root.join(format!("postgres-{}", binaries.major));
                make_folder(&folder, 0o700)?;
                let lock = lock(&folder)?;
                (folder, Keeping::Kept { _lock: lock })
            }
            Durability::ThrowAway | Durability::Measured => {
                let mut builder = tempfile::Builder::new();
                let folder = builder
                    .prefix("postroom-")
                    .tempdir_in(&places.throw_away)
                    .map_err(at(&places.throw_away))?;
                (
                    folder.path().to_owned(),
                    Keeping::ThrownAway {
                        _folder: folder,
                        measured,
                    },
                )
            }
        };
        hand_over(&folder).map_err(at(&folder))?;
        let password = password(&folder.join("password"))?;
        Ok(Self {
            binaries,
            folder,
            password,
            keeping,
        })
    }

    /// A launch on a free port, tried again if somebody else took the port in between.
    pub(super) fn launch(&self) -> Result<Running, ClusterError> {
        let mut attempts = 5;
        loop {
            attempts -= 1;
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr());
            let port = port.map_err(at("127.0.0.1:0"))?.port();
            match self.launch_on(port) {
                Err(ClusterError::NotReady { log })
                    if log.contains("could not bind") && attempts > 0 => {}
                other => return other,
            }
        }
    }

    pub(super) fn launch_on(&self, port: u16) -> Result<Running, ClusterError> {
        let log = self.folder.join("postgres.log");
        // One log for one run: the excerpt of a failure is of this failure.
        fs::write(&log, "")
            .and_then(|()| hand_over(&log))
            .map_err(at(&log))?;
        let program = self.binaries.bin.join("postgres");
        let trash = (!self.is_kept()).then_some(self.folder.as_path());
        let spec = Spec {
            program: &program,
            log: &log,
            stop: Signal::SIGINT,
            trash,
        };
        let mut postgres = Supervised::spawn(&spec, |command| {
            self.set_up(command);
            command
                .arg("-D")
                .arg(self.data())
                .args(["-p", &port.to_string()]);
            command.args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ]);
            if self.is_kept() {
                command.args(["-c", "max_connections=200"]);
            } else if !self.is_measured() {
                // Without fsync full-page images buy nothing, and many tests run at once.
                command.args([
                    "-c",
                    "fsync=off",
                    "-c",
                    "full_page_writes=off",
                    "-c",
                    "max_connections=600",
                ]);
            }
        })
        .map_err(ClusterError::Spawn)?;
        self.wait_until_ready(&mut postgres, &log)?;
        Ok(Running { postgres, port })
    }

    /// Postgres writes `ready` on the eighth line of its pid file; `pg_ctl` waits in the same way. Unlike a
    /// connection, the file cannot be answered by a stranger who took the port.
    fn wait_until_ready(&self, postgres: &mut Supervised, log: &Path) -> Result<(), ClusterError> {
        let deadline = Instant::now() + READY_IN;
        loop {
            let ended = postgres.try_wait().map_err(ClusterError::Stop)?.is_some();
            let pid_file = fs::read_to_string(self.pid_file()).unwrap_or_default();
            let mut lines = pid_file.lines().map(str::trim);
            let ours = lines.next() == Some(&postgres.pid().to_string());
            if !ended && ours && lines.nth(6) == Some("ready") {
                return Ok(());
            }
            if ended || Instant::now() > deadline {
                return Err(ClusterError::NotReady {
                    log: last_lines(log),
                });
            }
            std::thread::sleep(POLL);
        }
    }

    /// `initdb` and the application's database, made aside and renamed: a cluster that is there is whole.
    fn create(&self) -> Result<(), ClusterError> {
        let fresh = self.folder.join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(at(&fresh))?;
        }
        let create = |source| ClusterError::Create {
            folder: self.folder.clone(),
            source,
        };
        let mut initdb = self.command(&self.binaries.bin.join("initdb"));
        // Tests send the password over loopback in the clear: the handshake's 4096 rounds of HMAC in an unoptimised
        // client would slow down each of their thousands of connections.
        initdb.args([
            "--auth",
            if self.is_kept() {
                "scram-sha-256"
            } else {
                "password"
            },
        ]);
        initdb.args([
            "--username",
            DATABASE,
            "--encoding",
            "UTF8",
            "--locale",
            LOCALE,
        ]);
        initdb
            .arg("--pgdata")
            .arg(&fresh)
            .arg("--pwfile")
            .arg(self.folder.join("password"));
        if !self.is_kept() {
            initdb.arg("--no-sync");
        }
        run(&mut initdb).map_err(create)?;
        // Single-user mode, because not every package of Postgres brings psql or createdb.
        let mut single = self.command(Path::new("/bin/sh"));
        single.args([
            "-c",
            &format!(r#"echo "create database {DATABASE}" | "$0" --single -D "$1" postgres"#),
        ]);
        single.arg(self.binaries.bin.join("postgres")).arg(&fresh);
        run(&mut single).map_err(create)?;
        fs::rename(&fresh, self.data()).map_err(at(self.data()))
    }

    /// A pid file whose process is gone is Postgres' own business, but the number may belong to another program by
    /// now, which Postgres cannot tell; and one of ours may still be stopping, because its `cargo dev` was killed.
    fn settle_leftovers(&self) -> Result<(), ClusterError> {
        let Ok(text) = fs::read_to_string(self.pid_file()) else {
            return Ok(());
        };
        let Some(pid) = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok())
        else {
            return Ok(());
        };
        let deadline = Instant::now() + LEFTOVER_STOPPED_IN;
        while is_postgres_on(pid, &self.data()) {
            // Asking again does no harm, and ESRCH means that it has just gone.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
            if Instant::now() > deadline {
                return Err(ClusterError::Busy {
                    folder: self.folder.clone(),
                });
            }
            std::thread::sleep(POLL);
        }
        match fs::remove_file(self.pid_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(at(self.pid_file())(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn pid_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    fn is_kept(&self) -> bool {
        matches!(self.keeping, Keeping::Kept { .. })
    }

    fn is_measured(&self) -> bool {
        matches!(self.keeping, Keeping::ThrownAway { measured: true, .. })
    }

    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.set_up(&mut command);
        command
    }

    /// Postgres' own user and folder, and none of the caller's variables: PGDATA, PGOPTIONS and the like would
    /// speak to this cluster, too.
    fn set_up(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.folder)
            .env("LC_ALL", LOCALE)
            .env("TZ", "UTC");
        command.current_dir(&self.folder);
        if let Some(RunAs { uid, gid }) = RunAs::for_this_user() {
            command.uid(uid).gid(gid);
        }
    }
}

/// The superuser's password: made with the cluster, kept beside its data for the owner's eyes only.
fn password(path: &Path) -> Result<String, ClusterError> {
    match fs::read_to_string(path) {
        Ok(text) if !text.is_empty() => return Ok(text),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(path)(error)),
        _ => {}
    }
    let mut random = [0u8; 16];
    let source = "/dev/urandom";
    File::open(source)
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(at(source))?;
    let password = hex(&random);
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .and_then(|()| hand_over(path))
        .map_err(at(path))?;
    Ok(password)
}

fn lock(folder: &Path) -> Result<File, ClusterError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClusterError::Busy {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> ClusterError {
    let path = path.into();
    move |source| ClusterError::Folder { path, source }
}

/// Whether this process is a Postgres that serves this very folder.
fn is_postgres_on(pid: i32, data: &Path) -> bool {
    let command_line = fs::read(format!("/proc/{pid}/cmdline"))
        .ok()
        .or_else(|| {
            run(Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]))
                .ok()
                .map(String::into_bytes)
        })
        .unwrap_or_default();
    let data = data.as_os_str().as_encoded_bytes();
    command_line
        .windows(data.len())
        .any(|window| window == data)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(6)..].join(" / ")
}
