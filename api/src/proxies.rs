//! Whose word about a request's address counts: [`TrustedProxies`].
//!
//! Any client can send `X-Forwarded-For`, and a proxy appends to what it was sent. Only what trusted proxies appended is
//! true: from the right, up to the first address that is not one of theirs.

use axum::http::HeaderMap;
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of proxies that append the address of their client to `X-Forwarded-For`.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Reads networks and single addresses, with commas between them.
    pub fn parse(text: &str) -> Option<Self> {
        let networks: Option<Vec<IpNet>> = text
            .split(',')
            .map(|part| {
                let part = part.trim();
                let network = part.parse::<IpNet>().ok();
                network.or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from))
            })
            .collect();
        networks.map(|networks| Self(networks.into()))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address that a request came from: that of the connection, or the right-most one of `X-Forwarded-For` that is not
    /// a trusted proxy's. If a trusted proxy wrote something that is no address, its own address counts.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let mut hops = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .collect::<Vec<_>>();
        while self.contains(client)
            && let Some(hop) = hops.pop().and_then(parse_hop)
        {
            client = hop;
        }
        client
    }
}

/// An address, with or without a port.
fn parse_hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|addr| addr.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let proxies = TrustedProxies::parse(proxies).unwrap();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn right_most_untrusted_address_counts() {
        let proxies = "10.0.0.0/8, 127.0.0.1,2001:db8:1::/48";
        for (peer, forwarded, expected) in [
            ("192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.7", "198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8:1::1", &["[2001:db8:2::1]:443"], "2001:db8:2::1"),
            ("127.0.0.1", &["[2001:db8:2::1]"], "2001:db8:2::1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
        ] {
            assert_eq!(
                client(proxies, peer, forwarded),
                expected,
                "{peer} {forwarded:?}"
            );
        }
    }

    #[test]
    fn list_is_refused_if_a_part_is_no_network() {
        for bad in ["", "10.0.0.0/33", "proxy", "10.0.0.1,,10.0.0.2"] {
            assert!(TrustedProxies::parse(bad).is_none(), "{bad:?}");
        }
        let none = TrustedProxies::default();
        assert!(!none.contains("127.0.0.1".parse().unwrap()));
    }
}
