//! The open connections of a listener: [`ConnectionTable`]. When all are taken, the one that has been of no use for longest
//! makes way for a new one.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// A client that does nothing for less than this is not slow.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Waits for a request's head.
const IDLE: u8 = 0;
/// Waits for a request's body.
const RECEIVING: u8 = 1;
/// A request is in progress.
const WORKING: u8 = 2;

/// The open connections.
#[derive(Clone, Debug)]
pub(super) struct ConnectionTable(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    max_per_address: usize,
    started: Instant,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, (IpAddr, Arc<Connection>)>,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection, as its tasks describe it.
#[derive(Debug)]
pub struct Connection {
    started: Instant,
    phase: AtomicU8,
    /// Milliseconds since the start of the table: the beginning of the phase, or the last byte of a body.
    since: AtomicU64,
    /// The same, for a client that takes nothing of what is written; 0 if it does.
    stalled: AtomicU64,
    /// Bytes of a head have come and no request of them.
    head_begun: AtomicBool,
    /// Set to close the connection.
    pub(super) cut: CancellationToken,
    /// Set when its descriptor is free.
    gone: CancellationToken,
}

/// A place in the table, returned when dropped.
#[derive(Debug)]
pub(super) struct TableEntry {
    table: ConnectionTable,
    id: u64,
    pub(super) connection: Arc<Connection>,
}

/// A request in progress on a connection; it is idle again when this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

/// Whether a new connection has a place.
#[derive(Debug)]
pub(super) enum Admitted {
    Yes(TableEntry),
    /// Another connection is being closed for it.
    InsteadOf(Arc<Connection>, TableEntry),
    No,
}

impl ConnectionTable {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            max_per_address,
            started: Instant::now(),
            open: Mutex::default(),
        }))
    }

    /// Gives a connection a place. `address` is `None` for a proxy, whose connections are those of many clients.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Admitted {
        let mut open = self.lock();
        let network = address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), network);
        let of_address = open.by_address.get(&network).copied().unwrap_or(0);
        let among = if address.is_some() && of_address >= self.0.max_per_address {
            Some(Some(network))
        } else if open.connections.len() >= self.0.max {
            Some(None)
        } else {
            None
        };
        let Some(among) = among else {
            return Admitted::Yes(self.insert(&mut open, network));
        };
        let Some(useless) = open.longest_useless(among, self.0.started.elapsed()) else {
            return Admitted::No;
        };
        let Some(evicted) = open.remove(useless) else {
            return Admitted::No;
        };
        evicted.cut.cancel();
        Admitted::InsteadOf(evicted, self.insert(&mut open, network))
    }

    fn insert(&self, open: &mut Open, network: IpAddr) -> TableEntry {
        let connection = Arc::new(Connection::new(self.0.started));
        let id = open.next;
        open.next += 1;
        open.connections.insert(id, (network, connection.clone()));
        *open.by_address.entry(network).or_default() += 1;
        TableEntry {
            table: self.clone(),
            id,
            connection,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        let open = self.0.open.lock();
        open.expect("no holder of this lock can panic")
    }
}

impl Open {
    fn longest_useless(&self, among: Option<IpAddr>, now: Duration) -> Option<u64> {
        let now = millis(now);
        self.connections
            .iter()
            .filter(|(_, (address, _))| among.is_none_or(|among| among == *address))
            .filter_map(|(id, (_, connection))| Some((connection.useless_since(now)?, *id)))
            .min()
            .map(|(_, id)| id)
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Connection>> {
        let (address, connection) = self.connections.remove(&id)?;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(connection)
    }
}

impl Drop for TableEntry {
    fn drop(&mut self) {
        self.table.lock().remove(self.id);
        self.connection.gone.cancel();
    }
}

impl Connection {
    fn new(started: Instant) -> Self {
        let connection = Self {
            started,
            phase: AtomicU8::new(IDLE),
            since: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            head_begun: AtomicBool::new(false),
            cut: CancellationToken::new(),
            gone: CancellationToken::new(),
        };
        connection.enter(IDLE);
        connection
    }

    /// The body of its request is awaited, or a part of it has just come.
    pub fn receives(&self) {
        self.enter(RECEIVING);
    }

    /// The body of its request has come.
    pub fn works(&self) {
        self.enter(WORKING);
    }

    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.head_begun.store(false, Ordering::Relaxed);
        self.works();
        Busy(self.clone())
    }

    /// Bytes have come: those of a head, if no request is in progress.
    pub(super) fn reads(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.head_begun.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn head_has_begun(&self) -> bool {
        self.head_begun.load(Ordering::Relaxed)
    }

    /// Waits until its descriptor is free.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    pub(super) fn stalls(&self) {
        self.stalled.store(self.now().max(1), Ordering::Relaxed);
    }

    pub(super) fn goes_on(&self) {
        self.stalled.store(0, Ordering::Relaxed);
    }

    fn enter(&self, phase: u8) {
        self.since.store(self.now(), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }

    /// Since when nobody would miss it; `None` while it does something.
    fn useless_since(&self, now: u64) -> Option<u64> {
        let slow = |since: u64| (now >= since + millis(SLOW_AFTER)).then_some(since);
        let stalled = self.stalled.load(Ordering::Relaxed);
        if stalled > 0 {
            return slow(stalled);
        }
        let since = self.since.load(Ordering::Relaxed);
        match self.phase.load(Ordering::Relaxed) {
            IDLE => Some(since),
            RECEIVING => slow(since),
            _ => None,
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(IDLE);
    }
}

/// An IPv4 address, or the /64 network of an IPv6 address, which one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn admit(table: &ConnectionTable, last: u8) -> TableEntry {
        match table.admit(address(last)) {
            Admitted::Yes(place) | Admitted::InsteadOf(_, place) => place,
            Admitted::No => panic!("no place for {last}"),
        }
    }

    #[test]
    fn idle_connection_makes_way_and_a_working_one_does_not() {
        let table = ConnectionTable::new(2, 2);
        let (first, second) = (admit(&table, 1), admit(&table, 2));
        let work = first.connection.begin();
        let third = admit(&table, 3);
        assert!(!first.connection.cut.is_cancelled());
        assert!(second.connection.cut.is_cancelled());
        let more = third.connection.begin();
        assert!(matches!(table.admit(address(4)), Admitted::No));
        drop(work);
        let _fourth = admit(&table, 4);
        assert!(first.connection.cut.is_cancelled());
        drop((more, second, third, first));
        assert_eq!(table.lock().connections.len(), 1);
    }

    #[test]
    fn address_has_its_share_and_a_proxy_all() {
        let table = ConnectionTable::new(10, 1);
        let first = admit(&table, 1);
        let _work = first.connection.begin();
        assert!(matches!(table.admit(address(1)), Admitted::No));
        let _other = admit(&table, 2);
        let proxied: Vec<_> = (0..8).map(|_| table.admit(None)).collect();
        assert!(proxied.iter().all(|one| matches!(one, Admitted::Yes(_))));
        let both = ["2001:db8::1", "2001:db8::2"].map(|text| network(text.parse().unwrap()));
        assert_eq!(both[0], both[1]);
    }

    #[test]
    fn slow_client_is_of_use_for_a_second() {
        let connection = Arc::new(Connection::new(Instant::now()));
        let second = millis(SLOW_AFTER);
        connection.receives();
        let since = connection.since.load(Ordering::Relaxed);
        assert_eq!(connection.useless_since(since), None);
        assert_eq!(connection.useless_since(since + second), Some(since));
        connection.works();
        assert_eq!(connection.useless_since(u64::MAX), None);
        connection.stalls();
        let since = connection.stalled.load(Ordering::Relaxed);
        assert_eq!(connection.useless_since(since + second), Some(since));
        connection.goes_on();
        assert_eq!(connection.useless_since(u64::MAX), None);
    }
}
