//! Finds gaps that somebody was to fill in: [`has_placeholder`].

use regex::Regex;
use std::sync::LazyLock;

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[[\p{L}][^\]\n]{0,60}\]|\{\{|\}\}|<(?i:your|name|date|insert|recipient)[^>\n]{0,40}>|(?i:\blorem ipsum\b)|\b(?:TO-?DO|TBD|XXX+)\b")
        .expect("a regular expression that compiles")
});

/// What a merge of addresses left open in the email stays a gap in the answer.
static GAP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^\[(?:your|my|insert|recipient|sender|(?:first |last |full )?name|date|time|company|address|phone)\b")
        .expect("a regular expression that compiles")
});

/// Words in brackets that `known` has too are none, such as a ticket: `[JIRA-123]`.
pub(super) fn has_placeholder(text: &str, known: &[&str]) -> bool {
    PLACEHOLDER.find_iter(text).any(|found| {
        let found = found.as_str();
        !(found.starts_with('[')
            && !GAP.is_match(found)
            && known.iter().any(|known| known.contains(found)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_to_be_filled_in_are_found() {
        for text in [
            "Dear [Name], yes.",
            "Dear {{first_name}}, yes.",
            "See you on <date>.",
            "Dear Ada, lorem ipsum.",
            "The price is TBD.",
            "Regards, [Your full name]",
            "See [JIRA-123].",
        ] {
            assert!(has_placeholder(text, &[]), "{text}");
        }
    }

    #[test]
    fn words_in_brackets_that_are_known_are_no_gap() {
        let known = ["[EXTERNAL] The plan of [JIRA-123]", "See [Appendix A]."];
        for text in [
            "[EXTERNAL] is new.",
            "[JIRA-123] is done, see [Appendix A].",
        ] {
            assert!(!has_placeholder(text, &known), "{text}");
        }
        assert!(has_placeholder("See [JIRA-124].", &known));
        assert!(has_placeholder("Dear {{name}}", &["Dear {{name}}"]));
        assert!(has_placeholder(
            "Dear [First Name],",
            &["Dear [First Name],"]
        ));
    }
}
