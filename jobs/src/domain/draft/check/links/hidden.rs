//! Signs that words stand for, so that no filter sees an address or a domain: `eve at evil dot com`, `evil[.]com`.

use regex::Regex;
use std::sync::LazyLock;

/// A part of a host.
pub(super) const LABEL: &str = r"[\p{L}\p{N}-]+";
pub(super) const AT_IN_BRACKETS: &str = r"\s?[\[({]\s?(?i:at|@)\s?[\])}]\s?";
pub(super) const DOT_IN_BRACKETS: &str = r"\s?[\[({]\s?(?i:dot|\.)\s?[\])}]\s?";
/// In brackets, or a word of its own.
pub(super) const HIDDEN_DOT: &str = r"(?:\s?[\[({]\s?(?i:dot|\.)\s?[\])}]\s?|\s(?i:dot)\s)";

static AT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(&format!(r"{AT_IN_BRACKETS}|＠|\s(?i:at)\s"))
        .expect("a regular expression that compiles")
});
static DOT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(HIDDEN_DOT).expect("a regular expression that compiles"));

/// Returns an address with its signs, without spaces.
pub(super) fn unhidden(address: &str) -> String {
    with_dots(&AT.replace_all(address, "@"))
}

/// Returns a link with its dots, without spaces.
pub(super) fn with_dots(link: &str) -> String {
    DOT.replace_all(link, ".").split_whitespace().collect()
}
