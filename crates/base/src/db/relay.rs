//! [`Relay`]: holds the TCP connections to Postgres, so that one that went silent is noticed.
//!
//! A failover behind an address, or a NAT entry that expired, leaves connections on which nothing comes and nothing is
//! closed. sqlx waits on them without a limit, and gives no access to its sockets. So it connects to an abstract Unix socket
//! of this process, and the relay passes the bytes on: it sets keepalive and the user timeout of TCP, it closes a
//! connection whose answer is overdue, and it tries the hosts of a URL in turn. TLS stays between sqlx and the server.
//! A round trip costs about 20 µs more, which statements that serve batches do not feel.
//!
//! Abstract sockets need no writable directory, exist on Linux only, and are open to other users of the machine: the relay
//! serves only its own process.

mod address;
mod link;

use super::hosts::Host;
use address::{AddressOrder, connect};
use link::{Clock, Link};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixListener, UnixStream},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The time for a server's first reply, and for connecting to any of its addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the relay tries to reach a server for one caller: Postgres restarts in less, and the caller has a timeout too.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Callers that find a server read-only at the same time move on by one host, not by one each.
const REJECT_INTERVAL: Duration = Duration::from_secs(1);

/// A running relay.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    state: Arc<State>,
    directory: String,
}

#[derive(Debug)]
struct State {
    hosts: Vec<Host>,
    /// The host that is tried first: the last one that served.
    preferred: AtomicUsize,
    rejected_at: Mutex<Option<Instant>>,
    addresses: AddressOrder,
    /// Why the last host that was tried took no connection; none since one took it.
    refusal: Mutex<Option<Refusal>>,
    answer_timeout: Duration,
    clock: Clock,
    links: Mutex<Vec<Arc<Link>>>,
}

/// A host that takes no connection.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) host: Host,
    pub(super) error: io::Error,
}

impl Relay {
    /// Starts a relay that serves until `stop` is set. An answer that is overdue by `answer_timeout` ends its connection.
    ///
    /// # Errors
    /// If the system has no abstract sockets.
    pub(super) fn start(
        hosts: Vec<Host>,
        port: u16,
        answer_timeout: Duration,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let directory = format!("\0postroom-{}", Uuid::now_v7());
        // The name that sqlx derives from a socket's directory, as libpq does.
        let listener = UnixListener::bind(format!("{directory}/.s.PGSQL.{port}"))?;
        let state = Arc::new(State {
            hosts,
            preferred: AtomicUsize::new(0),
            rejected_at: Mutex::default(),
            addresses: AddressOrder::default(),
            refusal: Mutex::default(),
            answer_timeout,
            clock: Clock::start(),
            links: Mutex::default(),
        });
        // Not in a tracker: the task holds nothing that must be finished, and ends with its pool.
        tokio::spawn(run(state.clone(), listener, stop));
        Ok(Self { state, directory })
    }

    /// The directory of the socket, for the options of a connection.
    pub(super) fn directory(&self) -> &str {
        &self.directory
    }

    /// Takes the reason why no server was reached, if the last host that was tried took no connection.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.state.refusal().take()
    }

    /// Tries the next host first from now on, because this one takes no writes.
    pub(super) fn reject_host(&self) {
        self.state.move_on();
    }
}

async fn run(state: Arc<State>, listener: UnixListener, stop: CancellationToken) {
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept_at = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((client, _)) if is_ours(&client) => {
                    tokio::spawn(serve(state.clone(), client));
                }
                Ok(_) => tracing::warn!("another process connected to the database relay; refused"),
                Err(error) => {
                    // No file descriptor is left: callers wait in the backlog meanwhile.
                    tracing::warn!(%error, "could not accept a connection of the database pool");
                    sleep(LAST_RETRY).await;
                }
            },
            _ = sweep.tick() => {
                // After a pause of this process, answers that came meanwhile are still to be read.
                if swept_at.elapsed() < SWEEP_INTERVAL * 3 {
                    state.sweep();
                }
                swept_at = Instant::now();
            }
        }
    }
}

fn is_ours(client: &UnixStream) -> bool {
    let peer = client.peer_cred().ok().and_then(|peer| peer.pid());
    peer.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id())
}

async fn serve(state: Arc<State>, client: UnixStream) {
    let Ok(server) = timeout(DIAL_TIMEOUT, state.dial()).await else {
        if let Some(Refusal { host, error }) = &*state.refusal() {
            let hosts = state.hosts.len();
            tracing::warn!(hosts, last = %host, %error, "no host of the database accepts connections");
        }
        // Closes the client's end, which sees a connection that failed.
        return;
    };
    let link = Arc::new(Link::new(state.clock));
    state.links().push(link.clone());
    let connected_at = Instant::now();
    link.pass(client, server).await;
    // A frozen server still accepts connections. A caller that gave up while this was dialling proves nothing.
    if !link.was_answered() && connected_at.elapsed() > CONNECT_TIMEOUT {
        state.move_on();
    }
    state.links().retain(|other| !Arc::ptr_eq(other, &link));
}

impl State {
    fn refusal(&self) -> MutexGuard<'_, Option<Refusal>> {
        let refusal = self.refusal.lock();
        refusal.expect("no holder of this lock can panic")
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().expect("no holder of this lock can panic")
    }

    /// Connects to the first host that accepts, beginning with the preferred one; tries until it succeeds.
    async fn dial(&self) -> TcpStream {
        let mut retry = FIRST_RETRY;
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            for place in (first..).take(self.hosts.len()) {
                let host = &self.hosts[place % self.hosts.len()];
                match connect(host, &self.addresses).await {
                    Ok(server) => {
                        *self.refusal() = None;
                        if place != first {
                            let order = Ordering::Relaxed;
                            let _moved =
                                self.preferred.compare_exchange(first, place, order, order);
                        }
                        return server;
                    }
                    Err(error) => {
                        tracing::debug!(%error, %host, "could not connect to Postgres");
                        let host = host.clone();
                        *self.refusal() = Some(Refusal { host, error });
                    }
                }
            }
            sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    fn move_on(&self) {
        let mut rejected_at = self
            .rejected_at
            .lock()
            .expect("no holder of this lock can panic");
        if rejected_at.is_none_or(|at| at.elapsed() > REJECT_INTERVAL) {
            *rejected_at = Some(Instant::now());
            self.addresses.reject_last();
            self.preferred.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Closes the connections whose answer is overdue, and idle ones that have received nothing since it was due: they go
    /// the same way, and their next user would wait as long.
    fn sweep(&self) {
        let links = self.links();
        let overdue = |link: &Arc<Link>| link.waits_since(self.answer_timeout);
        let Some(since) = links.iter().filter_map(overdue).min() else {
            return;
        };
        let silent = links
            .iter()
            .filter(|link| overdue(link).is_some() || link.is_idle_since(since));
        let mut closed = 0;
        for link in silent {
            link.close();
            closed += 1;
        }
        tracing::warn!(
            connections = closed,
            seconds = self.answer_timeout.as_secs(),
            "the database did not answer in time; its connections are replaced"
        );
    }
}
