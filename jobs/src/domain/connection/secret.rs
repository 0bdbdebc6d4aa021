//! The credentials of a connection: a user name with a password, or the key that signs calls.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

/// Credentials, by the kind of connection.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The login of an email account or a calendar.
    Login(MailSecret),
    /// The signing key of a webhook.
    Signing(SigningSecret),
}

/// A user name and a password.
#[derive(Clone, Debug)]
pub struct MailSecret {
    pub username: String,
    pub password: SecretString,
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
    /// Joins both into one text: neither may contain a line break.
    pub fn joined(&self) -> SecretString {
        match self {
            Self::Login(MailSecret { username, password }) => {
                format!("{username}\n{}", password.expose_secret()).into()
            }
            Self::Signing(secret) => secret.text().clone(),
        }
    }
}

impl MailSecret {
    /// Splits what [`Secret::joined`] joined.
    pub fn split(joined: &SecretString) -> Option<Self> {
        let (username, password) = joined.expose_secret().split_once('\n')?;
        Some(Self {
            username: username.to_owned(),
            password: password.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_secret_is_long_enough_and_names_itself() {
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
    fn a_login_is_joined_and_split() {
        let login = MailSecret {
            username: "ada".into(),
            password: "a: b".to_owned().into(),
        };
        let split = MailSecret::split(&Secret::Login(login).joined()).unwrap();
        assert_eq!(
            (split.username.as_str(), split.password.expose_secret()),
            ("ada", "a: b")
        );
    }
}
