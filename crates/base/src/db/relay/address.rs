//! Connects to a host by any of its addresses: [`connect`], in the order of [`AddressOrder`].
//!
//! A name may have the addresses of several servers, or of both protocols, and one that is not reachable answers nothing.

use super::{CONNECT_TIMEOUT, Host};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// The shortest time for one address of several: a connection to another continent is made in half of it.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);
/// Unacknowledged data, and unanswered keepalives, end a connection after this time.
const TCP_TIMEOUT: Duration = Duration::from_secs(20);

/// Which address of a host is tried first, and which last.
#[derive(Debug, Default)]
pub(super) struct AddressOrder(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The last one that accepted.
    good: Option<SocketAddr>,
    /// One that accepted, and did not serve.
    bad: Option<SocketAddr>,
}

impl AddressOrder {
    fn sort(&self, addresses: &mut [SocketAddr]) {
        let known = self.known();
        let is = |one: Option<SocketAddr>, address: &SocketAddr| one == Some(*address);
        addresses.sort_by_key(|address| (is(known.bad, address), !is(known.good, address)));
    }

    fn accepted(&self, address: SocketAddr) {
        self.known().good = Some(address);
    }

    /// Tries the last one that accepted after the others from now on.
    pub(super) fn reject_last(&self) {
        let mut known = self.known();
        if let Some(bad) = known.good.take() {
            known.bad = Some(bad);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("no holder of this lock can panic")
    }
}

/// Connects to the first address of the host that accepts.
pub(super) async fn connect(host: &Host, order: &AddressOrder) -> io::Result<TcpStream> {
    let found = timeout(CONNECT_TIMEOUT, lookup_host((&*host.name, host.port)));
    let mut addresses: Vec<_> = found.await.map_err(|_| timed_out())??.collect();
    order.sort(&mut addresses);
    let server = connect_to_any(&addresses, order).await?;
    server.set_nodelay(true)?;
    let socket = SockRef::from(&server);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(TCP_TIMEOUT))?;
    Ok(server)
}

/// Tries each address for its share of the time.
async fn connect_to_any(addresses: &[SocketAddr], order: &AddressOrder) -> io::Result<TcpStream> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let share = (CONNECT_TIMEOUT / count).max(SHORTEST_TIMEOUT);
    let mut last = io::ErrorKind::NotFound.into();
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(server)) => {
                order.accepted(*address);
                return Ok(server);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = timed_out(),
        }
    }
    Err(last)
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    const PORT: u16 = 5432;

    fn address(last: u8) -> SocketAddr {
        ([127, 0, 0, last], PORT).into()
    }

    #[test]
    fn address_that_served_is_first_and_one_that_did_not_is_last() {
        let order = AddressOrder::default();
        let sorted = || {
            let mut addresses = [address(1), address(2), address(3)];
            order.sort(&mut addresses);
            addresses
        };
        order.reject_last();
        assert_eq!(sorted(), [address(1), address(2), address(3)]);
        order.accepted(address(2));
        assert_eq!(sorted(), [address(2), address(1), address(3)]);
        order.reject_last();
        assert_eq!(sorted(), [address(1), address(3), address(2)]);
    }

    /// A server whose queue of connections is full: it answers no further one.
    fn unreachable() -> (SocketAddr, Vec<Socket>) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let server = socket();
        server
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        server.listen(0).unwrap();
        let address = server.local_addr().unwrap();
        let mut open = vec![server];
        for _ in 0..4 {
            let client = socket();
            client.set_nonblocking(true).unwrap();
            // In progress; it need not end.
            let _ = client.connect(&address);
            open.push(client);
        }
        (address.as_socket().unwrap(), open)
    }

    #[tokio::test]
    async fn address_that_does_not_answer_leaves_time_for_the_next() {
        let (silent, _open) = unreachable();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let served = server.local_addr().unwrap();
        let order = AddressOrder::default();
        let connected = connect_to_any(&[silent, served], &order).await.unwrap();
        assert_eq!(connected.peer_addr().unwrap(), served);
        let mut addresses = [silent, served];
        order.sort(&mut addresses);
        assert_eq!(addresses, [served, silent]);
        assert!(connect_to_any(&[silent], &order).await.is_err());
    }
}
