//! Finds a second closing or a signature: [`signed_twice`].

use regex::Regex;
use std::sync::LazyLock;

/// A line that can close a message and says nothing else.
static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^\s*(?:(?:(?:best|kind|warm|many) )?(?:regards|wishes|thanks)|best|sincerely|cheers|yours(?: \w+)?|viele grüße|(?:mit )?(?:freundlichen|besten|lieben|herzlichen) grüßen|(?:beste|liebe|freundliche) grüße|cordialement|saludos(?: cordiales)?|cordiali saluti)\s*[,.!]?\s*$",
    )
    .expect("a regular expression that compiles")
});
static SIGNATURE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^(?:-- ?|_{3,})$").expect("a regular expression that compiles")
});
/// A line of more words is a sentence.
const NAME_WORDS: usize = 4;

pub(super) fn signed_twice(text: &str) -> bool {
    SIGNATURE.is_match(text) || closings(text) > 1
}

/// Counts the lines that close a message: a name follows them, or nothing. "Thanks!" may also begin one.
fn closings(text: &str) -> usize {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let next = lines.clone().skip(1).map(Some).chain([None]);
    lines
        .zip(next)
        .filter(|(line, next)| CLOSING.is_match(line) && next.is_none_or(is_name))
        .count()
}

fn is_name(line: &str) -> bool {
    let line = line.trim();
    line.split_whitespace().count() <= NAME_WORDS
        && !line.ends_with(['.', '!', '?', ':', ';', ','])
        && !CLOSING.is_match(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_closing_or_signature_is_found() {
        for text in [
            "Yes.\n\nBest regards,\nSam\n\nKind regards,\nSam",
            "Ja.\n\nViele Grüße\nSam\n\nMit freundlichen Grüßen\nSam",
            "Yes.\n\nCheers\nSam Porter\n\nBest,",
            "Yes.\n-- \nSam Porter, Acme",
        ] {
            assert!(signed_twice(text), "{text}");
        }
    }

    #[test]
    fn thanks_at_the_beginning_or_before_a_closing_is_none() {
        for text in [
            "Hi Ann,\n\nThanks!\n\nI'll look at it tomorrow.\n\nBest,\nSam",
            "Thanks!\n\nWill do.\n\nBest,\nSam",
            "Yes.\n\nMany thanks\nBest regards\nSam",
            "Best regards from Lisbon, and many thanks for the plan.",
        ] {
            assert!(!signed_twice(text), "{text}");
        }
    }
}
