//! A user's account at a provider: its kind, its servers and its credentials.

mod secret;
mod web_url;

pub use secret::{MailSecret, Secret, SigningSecret, SmtpLogin, WebhookSecret};
pub use web_url::{WebUrl, WebUrlFault};

use base::str_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

str_enum! {
    /// The protocol of a connection.
    #[schemars(rename = "ConnectionProvider")]
    Provider {
        /// SMTP to send, IMAP for the mailbox.
        ImapSmtp = "imap_smtp",
        /// A calendar collection, for events.
        Caldav = "caldav",
        /// A URL that signed calls are posted to.
        Webhook = "webhook",
    }
}

str_enum! {
    /// Whether a connection works.
    ConnectionStatus {
        Active = "active",
        /// It fails at times.
        Degraded = "degraded",
        /// The provider refuses the secret; jobs wait for a new one.
        ReauthRequired = "reauth_required",
        Revoked = "revoked",
    }
}

str_enum! {
    /// How the connection to a server is encrypted.
    #[schemars(rename = "ConnectionSecurity")]
    Security {
        /// TLS from the first byte, usually on port 465.
        Tls = "tls",
        /// After a plaintext greeting, usually on port 587; nothing is sent if the server does not offer it.
        Starttls = "starttls",
        /// Not encrypted: only if the worker may reach private addresses.
        None = "none",
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConnectionServer")]
pub struct Server {
    /// A name or an address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    #[schemars(range(min = 1))]
    pub port: u16,
    pub security: Security,
}

/// The servers of an email account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailSettings {
    pub smtp: Server,
    /// The server of the mailbox; without one, the account can only send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imap: Option<Server>,
}

/// The settings of a connection, by its provider. A row stores the inner value alone: the provider column says which it
/// is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Mail(MailSettings),
    Calendar(WebSettings),
    Webhook(WebSettings),
}

/// The settings of a connection that is one URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSettings {
    /// Of a webhook only the origin: path and query are in its secret.
    pub url: WebUrl,
}

impl Settings {
    pub const fn provider(&self) -> Provider {
        match self {
            Self::Mail(_) => Provider::ImapSmtp,
            Self::Calendar(_) => Provider::Caldav,
            Self::Webhook(_) => Provider::Webhook,
        }
    }

    pub const fn mail(&self) -> Option<&MailSettings> {
        match self {
            Self::Mail(mail) => Some(mail),
            Self::Calendar(_) | Self::Webhook(_) => None,
        }
    }

    /// Returns the URL of a calendar or a webhook.
    pub const fn url(&self) -> Option<&WebUrl> {
        match self {
            Self::Mail(_) => None,
            Self::Calendar(web) | Self::Webhook(web) => Some(&web.url),
        }
    }

    /// # Errors
    /// If the settings are not of this provider.
    pub fn read(provider: Provider, stored: Value) -> Result<Self, serde_json::Error> {
        Ok(match provider {
            Provider::ImapSmtp => Self::Mail(serde_json::from_value(stored)?),
            Provider::Caldav => Self::Calendar(serde_json::from_value(stored)?),
            Provider::Webhook => Self::Webhook(serde_json::from_value(stored)?),
        })
    }

    /// # Errors
    /// If they have no form as JSON.
    pub fn stored(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Mail(mail) => serde_json::to_value(mail),
            Self::Calendar(web) | Self::Webhook(web) => serde_json::to_value(web),
        }
    }
}

impl Server {
    /// Reports whether the host could be a host.
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
    fn what_is_stored_is_read_by_its_provider() {
        let mail = Settings::Mail(MailSettings {
            smtp: Server {
                host: "smtp.example.org".into(),
                port: 465,
                security: Security::Tls,
            },
            imap: None,
        });
        let web = WebSettings {
            url: "https://cal.example.org/ada/".parse().unwrap(),
        };
        for settings in [
            mail,
            Settings::Calendar(web.clone()),
            Settings::Webhook(web),
        ] {
            let stored = settings.stored().unwrap();
            let read = Settings::read(settings.provider(), stored.clone()).unwrap();
            assert_eq!(read, settings);
            if settings.mail().is_none() {
                assert!(Settings::read(Provider::ImapSmtp, stored).is_err());
            }
        }
    }

    #[test]
    fn host_is_a_name_or_an_address_and_nothing_else() {
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
