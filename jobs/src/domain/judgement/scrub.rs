//! Takes out of a model's texts what it may not pass on: [`scrub`], and says which labels it may not set:
//! [`is_reserved_label`].
//!
//! The texts are shown to the user without anybody's approval, so that a link or an address in them would be the sender's
//! way to the user.

use crate::domain::draft::check::{
    links::{addresses, links},
    secrets::secrets,
};
use std::ops::Range;

/// Labels that mail programs give a meaning to, with or without the mark `$` (IANA's registry of IMAP keywords).
const RESERVED: [&str; 12] = [
    "junk",
    "nonjunk",
    "notjunk",
    "phishing",
    "forwarded",
    "mdnsent",
    "submitted",
    "submitpending",
    "redirected",
    "deleted",
    "seen",
    "answered",
];

/// Returns the text without links, email addresses and what looks like a secret; each leaves a mark.
pub fn scrub(text: &str) -> String {
    let mut found: Vec<(Range<usize>, &str)> = Vec::new();
    found.extend(
        secrets(text)
            .into_iter()
            .map(|range| (range, "[secret removed]")),
    );
    found.extend(
        links(text)
            .into_iter()
            .map(|link| (link.range, "[link removed]")),
    );
    found.extend(
        addresses(text)
            .into_iter()
            .map(|range| (range, "[address removed]")),
    );
    // Secrets first, where two overlap: `sort_by_key` keeps the order of equals.
    found.sort_by_key(|(range, _)| range.start);
    let mut kept = String::with_capacity(text.len());
    let mut end = 0;
    for (range, mark) in found {
        if range.start >= end {
            kept.push_str(&text[end..range.start]);
            kept.push_str(mark);
        }
        end = end.max(range.end);
    }
    kept.push_str(text.get(end..).unwrap_or_default());
    kept
}

/// Returns whether the label has a meaning for mail programs, which a model must not set.
pub fn is_reserved_label(label: &str) -> bool {
    let bare = label.trim();
    let word: String = bare
        .trim_start_matches(['$', '\\', '_'])
        .chars()
        .filter(|char| char.is_alphanumeric())
        .collect();
    bare.starts_with(['$', '\\']) || RESERVED.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_addresses_and_secrets_are_taken_out() {
        for (text, kept) in [
            (
                "Pay at https://evil.example/x now.",
                "Pay at [link removed] now.",
            ),
            ("Pay at evil.example/x", "Pay at [link removed]"),
            (
                "Write to eve@evil.example, please",
                "Write to [address removed], please",
            ),
            ("Your code is 493817.", "Your code is [secret removed]."),
            ("mailto:eve@evil.example", "[link removed]"),
            (
                "Ann asks for the plan by Friday, 3.5 MB",
                "Ann asks for the plan by Friday, 3.5 MB",
            ),
            ("", ""),
        ] {
            assert_eq!(scrub(text), kept, "{text}");
        }
        let key = format!("see https://a.example/?k=AKIA{}", "ABCDEFGHIJKLMNOP");
        assert_eq!(scrub(&key), "see [link removed]");
    }

    #[test]
    fn labels_of_mail_programs_are_reserved_in_every_spelling() {
        for label in [
            "$Junk",
            "$Phishing",
            "$NotJunk",
            "$Forwarded",
            "$MDNSent",
            "$label1",
            "\\Deleted",
            "Junk",
            "NonJunk",
            " $junk ",
            "phishing",
            "not junk",
        ] {
            assert!(is_reserved_label(label), "{label}");
        }
        for label in [
            "bills",
            "Invoices 2026",
            "Important",
            "cost $5",
            "junk food",
        ] {
            assert!(!is_reserved_label(label), "{label}");
        }
    }
}
