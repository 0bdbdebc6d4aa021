//! Behind PgBouncer in transaction mode: with a version that keeps prepared statements everything works, and an older one
//! is refused with a word.

use super::{Address, email};
use crate::support::{
    TestDb, eventually,
    process::Process,
    system::{Api, Worker},
    wait::SOON,
};
use std::{
    net::TcpListener,
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
};

/// A running PgBouncer; ends with its value.
struct PgBouncer {
    child: Child,
    port: u16,
    keeps_prepared_statements: bool,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// `None` if the machine has none.
    async fn start(db: &TestDb) -> Option<Self> {
        let version = Command::new("pgbouncer").arg("--version").output().ok()?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let minor: u32 = version.split('.').nth(1)?.parse().ok()?;
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let folder = tempfile::tempdir().expect("a folder");
        let ini = folder.path().join("pgbouncer.ini");
        std::fs::write(&ini, configuration(db, port)).expect("write the configuration");
        let mut command = Command::new("pgbouncer");
        if nix::unistd::Uid::effective().is_root() {
            // It refuses to run as root.
            std::os::unix::fs::chown(folder.path(), Some(65534), Some(65534)).expect("hand over");
            std::os::unix::fs::chown(&ini, Some(65534), Some(65534)).expect("hand over");
            command.uid(65534).gid(65534);
        }
        let child = command
            .arg(&ini)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start PgBouncer");
        eventually(SOON, async || {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Some(Self {
            child,
            port,
            keeps_prepared_statements: minor >= 24,
            _folder: folder,
        })
    }

    fn url(&self, db: &TestDb) -> String {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            ..Address::of(db)
        }
        .url()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Fails only when it ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn configuration(db: &TestDb, listen_port: u16) -> String {
    let Address {
        user,
        password,
        host,
        port,
        ..
    } = Address::of(db);
    format!(
        "[databases]\n* = host={host} port={port} user={user} password='{password}'\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen_port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = 10\nmax_client_conn = 500\n"
    )
}

#[tokio::test]
async fn transaction_pooler_serves_both_processes_or_is_refused_with_a_word() {
    let db = TestDb::new().await;
    let Some(pooler) = PgBouncer::start(&db).await else {
        eprintln!("not run: this machine has no pgbouncer");
        return;
    };
    let (url, direct) = (pooler.url(&db), db.url());
    let variables = [
        ("DATABASE_URL", &*url),
        ("DATABASE_LISTEN_URL", &*direct),
        ("API_ADDR", "127.0.0.1:0"),
        ("API_OPS_ADDR", "127.0.0.1:0"),
        ("LLM_TESTING_MODE", "true"),
    ];
    let mut process = Process::spawn("postroom-api", &["serve"], &variables);
    if !pooler.keeps_prepared_statements {
        let ended = process.ended().await;
        assert!(!ended.status.success());
        assert!(
            ended.stderr.contains("PgBouncer 1.21 or newer"),
            "{}",
            ended.stderr
        );
        return;
    }
    let (addr, ops) = (process.addr("api").await, process.addr("ops").await);
    let api = Api { process, addr, ops };
    let worker = Worker::spawn_with(&db, &variables).await;
    let client = api.sign_in(&db).await;
    for n in 1..=20 {
        let id = client.submitted(&email(n), &format!("k{n}")).await;
        assert_eq!(client.finished(&id).await["state"], "succeeded");
    }
    for log in [api.process.log(), worker.process.log()] {
        assert!(!log.contains("no transaction in progress"), "{log}");
    }
}

#[tokio::test]
async fn migrations_through_a_transaction_pooler_apply_each_file_once_and_leave_no_lock() {
    let db = TestDb::unmigrated().await;
    let Some(pooler) = PgBouncer::start(&db).await else {
        eprintln!("not run: this machine has no pgbouncer");
        return;
    };
    if !pooler.keeps_prepared_statements {
        return;
    }
    let url = pooler.url(&db);
    let migrations: Vec<_> = (0..4)
        .map(|_| Process::spawn("postroom-api", &["migrate"], &[("DATABASE_URL", &url)]))
        .collect();
    let mut applied = 0;
    for migration in migrations {
        let ended = migration.ended().await;
        assert!(ended.status.success(), "{}", ended.stderr);
        applied += usize::from(ended.stdout.starts_with("applied"));
    }
    assert_eq!(applied, 1, "one works, the others find nothing to do");
    let locks = "select count(*) from pg_locks where locktype = 'advisory'
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(db.one::<i64>(locks).await, 0);
}
