//! The programs that tests speak with: each source of fetching them that changes nothing in the system works.

use super::asks_registries;
use crate::support::{
    certificates::Certificates,
    dovecot::{Dovecot, PASSWORD, USER},
};
use dev::peers::{Missing, Peer, PeerSource, fetch_all};
use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Command};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// An empty cache, which Dovecot's users can read.
fn cache() -> TempDir {
    let cache = tempfile::tempdir().unwrap();
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
    cache
}

async fn fetched(peers: &'static [Peer], cache: &TempDir, source: PeerSource) -> Vec<Missing> {
    let folder = cache.path().to_owned();
    let fetching = tokio::task::spawn_blocking(move || fetch_all(peers, &folder, Some(source)));
    fetching.await.unwrap()
}

/// Fetches into an empty cache, and nothing unfinished is left there; `None` where no test may or can do that.
async fn unpacked(peers: &'static [Peer]) -> Option<TempDir> {
    if !asks_registries("unpacking Debian packages") {
        return None;
    }
    if Command::new("apt-get").arg("--version").output().is_err() {
        eprintln!("not run, this machine has no apt-get");
        return None;
    }
    let cache = cache();
    let missing = fetched(peers, &cache, PeerSource::Deb).await;
    assert!(missing.is_empty(), "{missing:?}");
    let mut left: Vec<_> = fs::read_dir(cache.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.retain(|name| name.starts_with("fetching-"));
    assert_eq!(left, [""; 0]);
    Some(cache)
}

/// Fetching runs each of them once.
#[tokio::test]
async fn programs_are_unpacked_from_debian_packages() {
    drop(unpacked(&[Peer::Prometheus, Peer::Libfaketime, Peer::PgBouncer]).await);
}

/// For a Python without pip.
#[tokio::test]
async fn python_servers_are_fetched_with_the_pip_of_a_debian_package() {
    drop(unpacked(&[Peer::PythonServers]).await);
}

#[tokio::test]
async fn dovecot_unpacked_from_its_debian_package_lets_its_user_in() {
    let Some(cache) = unpacked(&[Peer::Dovecot]).await else {
        return;
    };
    let program = dev::peers::Dovecot::in_cache(cache.path()).unwrap();
    let dovecot = Dovecot::run(&program, |_| {}).await;
    let mut stream = BufReader::new(
        TcpStream::connect(("127.0.0.1", dovecot.port))
            .await
            .unwrap(),
    );
    let login = format!("a login {USER} {PASSWORD}\r\n");
    stream.write_all(login.as_bytes()).await.unwrap();
    let mut lines = stream.lines();
    let mut answer = String::new();
    while !answer.starts_with("a ") {
        answer = lines.next_line().await.unwrap().expect("an answer");
    }
    assert!(answer.starts_with("a OK "), "{answer}\n{}", dovecot.log());

    // It greets only if it could load its TLS module, which lies at a path that is no setting.
    let certificates = Certificates::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    drop(Dovecot::run(&program, |it| it.tls = Some((&certificates, port))).await);
}

#[tokio::test]
async fn python_servers_come_from_pip() {
    if !asks_registries("aiosmtpd and Radicale from pip") {
        return;
    }
    let cache = cache();
    let missing = fetched(&[Peer::PythonServers], &cache, PeerSource::Pip).await;
    assert!(missing.is_empty(), "{missing:?}");
}
