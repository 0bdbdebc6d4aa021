//! Which addresses connections may reach: a host given by a user must not lead into our own network.

use super::ProviderError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::{net::lookup_host, time::timeout};

const LOOKUP: Duration = Duration::from_secs(5);

/// The addresses that may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Public addresses only.
    Public,
    /// Also private addresses and this machine: for development, and for servers in the same network.
    Anywhere,
}

impl Guard {
    /// Resolves a host to allowed addresses. Connect to these, because a second lookup may return others.
    ///
    /// A name of our own network answers as one that does not exist: nobody finds out by asking us what is there.
    ///
    /// # Errors
    /// If there are none, or one of them is private.
    pub async fn resolve(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ProviderError> {
        let missing = |detail: String| ProviderError::Retryable {
            code: "host_not_found",
            detail,
        };
        let looked_up = timeout(LOOKUP, lookup_host((host, port))).await;
        let found: Vec<SocketAddr> = match looked_up {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => return Err(missing(error.to_string())),
            Err(_) => return Err(missing("the lookup timed out".into())),
        };
        if found.is_empty() {
            return Err(missing("the name has no address".into()));
        }
        if self == Self::Public && !found.iter().all(|addr| is_public(addr.ip())) {
            if host.parse::<IpAddr>().is_err() {
                return Err(missing("the name has an address that is not public".into()));
            }
            return Err(ProviderError::Permanent {
                code: "host_not_allowed",
                message:
                    "This host is not on the public internet; the worker does not connect to it."
                        .into(),
            });
        }
        Ok(found)
    }
}

/// Returns whether the address is on the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public_v4(ip),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let reserved =
        a == 0 || a >= 240 || (a, b, c) == (192, 0, 0) || (a == 198 && (b == 18 || b == 19));
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || ip.is_broadcast()
        || shared
        || reserved)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let global_unicast = first & 0xe000 == 0x2000;
    let documentation = (first, second) == (0x2001, 0x0db8);
    // 6to4 and Teredo embed an arbitrary IPv4 address.
    let tunnelled = first == 0x2002 || (first, second) == (0x2001, 0);
    global_unicast && !documentation && !tunnelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public() {
        for (ip, public) in [
            ("8.8.8.8", true),
            ("2606:4700::1111", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("64:ff9b::7f00:1", false),
            ("2002:7f00:1::", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
        }
    }
}
