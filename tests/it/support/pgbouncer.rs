//! A real PgBouncer in front of a test's database: [`PgBouncer`], in transaction mode.

use super::{TestDb, eventually, wait::SOON};
use nix::unistd::Uid;
use reqwest::Url;
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    process::{Child, Stdio},
};
use tokio::net::TcpStream;

/// Who runs it for root: it refuses to run as root.
const NOBODY: u32 = 65534;

/// A running PgBouncer; ends with its value.
pub(crate) struct PgBouncer {
    child: Child,
    port: u16,
    pub(crate) keeps_prepared_statements: bool,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// With at most this many connections to the server.
    pub(crate) async fn start(db: &TestDb, server_connections: u32) -> Self {
        let program = dev::peers::pgbouncer().unwrap_or_else(|error| panic!("{error}"));
        // It does not say which port it was given, so it is given one that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let folder = tempfile::tempdir().expect("a folder");
        let ini = folder.path().join("pgbouncer.ini");
        let mut text = configuration(&url_of(db), port, server_connections);
        if program.keeps_prepared_statements {
            // The default since 1.24.
            text += "max_prepared_statements = 200\n";
        }
        fs::write(&ini, text).expect("write the configuration");
        let mut command = program.command();
        if Uid::effective().is_root() {
            for path in [folder.path(), &ini] {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("hand over");
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command
            .arg(&ini)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start PgBouncer");
        eventually(SOON, async || {
            let connected = TcpStream::connect(("127.0.0.1", port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        Self {
            child,
            port,
            keeps_prepared_statements: program.keeps_prepared_statements,
            _folder: folder,
        }
    }

    /// The URL of the same database through it.
    pub(crate) fn url(&self, db: &TestDb) -> String {
        let mut url = url_of(db);
        url.set_host(Some("127.0.0.1")).expect("a URL with a host");
        url.set_port(Some(self.port)).expect("a URL with a port");
        url.into()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // Fails only when it ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn url_of(db: &TestDb) -> Url {
    Url::parse(&db.url()).expect("a URL")
}

fn configuration(server: &Url, listen_port: u16, server_connections: u32) -> String {
    let host = server.host_str().expect("a host");
    let port = server.port().expect("a port");
    let user = server.username();
    let password = server.password().unwrap_or_default();
    format!(
        "[databases]\n* = host={host} port={port} user={user} password='{password}'\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen_port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = {server_connections}\nmax_client_conn = 500\n"
    )
}
