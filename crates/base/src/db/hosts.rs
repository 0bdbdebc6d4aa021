//! [`Target`]: the servers that a connection URL names.
//!
//! libpq takes several hosts in a URL, `postgres://user@a:5432,b:5433/db?target_session_attrs=read-write` or
//! `?host=a,b&port=5432,5433`; sqlx takes one. The names are taken out here, and sqlx gets the URL of the first.

use sqlx::postgres::PgConnectOptions;
use std::{fmt, str::FromStr};

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_HOST: &str = "localhost";
/// The parameters that sqlx reads, beside `options[…]`. It logs any other with its value, and that may be a mistyped password.
const PARAMETERS: [&str; 19] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "target_session_attrs",
];

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// As `host:port`, the way it stands in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        if name.contains(':') {
            write!(f, "[{name}]:{port}")
        } else {
            write!(f, "{name}:{port}")
        }
    }
}

/// The servers of a URL, in the order in which they are tried, and the options of a connection to the first.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) options: PgConnectOptions,
    /// Empty if the URL names a Unix socket.
    pub(super) hosts: Vec<Host>,
    /// Only a server that takes writes will do.
    pub(super) read_write: bool,
}

/// A URL that leads nowhere; completes the sentence that starts with its variable. Quotes nothing, as it could hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("is not a Postgres connection URL")]
    Form,
    #[error("asks for a target_session_attrs other than read-write, primary and any")]
    Session,
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// If it is not a connection URL, or asks for a session that may not write.
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        let parts = Parts::of(url).ok_or(UrlError::Form)?;
        let read_write = match parts.session.as_deref() {
            None | Some("any") => false,
            Some("read-write" | "primary") => true,
            Some(_) => return Err(UrlError::Session),
        };
        let options =
            PgConnectOptions::from_str(&parts.url_of_first()).map_err(|_| UrlError::Form)?;
        if options.get_socket().is_some() || options.get_host().starts_with('/') {
            return Ok(Self {
                options,
                hosts: Vec::new(),
                read_write,
            });
        }
        let hosts = if parts.hosts.len() > 1 {
            parts.hosts
        } else {
            vec![Host {
                name: options.get_host().trim_matches(['[', ']']).to_owned(),
                port: options.get_port(),
            }]
        };
        Ok(Self {
            options,
            hosts,
            read_write,
        })
    }
}

/// A URL in its parts.
struct Parts {
    /// Up to the user's `@`, or the scheme.
    start: String,
    hosts: Vec<Host>,
    /// The host as it stands in the URL, if there is only one.
    only_host: String,
    path: String,
    query: Vec<String>,
    session: Option<String>,
}

impl Parts {
    fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return None;
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let mut kept = Vec::new();
        let (mut names, mut ports, mut session) = (None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("target_session_attrs", value)) => session = Some(value.to_owned()),
                Some(("host", value)) if value.contains(',') => names = Some(value.to_owned()),
                Some(("port", value)) => ports = Some(value),
                Some((name, _)) if !is_known(name) => {
                    tracing::warn!(
                        parameter = name,
                        "the database URL has an unknown parameter, which is ignored"
                    );
                }
                _ => kept.push(pair.to_owned()),
            }
        }
        let hosts_text = names.as_deref().unwrap_or(hosts);
        let hosts = if hosts_text.contains(',') {
            several(hosts_text, ports)?
        } else {
            // One host keeps its port as it stands.
            kept.extend(ports.map(|port| format!("port={port}")));
            Vec::new()
        };
        Some(Self {
            start: format!("{scheme}://{user}"),
            hosts,
            only_host: hosts_text.to_owned(),
            path: path.to_owned(),
            query: kept,
            session,
        })
    }

    fn url_of_first(&self) -> String {
        let host = match self.hosts.first() {
            Some(host) => host.to_string(),
            // libpq takes a user without a host, as in `postgres://app@/db?host=/run/postgresql`, and sqlx does not.
            None if self.only_host.is_empty() && self.start.ends_with('@') => {
                DEFAULT_HOST.to_owned()
            }
            None => self.only_host.clone(),
        };
        let query = if self.query.is_empty() {
            String::new()
        } else {
            format!("?{}", self.query.join("&"))
        };
        format!("{}{host}{}{query}", self.start, self.path)
    }
}

fn is_known(parameter: &str) -> bool {
    PARAMETERS.contains(&parameter)
        || ["options[", "options%5B", "options%5b"]
            .iter()
            .any(|start| parameter.starts_with(start))
}

/// Parses a list of hosts, each with a port of its own or the port at its place in `ports`; one port there is for all, as in
/// libpq.
fn several(hosts: &str, ports: Option<&str>) -> Option<Vec<Host>> {
    let ports: Vec<&str> = ports.map_or_else(Vec::new, |ports| ports.split(',').collect());
    if ports.len() > 1 && ports.len() != hosts.split(',').count() {
        return None;
    }
    let hosts = hosts.split(',').enumerate().map(|(place, host)| {
        let (name, own_port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (host, None),
        };
        let port = match (own_port, &*ports) {
            (Some(port), _) => port.parse().ok()?,
            (None, []) => DEFAULT_PORT,
            (None, [port]) => port.parse().ok()?,
            (None, ports) => ports.get(place)?.parse().ok()?,
        };
        let name = name.trim_matches(['[', ']']);
        (!name.is_empty()).then(|| Host {
            name: name.to_owned(),
            port,
        })
    });
    hosts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        let target = Target::parse(url).unwrap();
        let hosts = target.hosts.into_iter();
        hosts.map(|host| (host.name, host.port)).collect()
    }

    #[test]
    fn url_with_several_hosts_names_each_with_its_port() {
        let own = "postgres://app:p%40ss@a:5433,b,[::1]:5434/db?sslmode=disable";
        let expected = [("a", 5433), ("b", 5432), ("::1", 5434)].map(|(n, p)| (n.to_owned(), p));
        assert_eq!(hosts(own), expected);
        let options = Target::parse(own).unwrap().options;
        assert_eq!(options.get_host(), "a");
        assert_eq!(options.get_database(), Some("db"));
        let listed = "postgres://app@/db?host=a,b&port=5433,5434";
        assert_eq!(
            hosts(listed),
            [("a".to_owned(), 5433), ("b".to_owned(), 5434)]
        );
        for one_port in [
            "postgres://app@/db?host=a,b&port=6432",
            "postgres://app@a,b/db?port=6432",
        ] {
            assert_eq!(
                hosts(one_port),
                [("a".to_owned(), 6432), ("b".to_owned(), 6432)]
            );
        }
    }

    #[test]
    fn url_with_one_host_is_left_as_it_is() {
        assert_eq!(
            hosts("postgres://app@db.example/db"),
            [("db.example".to_owned(), 5432)]
        );
        assert_eq!(
            hosts("postgres://app@db.example/db?port=6000"),
            [("db.example".to_owned(), 6000)]
        );
        assert_eq!(
            hosts("postgres://app@[::1]:6000/db"),
            [("::1".to_owned(), 6000)]
        );
        assert!(hosts("postgres://app@%2Frun%2Fpostgresql/db").is_empty());
        assert!(hosts("postgres:///db?host=/run/postgresql").is_empty());
        assert!(hosts("postgres://app:p%40ss@/db?host=/run/postgresql").is_empty());
        assert_eq!(
            hosts("postgres://app@/db?host=db.example&port=6000"),
            [("db.example".to_owned(), 6000)]
        );
        let user = Target::parse("postgres://app@/db?host=/run/postgresql").unwrap();
        assert_eq!(user.options.get_username(), "app");
    }

    #[test]
    fn unknown_parameters_are_left_out() {
        let url = "postgres://app@db/db?passwrd=hunter2&sslmode=disable&options%5Bwork_mem%5D=8MB";
        let parts = Parts::of(url).unwrap();
        assert_eq!(
            parts.url_of_first(),
            "postgres://app@db/db?sslmode=disable&options%5Bwork_mem%5D=8MB"
        );
    }

    #[test]
    fn session_must_be_able_to_write() {
        let target = |attribute| {
            Target::parse(&format!(
                "postgres://u@a,b/db?target_session_attrs={attribute}"
            ))
        };
        assert!(target("read-write").unwrap().read_write);
        assert!(target("primary").unwrap().read_write);
        assert!(!target("any").unwrap().read_write);
        let refused = target("standby").unwrap_err().to_string();
        assert!(refused.contains("target_session_attrs"), "{refused}");
        for bad in [
            "a,b",
            "mysql://u@a/db",
            "https://a/db",
            "postgres://u@a:x,b/db",
            "postgres://u@a,,b/db",
            "postgres://u@a,b,c/db?port=5433,5434",
            "postgres://u@a,b/db?port=5433,5434,5435",
        ] {
            let refused = Target::parse(bad).unwrap_err();
            assert_eq!(refused, UrlError::Form, "{bad}");
        }
    }
}
