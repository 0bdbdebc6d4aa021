//! Finds links and addresses in a text: [`links`] and [`addresses`].
//!
//! Mail programs turn far more into a link than `https://`: other schemes, bare domains, IP addresses. Whatever a person
//! could tap on is found here; whether it may stand there is decided elsewhere.

mod endings;
mod hidden;

use endings::{CLEAR, COUNTRIES, WORDS};
use hidden::{AT_IN_BRACKETS, DOT_IN_BRACKETS, HIDDEN_DOT, LABEL, unhidden};
use regex::Regex;
use std::{ops::Range, sync::LazyLock};

/// Names that look like a domain in capitals.
const PRODUCTS: [&str; 4] = ["ASP.NET", "VB.NET", "ADO.NET", "Socket.IO"];

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+";
    let capitals = r"(?:[\p{Lu}\p{N}-]+\.)*\p{Lu}[\p{Lu}\p{N}-]+\.";
    let tail = r#"[^\s<>"'\)\]]"#;
    let written = format!("(?:{WORDS}|{COUNTRIES}|(?i:{CLEAR}))");
    let (words, countries) = (WORDS.to_uppercase(), COUNTRIES.to_uppercase());
    let pattern = [
        // Any scheme, also with a space that keeps a filter from seeing it: `https: //`.
        format!(r"[a-zA-Z][a-zA-Z0-9+.-]{{1,20}}\s?:\s?/\s?/\s?{tail}+"),
        format!(
            r"\b(?i:mailto|tel|sms|callto|skype|facetime|javascript|data|file|bitcoin|magnet)\s?:\s?{tail}+"
        ),
        format!(
            r"\b(?:{LABEL}(?:\.|{DOT_IN_BRACKETS}))*{LABEL}{DOT_IN_BRACKETS}(?:{LABEL}\.)*(?i:{WORDS}|{COUNTRIES}|{CLEAR})\b(?::\d{{1,5}})?(?:/{tail}*)?"
        ),
        format!(r"\b(?i:www)\.{tail}+"),
        format!(r"\b\d{{1,3}}(?:\.\d{{1,3}}){{3}}\b(?::\d{{1,5}})?(?:/{tail}*)?"),
        format!(r"\b{host}\p{{L}}{{2,24}}(?::\d{{1,5}})?/{tail}*"),
        format!(r"\b{host}{written}\b(?::\d{{1,5}})?"),
        format!(r"\b{capitals}(?:{words}|{countries})\b(?::\d{{1,5}})?"),
    ]
    .join("|");
    Regex::new(&pattern).expect("a regular expression that compiles")
});

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let local = r"[\p{L}\p{N}._%+'-]+";
    Regex::new(&format!(
        r"{local}(?:\s?[@＠]\s?|{AT_IN_BRACKETS})(?:{LABEL}(?:\.|{HIDDEN_DOT}))+\p{{L}}{{2,24}}|{local}\s(?i:at)\s(?:{LABEL}{HIDDEN_DOT})+(?i:{CLEAR}|{COUNTRIES})\b"
    ))
    .expect("a regular expression that compiles")
});

/// A link in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where it stands, in bytes.
    pub(crate) range: Range<usize>,
    /// In lower case.
    pub(crate) host: String,
    /// As compared: without its scheme and the marks that end a sentence.
    pub(crate) path: String,
}

/// Lists the links of a text. The domain of an email address is none.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let addresses: Vec<Range<usize>> = ranges(&ADDRESS, text).collect();
    ranges(&LINK, text)
        .filter(|range| {
            let is_inside = |address: &Range<usize>| {
                // `mailto:` holds an address and is a link all the same.
                address.start <= range.start && range.start < address.end
            };
            !addresses.iter().any(is_inside)
                && !is_version(text, range)
                && !PRODUCTS.contains(&&text[range.clone()])
        })
        .map(|range| link(text, range))
        .collect()
}

/// Returns whether it is a version of four numbers, which looks like an IP address: `version 1.2.3.4`.
fn is_version(text: &str, range: &Range<usize>) -> bool {
    let is_bare = |c: char| c.is_ascii_digit() || c == '.';
    let before = text[..range.start].trim_end_matches([' ', '.', ':']);
    let word = before.rsplit(|c: char| !c.is_alphanumeric()).next();
    let word = word.unwrap_or_default().to_lowercase();
    text[range.clone()].chars().all(is_bare)
        && ["v", "version", "release", "build"].contains(&word.as_str())
}

/// Lists the email addresses of a text, as written.
pub(crate) fn addresses(text: &str) -> Vec<Range<usize>> {
    ranges(&ADDRESS, text).collect()
}

/// Returns the address as compared: in lower case, without spaces around its sign, and with the signs that words stand for.
pub(crate) fn address_key(address: &str) -> String {
    unhidden(address)
        .trim_matches(['.', '\'', '-'])
        .to_lowercase()
}

fn ranges<'a>(pattern: &'a Regex, text: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    pattern.find_iter(text).map(|found| found.range())
}

fn link(text: &str, found: Range<usize>) -> Link {
    // The marks that end a sentence are not part of a link.
    let written = text[found.clone()].trim_end_matches(['.', ',', ';', ':', '!', '?']);
    let range = found.start..found.start + written.len();
    let written: String = hidden::with_dots(written);
    let bare = written.trim_end_matches(['/', '*', '_']);
    let bare = match bare.split_once("://") {
        Some((_, rest)) => rest,
        None => bare,
    };
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    Link {
        host: host.to_lowercase(),
        path: path.to_owned(),
        range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let links = links(text);
        links
            .into_iter()
            .map(|link| format!("{}/{}", link.host, link.path))
            .collect()
    }

    #[test]
    fn everything_that_can_be_tapped_on_is_a_link() {
        for (text, link) in [
            ("See https://Evil.example/Pay.", "evil.example/Pay"),
            ("See http://evil.example", "evil.example/"),
            ("See www.evil.example!", "www.evil.example/"),
            ("See evil.example/pay now", "evil.example/pay"),
            ("See evil.com", "evil.com/"),
            ("Visit EVIL.COM now", "evil.com/"),
            ("Visit Evil.Com now", "evil.com/"),
            ("Visit MY.EVIL.DE now", "my.evil.de/"),
            ("Visit evil.tech now", "evil.tech/"),
            ("See evil[.]com", "evil.com/"),
            ("See evil (dot) com/Pay", "evil.com/Pay"),
            ("See www.evil.co[.]uk", "www.evil.co.uk/"),
            ("See ftp://evil.example/x", "evil.example/x"),
            ("See https: //evil.example/x", "evil.example/x"),
            ("See https:// evil.example/x", "evil.example/x"),
            ("See hxxps://evil.example/x", "evil.example/x"),
            ("At 10.0.0.7/login", "10.0.0.7/login"),
            ("At 203.0.113.9:8080", "203.0.113.9:8080/"),
            ("At http://203.0.113.9/", "203.0.113.9/"),
            ("For version 203.0.113.9/x", "203.0.113.9/x"),
            ("Of version 203.0.113.9:80", "203.0.113.9:80/"),
            ("Call tel:+4930123", "tel:+4930123/"),
            (
                "Write to mailto:eve@evil.example",
                "mailto:eve@evil.example/",
            ),
            ("(see [it](https://evil.example/a))", "evil.example/a"),
            ("m\u{fc}ller-bank.de/login", "m\u{fc}ller-bank.de/login"),
        ] {
            assert_eq!(found(text), [link], "{text}");
        }
    }

    #[test]
    fn ordinary_text_holds_no_link() {
        for text in [
            "Please send plan.pdf and notes.docx, e.g. by Friday.",
            "It costs 1.250,00 EUR and/or 3.5 % more; see 2.1.4.",
            "I wrote it in Node.js and C++.",
            "See you at 10:30 a.m./11 a.m.",
            "Ask ann@client.com for it.",
            "Done.In the next step we call.",
            "All done.No news.Me too, U.S.IN the end.",
            "We use ASP.NET and Socket.IO.",
            "Polka (dot) dresses and item (a)[.]b",
            "Meet me at client, then look at this dot in it.",
            "Subject: Hello // again",
            "It runs with version 1.2.3.4, v 1.2.3.5 and Build: 1.2.3.6.",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn addresses_are_found_and_compared_without_case_and_spaces() {
        let text = "Ask Ann@Client.com or eve @ evil.example.";
        assert_eq!(keys(text), ["ann@client.com", "eve@evil.example"]);
        for text in [
            "Ask eve at evil dot com.",
            "Ask Eve AT evil DOT com.",
            "Ask eve (at) evil (dot) com.",
            "Ask eve[at]evil[.]com.",
            "Ask eve@evil dot com.",
            "Ask eve (at) evil.com.",
        ] {
            assert_eq!(keys(text), ["eve@evil.com"], "{text}");
        }
        assert_eq!(keys("Meet me at client.com, at the dot in it."), [""; 0]);
    }

    fn keys(text: &str) -> Vec<String> {
        let found = addresses(text).into_iter();
        found.map(|range| address_key(&text[range])).collect()
    }
}
