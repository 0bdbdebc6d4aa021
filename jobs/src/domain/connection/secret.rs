//! The credentials of a connection: a user name with a password, or the key that signs calls and the URL that gets them.

use super::WebUrl;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

/// Credentials, by the kind of connection.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The login of an email account or a calendar.
    Login(MailSecret),
    /// The signing key of a webhook, and its URL.
    Webhook(WebhookSecret),
}

/// What only a webhook's receiver may know: many receivers check nothing but the URL of a call.
#[derive(Clone, Debug)]
pub struct WebhookSecret {
    pub signing: SigningSecret,
    /// None in a connection from before URLs were sealed, and in a new secret for a known URL.
    pub url: Option<WebUrl>,
}

/// A user name and a password, and how to log in to the server that accepts email.
#[derive(Clone, Debug)]
pub struct MailSecret {
    pub username: String,
    pub password: SecretString,
    pub smtp: SmtpLogin,
}

/// How to log in to the server that accepts email.
#[derive(Clone, Debug, Default)]
pub enum SmtpLogin {
    /// As to the mailbox.
    #[default]
    Same,
    /// Not at all.
    Without,
    /// By a user name and a password of its own.
    Own {
        username: String,
        password: SecretString,
    },
}

/// The key of a webhook's signatures as Standard Webhooks writes it: `whsec_` and 24 to 64 bytes as base64.
#[derive(Clone, Debug)]
pub struct SigningSecret(SecretString);

impl SigningSecret {
    const PREFIX: &'static str = "whsec_";

    /// Returns `None` if the text is not one.
    pub fn parse(text: &SecretString) -> Option<Self> {
        let secret = Self(text.clone());
        let length = secret.decoded()?.len();
        (24..=64).contains(&length).then_some(secret)
    }

    /// Generates one of 32 random bytes.
    pub fn generate() -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(format!("{}{}", Self::PREFIX, STANDARD.encode(bytes)).into())
    }

    /// Returns it as the user writes it.
    pub const fn text(&self) -> &SecretString {
        &self.0
    }

    /// Returns the key's bytes.
    pub fn decoded(&self) -> Option<Vec<u8>> {
        let encoded = self.0.expose_secret().strip_prefix(Self::PREFIX)?;
        STANDARD.decode(encoded).ok()
    }
}

impl Secret {
    /// Joins the parts into one text: none may contain a line break. Two lines are a login for all servers, an empty third
    /// one stands for none to SMTP, two more are its own.
    pub fn joined(&self) -> SecretString {
        match self {
            Self::Login(MailSecret {
                username,
                password,
                smtp,
            }) => {
                let login = format!("{username}\n{}", password.expose_secret());
                match smtp {
                    SmtpLogin::Same => login.into(),
                    SmtpLogin::Without => format!("{login}\n").into(),
                    SmtpLogin::Own { username, password } => {
                        format!("{login}\n{username}\n{}", password.expose_secret()).into()
                    }
                }
            }
            Self::Webhook(WebhookSecret { signing, url }) => match url {
                Some(url) => format!("{}\n{url}", signing.text().expose_secret()).into(),
                None => signing.text().clone(),
            },
        }
    }
}

impl WebhookSecret {
    /// Splits what [`Secret::joined`] joined.
    pub fn split(joined: &SecretString) -> Option<Self> {
        let (signing, url) = match joined.expose_secret().split_once('\n') {
            Some((signing, url)) => (signing, Some(url.parse().ok()?)),
            None => (joined.expose_secret(), None),
        };
        let signing = SigningSecret::parse(&signing.into())?;
        Some(Self { signing, url })
    }
}

impl MailSecret {
    /// Splits what [`Secret::joined`] joined.
    pub fn split(joined: &SecretString) -> Option<Self> {
        let mut lines = joined.expose_secret().split('\n');
        let (username, password) = (lines.next()?.to_owned(), lines.next()?.into());
        let smtp = match (lines.next(), lines.next()) {
            (None, _) => SmtpLogin::Same,
            (Some(_), None) => SmtpLogin::Without,
            (Some(username), Some(password)) => SmtpLogin::Own {
                username: username.to_owned(),
                password: password.into(),
            },
        };
        Some(Self {
            username,
            password,
            smtp,
        })
    }

    /// The user name and the password for the server that accepts email; none if it wants none.
    pub fn for_smtp(self) -> Option<(String, SecretString)> {
        match self.smtp {
            SmtpLogin::Same => Some((self.username, self.password)),
            SmtpLogin::Without => None,
            SmtpLogin::Own { username, password } => Some((username, password)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_secret_is_long_enough_and_names_itself() {
        let made = SigningSecret::generate();
        let read = SigningSecret::parse(made.text()).unwrap();
        assert_eq!(read.decoded().unwrap().len(), 32);
        let other = SigningSecret::generate();
        assert_ne!(read.decoded(), other.decoded(), "it is random");
        for bad in [
            "".to_owned(),
            "whsec_".to_owned(),
            "whsec_no base64".to_owned(),
            format!("whsec_{}", STANDARD.encode([7; 23])),
            format!("whsec_{}", STANDARD.encode([7; 65])),
            STANDARD.encode([7; 32]),
        ] {
            assert!(SigningSecret::parse(&bad.into()).is_none());
        }
    }

    #[test]
    fn secret_of_a_webhook_is_joined_and_split_with_its_url() {
        for url in [None, Some("https://hooks.example.org/x?token=y")] {
            let secret = WebhookSecret {
                signing: SigningSecret::generate(),
                url: url.map(|url| url.parse().unwrap()),
            };
            let joined = Secret::Webhook(secret.clone()).joined();
            let split = WebhookSecret::split(&joined).unwrap();
            assert_eq!(split.url, secret.url);
            assert_eq!(split.signing.decoded(), secret.signing.decoded());
        }
        assert!(WebhookSecret::split(&"whsec_x\nno url".into()).is_none());
    }

    #[test]
    fn login_is_joined_and_split_with_that_of_smtp() {
        for (smtp, expected) in [
            (SmtpLogin::Same, Some(("ada", "a: b"))),
            (SmtpLogin::Without, None),
            (
                SmtpLogin::Own {
                    username: "relay".into(),
                    password: "c d".to_owned().into(),
                },
                Some(("relay", "c d")),
            ),
        ] {
            let login = MailSecret {
                username: "ada".into(),
                password: "a: b".to_owned().into(),
                smtp,
            };
            let split = MailSecret::split(&Secret::Login(login).joined()).unwrap();
            assert_eq!(
                (split.username.as_str(), split.password.expose_secret()),
                ("ada", "a: b")
            );
            let smtp = split.for_smtp();
            let read = smtp
                .as_ref()
                .map(|(username, password)| (username.as_str(), password.expose_secret()));
            assert_eq!(read, expected);
        }
    }
}
