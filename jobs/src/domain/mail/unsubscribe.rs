//! Unsubscribing with one request (RFC 8058): [`one_click`] finds where to send it.

use super::{Mail, authentication};
use crate::domain::connection::WebUrl;

/// Why an email cannot be unsubscribed from with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOneClick {
    #[error("the email offers no unsubscription with one request")]
    NotOffered,
    /// Anybody on the way may have written the address.
    #[error("no signature of the sender covers the address")]
    NotSigned,
}

impl NotOneClick {
    /// For the user: what happened and what to do.
    pub const fn user_message(self) -> &'static str {
        match self {
            Self::NotOffered => {
                "This email offers no unsubscription with one request (RFC 8058). Unsubscribe on the sender's page, or report \
                 the email as spam."
            }
            Self::NotSigned => {
                "The sender did not sign the address to unsubscribe at, so it may be forged. Unsubscribe on the sender's \
                 own page."
            }
        }
    }
}

/// Returns the address to post to: offered in both fields, and both covered by a DKIM signature of the sender. If our
/// mail server says what it found out about signatures, this one must have passed.
///
/// # Errors
/// If one of that is missing.
pub fn one_click(mail: &Mail) -> Result<WebUrl, NotOneClick> {
    let post = mail.header("list-unsubscribe-post").unwrap_or_default();
    if !post
        .trim()
        .eq_ignore_ascii_case("List-Unsubscribe=One-Click")
    {
        return Err(NotOneClick::NotOffered);
    }
    let listed = mail.header("list-unsubscribe").unwrap_or_default();
    let urls: Vec<WebUrl> = listed
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .filter_map(|(url, _)| WebUrl::of_email(&url.replace(' ', "")).ok())
        .collect();
    // RFC 8058 wants https; what is not encrypted is refused where it is sent, but for private addresses in development.
    let encrypted = urls.iter().find(|url| url.is_encrypted());
    let url = encrypted.or(urls.first()).ok_or(NotOneClick::NotOffered)?;
    let signers: Vec<String> = fields(mail, "dkim-signature")
        .filter(|signature| covers_both(signature))
        .filter_map(|signature| tag(signature, "d"))
        .collect();
    let known = authentication::dkim_domains(fields(mail, "authentication-results"));
    let is_signed = match known {
        Some(passed) => signers.iter().any(|signer| passed.contains(signer)),
        None => !signers.is_empty(),
    };
    match is_signed {
        true => Ok(url.clone()),
        false => Err(NotOneClick::NotSigned),
    }
}

fn fields<'m>(mail: &'m Mail, name: &'static str) -> impl Iterator<Item = &'m str> {
    let named = mail.headers.iter().filter(move |(key, _)| key == name);
    named.map(|(_, value)| value.as_str())
}

/// RFC 8058 §4: both fields are among those that are signed.
fn covers_both(signature: &str) -> bool {
    let signed = tag(signature, "h").unwrap_or_default();
    let names: Vec<&str> = signed.split(':').collect();
    names.contains(&"list-unsubscribe") && names.contains(&"list-unsubscribe-post")
}

/// The value of a tag in lower case and without blanks (RFC 6376 §3.2).
fn tag(signature: &str, name: &str) -> Option<String> {
    signature.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value: String = value.split_whitespace().collect();
        (key.trim() == name).then(|| value.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "List-Unsubscribe: <mailto:u@news.example>, <https://news.example/u?t=1>\n\
        List-Unsubscribe-Post: List-Unsubscribe=One-Click";
    const SIGNED: &str = "DKIM-Signature: v=1; a=rsa-sha256; d=News.example; s=k;\n h=From:Subject:List-Unsubscribe:\n List-Unsubscribe-Post; bh=x; b=y";

    fn found(headers: &str) -> Result<String, NotOneClick> {
        let raw = format!("From: n@news.example\n{headers}\n\nNews");
        one_click(&Mail::parse(raw.as_bytes()).unwrap()).map(|url| url.to_string())
    }

    #[test]
    fn offered_and_signed_address_is_found() {
        let url = Ok("https://news.example/u?t=1".to_owned());
        assert_eq!(found(&format!("{OFFER}\n{SIGNED}")), url);
        let passed =
            "Authentication-Results: mx.acme.example; dkim=pass header.d=news.example; dmarc=pass";
        assert_eq!(found(&format!("{passed}\n{OFFER}\n{SIGNED}")), url);
        let identity = "Authentication-Results: mx.acme.example; dkim=pass header.i=@news.example";
        assert_eq!(found(&format!("{identity}\n{OFFER}\n{SIGNED}")), url);
    }

    #[test]
    fn address_that_is_not_offered_or_not_signed_is_refused() {
        for (headers, why) in [
            (SIGNED.to_owned(), NotOneClick::NotOffered),
            (
                format!("{SIGNED}\nList-Unsubscribe: <https://news.example/u>"),
                NotOneClick::NotOffered,
            ),
            (
                format!("{SIGNED}\n{}", OFFER.replace("https", "ftp")),
                NotOneClick::NotOffered,
            ),
            (OFFER.to_owned(), NotOneClick::NotSigned),
            (
                format!(
                    "{OFFER}\n{}",
                    SIGNED.replace("List-Unsubscribe-Post", "Date")
                ),
                NotOneClick::NotSigned,
            ),
            (
                format!(
                    "Authentication-Results: mx.acme.example; dkim=fail header.d=news.example\n{OFFER}\n{SIGNED}"
                ),
                NotOneClick::NotSigned,
            ),
            (
                format!(
                    "Authentication-Results: mx.acme.example; dkim=pass header.d=evil.example\n{OFFER}\n{SIGNED}"
                ),
                NotOneClick::NotSigned,
            ),
            (
                format!(
                    "Authentication-Results: mx.acme.example; dkim=none\nAuthentication-Results: evil.example; dkim=pass header.d=news.example\n{OFFER}\n{SIGNED}"
                ),
                NotOneClick::NotSigned,
            ),
        ] {
            assert_eq!(found(&headers), Err(why), "{headers}");
        }
    }
}
