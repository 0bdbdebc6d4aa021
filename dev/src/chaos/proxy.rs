//! A TCP proxy between one process and Postgres that simulates network faults. See [`Proxy`].
//!
//! Knows only how the reply to a commit looks in the protocol.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// `CommandComplete` of a COMMIT: type, length, tag.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
/// `ReadyForQuery` outside any transaction.
const IDLE: &[u8] = b"Z\0\0\0\x05I";
/// Tags of statements that commit by themselves.
const WRITES: [&[u8]; 3] = [b"INSERT 0 ", b"UPDATE ", b"DELETE "];

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Control {
    upstream: SocketAddr,
    /// Connections end when this number changes.
    generation: watch::Sender<u64>,
    /// While true, nothing is forwarded.
    blackhole: watch::Sender<bool>,
    delay_ms: AtomicU64,
    replies_to_lose: AtomicU64,
    replies_lost: AtomicU64,
}

impl Proxy {
    /// Listens on a free port of this machine and forwards to another.
    ///
    /// # Errors
    /// If there is no free port.
    pub(super) async fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let control = Arc::new(Control {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            generation: watch::Sender::new(0),
            blackhole: watch::Sender::new(false),
            delay_ms: AtomicU64::new(0),
            replies_to_lose: AtomicU64::new(0),
            replies_lost: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, control.clone()));
        Ok(Self {
            port: own,
            control,
            accepting,
        })
    }

    /// Closes every connection; new ones are accepted.
    pub(super) fn cut(&self) {
        self.control.generation.send_modify(|number| *number += 1);
    }

    /// Stops forwarding without closing connections.
    pub(super) fn open_blackhole(&self) {
        self.control.blackhole.send_replace(true);
    }

    /// Closes the stalled connections and forwards new ones.
    pub(super) fn close_blackhole(&self) {
        self.cut();
        self.control.blackhole.send_replace(false);
    }

    /// Delays every packet from now on.
    pub(super) fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.control.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// Closes the connection of the next commit before its reply.
    pub(super) fn lose_reply(&self) {
        self.control.replies_to_lose.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of commits whose reply was dropped.
    pub(super) fn replies_lost(&self) -> u64 {
        self.control.replies_lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Control {
    /// Takes one of the replies to drop.
    fn take_reply_to_lose(&self) -> bool {
        let taken =
            self.replies_to_lose
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                });
        if taken.is_ok() {
            self.replies_lost.fetch_add(1, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

async fn accept(listener: TcpListener, control: Arc<Control>) {
    loop {
        // A temporary failure, for example too few file descriptors.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let control = control.clone();
        tokio::spawn(async move {
            // The end of either side ends the connection.
            drop(carry(client, &control).await);
        });
    }
}

async fn carry(client: TcpStream, control: &Control) -> io::Result<()> {
    let mut generation = control.generation.subscribe();
    let server = TcpStream::connect(control.upstream).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        // Resets the connection instead of closing it, as after a crash.
        stream.set_zero_linger()?;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        _ = generation.changed() => Ok(()),
        ended = pump(from_client, to_server, control, Watches::Nothing) => ended,
        ended = pump(from_server, to_client, control, Watches::Commits) => ended,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watches {
    Nothing,
    Commits,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    control: &Control,
    watches: Watches,
) -> io::Result<()> {
    let mut blackhole = control.blackhole.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let packet = &buffer[..read];
        let delay = control.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        // Waits while the black hole is open; its end cuts the connections of that time.
        drop(blackhole.wait_for(|open| !open).await);
        if watches == Watches::Commits && commits(packet) && control.take_reply_to_lose() {
            return Ok(());
        }
        to.write_all(packet).await?;
    }
}

/// Returns whether the packet reports a commit. Postgres flushes the end of a statement and `ReadyForQuery` in one packet.
fn commits(packet: &[u8]) -> bool {
    let holds = |needle: &[u8]| packet.windows(needle.len()).any(|window| window == needle);
    holds(COMMITTED) || (packet.ends_with(IDLE) && WRITES.iter().any(|tag| holds(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_is_distinguished_from_a_statement_inside_a_transaction() {
        assert!(commits(b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I"));
        assert!(commits(b"C\0\0\0\x0dUPDATE 1\0Z\0\0\0\x05I"));
        assert!(!commits(b"C\0\0\0\x0dUPDATE 1\0Z\0\0\0\x05T"));
        assert!(!commits(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I"));
    }

    async fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        port
    }

    async fn exchange(stream: &mut TcpStream, packet: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(packet).await?;
        let mut answer = vec![0; packet.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn reply_is_lost_once_with_its_connection() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))
            .await
            .unwrap();
        proxy.lose_reply();
        assert_eq!(exchange(&mut stream, b"hello").await.unwrap(), b"hello");
        assert!(exchange(&mut stream, COMMITTED).await.is_err());
        assert_eq!(proxy.replies_lost(), 1);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))
            .await
            .unwrap();
        assert_eq!(exchange(&mut stream, COMMITTED).await.unwrap(), COMMITTED);
    }

    #[tokio::test]
    async fn black_hole_stalls_and_then_ends_the_connection() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))
            .await
            .unwrap();
        assert_eq!(exchange(&mut stream, b"a").await.unwrap(), b"a");
        proxy.open_blackhole();
        let stalled = tokio::time::timeout(Duration::from_millis(50), exchange(&mut stream, b"b"));
        assert!(stalled.await.is_err());
        proxy.close_blackhole();
        assert!(exchange(&mut stream, b"c").await.is_err());
    }
}
