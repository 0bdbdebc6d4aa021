//! A TCP proxy between one process and Postgres that fails as networks do. See [`Proxy`].
//!
//! Knows of the protocol only what the answer to a commit looks like.

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

/// A way to Postgres that can be made to fail; it ends with the value.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Control {
    upstream: SocketAddr,
    /// Connections live as long as the number with which they began.
    generation: watch::Sender<u64>,
    /// While true nothing is read and nothing is forwarded.
    hole: watch::Sender<bool>,
    delay_ms: AtomicU64,
    replies_to_lose: AtomicU64,
    replies_lost: AtomicU64,
}

impl Proxy {
    /// Listens on a free port of this machine and forwards to another one.
    ///
    /// # Errors
    /// If there is no free port.
    pub(super) async fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let control = Arc::new(Control {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            generation: watch::Sender::new(0),
            hole: watch::Sender::new(false),
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

    /// Closes every connection; new ones are let through.
    pub(super) fn cut(&self) {
        self.control.generation.send_modify(|number| *number += 1);
    }

    /// From now on nothing comes through, and nobody is told.
    pub(super) fn open_hole(&self) {
        self.control.hole.send_replace(true);
    }

    /// Lets new connections through; those that were swallowed are gone.
    pub(super) fn close_hole(&self) {
        self.cut();
        self.control.hole.send_replace(false);
    }

    /// Delays every packet from now on.
    pub(super) fn delay(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.control.delay_ms.store(delay, Ordering::Relaxed);
    }

    /// The next commit's answer never arrives, but its connection ends.
    pub(super) fn lose_reply(&self) {
        self.control.replies_to_lose.fetch_add(1, Ordering::Relaxed);
    }

    /// How many commits have landed whose answer was dropped.
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
    /// Takes one of the replies that are to be lost.
    fn loses_this_one(&self) -> bool {
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
        // Refused for a moment, for example for want of descriptors.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let control = control.clone();
        tokio::spawn(async move {
            // An end of either side is the end of the connection; there is nobody to report to.
            drop(carry(client, &control).await);
        });
    }
}

async fn carry(client: TcpStream, control: &Control) -> io::Result<()> {
    let mut generation = control.generation.subscribe();
    let server = TcpStream::connect(control.upstream).await?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        // A reset instead of a goodbye, as after a crash.
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
    let mut hole = control.hole.subscribe();
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
        // Kept back for as long as the hole is open; the connections of that time are cut with its end.
        drop(hole.wait_for(|open| !open).await);
        if watches == Watches::Commits && commits(packet) && control.loses_this_one() {
            return Ok(());
        }
        to.write_all(packet).await?;
    }
}

/// Whether this packet tells that something was committed. A packet is what Postgres flushed at once: the end of a
/// statement and `ReadyForQuery` come together.
fn commits(packet: &[u8]) -> bool {
    let holds = |needle: &[u8]| packet.windows(needle.len()).any(|window| window == needle);
    holds(COMMITTED) || (packet.ends_with(IDLE) && WRITES.iter().any(|tag| holds(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_from_a_statement_inside_a_transaction() {
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

    async fn asked(stream: &mut TcpStream, packet: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(packet).await?;
        let mut answer = vec![0; packet.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_reply_is_lost_once_and_its_connection_with_it() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))
            .await
            .unwrap();
        proxy.lose_reply();
        assert_eq!(asked(&mut stream, b"hello").await.unwrap(), b"hello");
        assert!(asked(&mut stream, COMMITTED).await.is_err());
        assert_eq!(proxy.replies_lost(), 1);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))
            .await
            .unwrap();
        assert_eq!(asked(&mut stream, COMMITTED).await.unwrap(), COMMITTED);
    }

    #[tokio::test]
    async fn a_hole_swallows_and_ends_with_the_connection() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port))
            .await
            .unwrap();
        assert_eq!(asked(&mut stream, b"a").await.unwrap(), b"a");
        proxy.open_hole();
        let swallowed = tokio::time::timeout(Duration::from_millis(50), asked(&mut stream, b"b"));
        assert!(swallowed.await.is_err());
        proxy.close_hole();
        assert!(asked(&mut stream, b"c").await.is_err());
    }
}
