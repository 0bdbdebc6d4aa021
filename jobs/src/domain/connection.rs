//! A user's account at a provider: what it is, where its servers are, and what opens it.

use super::words::words;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

words! {
    /// How a connection speaks. Gmail, Graph and JMAP come later.
    Provider {
        /// SMTP to send.
        ImapSmtp = "imap_smtp",
    }
}

words! {
    /// Whether it can be used.
    ConnectionStatus {
        Active = "active",
        /// It works now and then.
        Degraded = "degraded",
        /// The provider refuses the secret: jobs wait until there is a new one.
        ReauthRequired = "reauth_required",
        Revoked = "revoked",
    }
}

words! {
    /// How the line to a server is encrypted.
    Security {
        /// From the first byte, usually on port 465.
        Tls = "tls",
        /// After a greeting in the clear, usually on port 587; without it nothing is sent.
        Starttls = "starttls",
        /// Not at all: only where the worker may reach private addresses.
        None = "none",
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// A name or an address, 1 to 253 characters.
    pub host: String,
    #[schemars(range(min = 1))]
    pub port: u16,
    pub security: Security,
}

/// The servers of a mail account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSettings {
    pub smtp: Server,
}

/// What opens a mail account.
#[derive(Clone, Debug)]
pub struct MailSecret {
    pub username: String,
    pub password: SecretString,
}

impl Server {
    /// Whether the host can be one.
    pub fn is_sound(&self) -> bool {
        let host = &self.host;
        let plain = host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
        self.port != 0 && plain && (1..=253).contains(&host.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for (host, sound) in [
            ("smtp.example.org", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("", false),
            ("a b", false),
            ("smtp.example.org/x", false),
            ("user@smtp.example.org", false),
        ] {
            let server = Server {
                host: host.into(),
                port: 25,
                security: Security::None,
            };
            assert_eq!(server.is_sound(), sound, "{host}");
        }
    }
}
