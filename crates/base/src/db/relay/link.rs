//! [`Link`]: one connection through the relay, and whether the server owes it an answer.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const BUFFER: usize = 32 * 1024;
/// How long the relay passes on what the server sent before it closed.
const FINAL_MESSAGE_TIMEOUT: Duration = Duration::from_secs(1);
/// A message "ready for query" up to its last byte, which is the state of the transaction: the end of every answer.
const READY: [u8; 5] = *b"Z\0\0\0\x05";
/// The server's answer to a request for TLS; what follows cannot be read.
const TLS: &[u8] = b"S";

/// Counts milliseconds, so that a moment fits into an atomic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// At least 1, because 0 stands for "never".
    fn now(self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis())
            .map_or(u64::MAX, |now| now.saturating_add(1))
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    clock: Clock,
    /// When the client or the server last sent a part of an exchange that is not complete; 0 if the server owes nothing.
    waiting: AtomicU64,
    received: AtomicU64,
    was_answered: AtomicBool,
    is_encrypted: AtomicBool,
    closed: CancellationToken,
}

impl Link {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            waiting: AtomicU64::new(0),
            received: AtomicU64::new(clock.now()),
            was_answered: AtomicBool::new(false),
            is_encrypted: AtomicBool::new(false),
            closed: CancellationToken::new(),
        }
    }

    /// The moment since which the server has owed an answer, if that is longer ago than `limit`.
    pub(super) fn waits_since(&self, limit: Duration) -> Option<u64> {
        let since = self.waiting.load(Ordering::Relaxed);
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        (since > 0 && self.clock.now().saturating_sub(since) > limit).then_some(since)
    }

    /// Whether the server owes nothing and has sent nothing since then.
    pub(super) fn is_idle_since(&self, moment: u64) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && self.received.load(Ordering::Relaxed) < moment
    }

    /// Whether the server ever sent anything.
    pub(super) fn was_answered(&self) -> bool {
        self.was_answered.load(Ordering::Relaxed)
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Passes bytes both ways until one side ends or the link is closed.
    pub(super) async fn pass(&self, mut client: UnixStream, mut server: TcpStream) {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut down = std::pin::pin!(self.pass_down(from_server, to_client));
        tokio::select! {
            _ = &mut down => {}
            sent = self.pass_up(from_client, to_server) => {
                // A server that ends a session says why before it closes.
                if sent.is_err() {
                    let _ended = timeout(FINAL_MESSAGE_TIMEOUT, down).await;
                }
            }
            () = self.closed.cancelled() => {}
        }
    }

    async fn pass_up(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            self.waiting.store(self.clock.now(), Ordering::Relaxed);
            to.write_all(&buffer[..read]).await?;
        }
    }

    async fn pass_down(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut end = End::default();
        let mut is_first = true;
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            let bytes = &buffer[..read];
            if std::mem::take(&mut is_first) && bytes == TLS {
                self.is_encrypted.store(true, Ordering::Relaxed);
            }
            end.push(bytes);
            self.note_received(end.is_ready());
            // While the client does not read, it is not the server that is silent.
            let owed = self.waiting.swap(0, Ordering::Relaxed) > 0;
            to.write_all(bytes).await?;
            if owed {
                self.waiting.store(self.clock.now(), Ordering::Relaxed);
            }
        }
    }

    /// An answer that is not complete is waited for on, unless encryption hides where it ends.
    fn note_received(&self, is_ready: bool) {
        let now = self.clock.now();
        self.received.store(now, Ordering::Relaxed);
        self.was_answered.store(true, Ordering::Relaxed);
        if is_ready || self.is_encrypted.load(Ordering::Relaxed) {
            self.waiting.store(0, Ordering::Relaxed);
        } else if self.waiting.load(Ordering::Relaxed) > 0 {
            self.waiting.store(now, Ordering::Relaxed);
        }
    }
}

/// The last bytes that the server sent.
#[derive(Default)]
struct End {
    last: [u8; 6],
}

impl End {
    fn push(&mut self, bytes: &[u8]) {
        let kept = self.last.len();
        if bytes.len() >= kept {
            self.last.copy_from_slice(&bytes[bytes.len() - kept..]);
        } else {
            self.last.rotate_left(bytes.len());
            self.last[kept - bytes.len()..].copy_from_slice(bytes);
        }
    }

    fn is_ready(&self) -> bool {
        self.last[..READY.len()] == READY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_an_answer_is_found_across_reads() {
        let mut end = End::default();
        end.push(b"C\0\0\0\x0dSELECT 1\0Z\0\0");
        assert!(!end.is_ready());
        end.push(b"\0\x05");
        assert!(!end.is_ready(), "the state is still to come");
        end.push(b"I");
        assert!(end.is_ready());
        end.push(b"A\0\0\0\x10");
        assert!(!end.is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn answer_is_owed_from_the_request_to_its_end_and_idle_links_owe_none() {
        let limit = Duration::from_secs(15);
        let link = Link::new(Clock::start());
        tokio::time::advance(limit * 2).await;
        assert_eq!(link.waits_since(limit), None);

        link.waiting.store(link.clock.now(), Ordering::Relaxed);
        let asked = link.clock.now();
        tokio::time::advance(limit).await;
        link.note_received(false);
        tokio::time::advance(limit).await;
        assert_eq!(link.waits_since(limit), None, "a part has come");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(link.waits_since(limit).is_some());
        assert!(!link.is_idle_since(u64::MAX));

        link.note_received(true);
        tokio::time::advance(limit * 2).await;
        assert_eq!(link.waits_since(limit), None);
        assert!(link.is_idle_since(link.clock.now()) && !link.is_idle_since(asked));
    }

    #[tokio::test]
    async fn client_that_does_not_read_is_no_server_that_is_silent() {
        const MORE_THAN_FITS: usize = 16 * 1024 * 1024;
        let link = Link::new(Clock::start());
        link.waiting.store(link.clock.now(), Ordering::Relaxed);
        let (mut server, from_server) = tokio::io::duplex(64 * 1024);
        let (to_client, mut client) = tokio::io::duplex(64 * 1024);
        let sent = async {
            server.write_all(&vec![0; MORE_THAN_FITS]).await.unwrap();
            drop(server);
        };
        let passed = link.pass_down(from_server, to_client);
        let stuck = async {
            while link.waiting.load(Ordering::Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
            let mut read = Vec::new();
            let all = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut read);
            assert_eq!(all.await.unwrap(), MORE_THAN_FITS);
        };
        let all = async { tokio::join!(sent, passed, stuck) };
        let _sent = timeout(Duration::from_secs(10), all)
            .await
            .expect("the client is waited for");
        assert!(
            link.waiting.load(Ordering::Relaxed) > 0,
            "the end is still owed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn notification_on_an_idle_link_is_no_answer_that_is_owed() {
        let link = Link::new(Clock::start());
        link.note_received(false);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(link.waits_since(Duration::from_secs(15)), None);
    }
}
