//! The URL of a calendar or a webhook: absolute, without credentials in it.

use base::hex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use url::{Host, Url};

const LONGEST: usize = 300;
/// Addresses to unsubscribe at carry who is meant.
const LONGEST_OF_EMAIL: usize = 2_000;

/// An `https` URL; `http` only if the worker may reach private addresses.
// Kept as the parser writes it, so that one place has one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct WebUrl(Url);

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebUrlFault {
    #[error("Use an absolute URL of at most {LONGEST} characters.")]
    NotAUrl,
    #[error("Use an https URL.")]
    Scheme,
    #[error("Leave name and password out of the URL: they have fields of their own.")]
    UserInfo,
    #[error("Leave out what follows the #.")]
    Fragment,
}

impl WebUrl {
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Returns scheme, host and port, without path and query.
    #[must_use]
    pub fn origin(&self) -> Self {
        let mut url = self.0.clone();
        url.set_path("/");
        url.set_query(None);
        Self(url)
    }

    /// Returns a name that tells it from other URLs of the same origin without showing the rest of it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.0.as_str());
        format!("{}#{}", self.origin(), hex(&digest[..6]))
    }

    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it names this machine by its address: what is sent there crosses no network.
    pub fn is_local(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(_)) | None => false,
        }
    }

    /// Returns the URL of this name beside it, or inside if it is a collection. It may be longer than a URL that a user
    /// enters.
    ///
    /// # Errors
    /// If the result is no such URL.
    pub fn join(&self, name: &str) -> Result<Self, WebUrlFault> {
        let joined = self.0.join(name).map_err(|_| WebUrlFault::NotAUrl)?;
        Self::checked(joined)
    }

    /// Returns it as a collection: what is joined to it lies inside.
    #[must_use]
    pub fn as_collection(mut self) -> Self {
        if !self.0.path().ends_with('/') {
            let path = format!("{}/", self.0.path());
            self.0.set_path(&path);
        }
        self
    }
}

impl WebUrl {
    /// Reads a URL that stands in an email.
    ///
    /// # Errors
    /// If it is none, or longer than 2,000 characters.
    pub fn of_email(text: &str) -> Result<Self, WebUrlFault> {
        Self::read(text, LONGEST_OF_EMAIL)
    }
}

impl FromStr for WebUrl {
    type Err = WebUrlFault;

    fn from_str(text: &str) -> Result<Self, WebUrlFault> {
        Self::read(text, LONGEST)
    }
}

impl WebUrl {
    fn read(text: &str, longest: usize) -> Result<Self, WebUrlFault> {
        if text.len() > longest {
            return Err(WebUrlFault::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| WebUrlFault::NotAUrl)?;
        let checked = Self::checked(url)?;
        if checked.0.as_str().len() > longest {
            return Err(WebUrlFault::NotAUrl);
        }
        Ok(checked)
    }

    /// Checks everything but the length.
    fn checked(url: Url) -> Result<Self, WebUrlFault> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebUrlFault::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebUrlFault::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(WebUrlFault::Fragment);
        }
        Ok(Self(url))
    }
}

impl TryFrom<String> for WebUrl {
    type Error = WebUrlFault;

    fn try_from(text: String) -> Result<Self, WebUrlFault> {
        text.parse()
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_absolute_plain_and_names_nobody() {
        for (text, fault) in [
            ("https://cal.example.org/ada/", None),
            ("http://127.0.0.1:5232/ada/", None),
            ("https://hooks.example.org/x?y=1", None),
            ("/ada/", Some(WebUrlFault::NotAUrl)),
            ("https://", Some(WebUrlFault::NotAUrl)),
            ("ftp://example.org/", Some(WebUrlFault::Scheme)),
            ("file:///etc/passwd", Some(WebUrlFault::Scheme)),
            ("https://ada:pw@example.org/", Some(WebUrlFault::UserInfo)),
            ("https://example.org/#x", Some(WebUrlFault::Fragment)),
        ] {
            assert_eq!(text.parse::<WebUrl>().err(), fault, "{text}");
        }
        let long = format!("https://example.org/{}", "x".repeat(300));
        assert_eq!(long.parse::<WebUrl>(), Err(WebUrlFault::NotAUrl));
    }

    #[test]
    fn fingerprint_names_the_origin_and_keeps_the_rest_secret() {
        let url = |text: &str| text.parse::<WebUrl>().unwrap();
        let one = url("https://hooks.example.org:8443/services/T0/B0?key=s");
        let name = one.fingerprint();
        let (origin, digits) = name.split_once('#').unwrap();
        assert_eq!(
            (origin, digits.len()),
            ("https://hooks.example.org:8443/", 12)
        );
        assert_eq!(one.origin(), url(origin));
        let other = url("https://hooks.example.org:8443/services/T0/B1?key=s");
        assert_ne!(name, other.fingerprint());
    }

    #[test]
    fn one_place_has_one_name() {
        let url = |text: &str| text.parse::<WebUrl>().unwrap();
        assert_eq!(url("HTTPS://Example.org:443"), url("https://example.org/"));
        assert_eq!(
            url("https://example.org/ada").as_collection(),
            url("https://example.org/ada/")
        );
        assert_eq!(
            url("https://example.org/ada/").join("x.ics"),
            Ok(url("https://example.org/ada/x.ics"))
        );
        let longest = url(&format!("https://example.org/{}/", "a".repeat(279)));
        let file = longest.join("0f5b7bd0-0000-5000-8000-000000000000.ics");
        assert_eq!(file.unwrap().url().as_str().len(), 340);
    }
}
