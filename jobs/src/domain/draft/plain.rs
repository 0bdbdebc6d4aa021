//! Turns a model's text into the body of a plain-text email: [`without_marks`] and [`split_subject`].
//!
//! Only what no reader could miss is dropped. Code, and stars that calculate, stay as they are.

use regex::{Captures, Regex};
use std::sync::LazyLock;

static SUBJECT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\A\s*(?:subject|betreff|objet|asunto|oggetto|onderwerp)\s*:(?<subject>[^\n]*)")
        .expect("a regular expression that compiles")
});
static HEADING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^#{1,6}[ \t]+").expect("a regular expression that compiles"));
static EMPHASIS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\*{2,3}(?<stars>[^\s*](?:[^*\n]*[^\s*])?)\*{2,3}|__(?<lines>[^\s_](?:[^_\n]*[^\s_])?)__",
    )
    .expect("a regular expression that compiles")
});

/// Splits a text that begins with its subject, such as `Subject: Plan`, into that subject and the rest.
pub fn split_subject(text: &str) -> (Option<&str>, &str) {
    match SUBJECT.captures(text) {
        Some(found) => {
            let rest = &text[found[0].len()..];
            (found.name("subject").map(|found| found.as_str()), rest)
        }
        None => (None, text),
    }
}

/// Drops Markdown's marks of headings and emphasis, which mail programs show as they are.
pub fn without_marks(text: &str) -> String {
    let mut in_code = false;
    let lines = text.split('\n').map(|line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        if in_code || is_fence {
            line.to_owned()
        } else {
            plain_line(&HEADING.replace(line, ""))
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Every second part between backticks is code.
fn plain_line(line: &str) -> String {
    let parts = line.split('`').enumerate().map(|(place, part)| {
        if place.is_multiple_of(2) {
            without_emphasis(part)
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("`")
}

fn without_emphasis(text: &str) -> String {
    let plain = EMPHASIS.replace_all(text, |found: &Captures<'_>| {
        let words = found.name("stars").or_else(|| found.name("lines"));
        match (words, found.get(0)) {
            (Some(words), Some(whole)) if stands_free(text, whole.start(), whole.end()) => {
                words.as_str().to_owned()
            }
            _ => found[0].to_owned(),
        }
    });
    plain.into_owned()
}

/// Marks inside a word or a name are part of it: `2**3**4`, `__init__.py`.
fn stands_free(text: &str, start: usize, end: usize) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let after = &text[end..];
    let after = after.strip_prefix('.').unwrap_or(after);
    !text[..start].ends_with(is_word) && !after.starts_with(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_headings_and_emphasis_are_dropped() {
        for (text, plain) in [
            (
                "Hello **Ann**,\n\n## Next steps",
                "Hello Ann,\n\nNext steps",
            ),
            ("__Please__ read ***this***.", "Please read this."),
            ("**By Friday:** the plan", "By Friday: the plan"),
            ("**a** **b**", "a b"),
            ("# One\r\n###### Six", "One\r\nSix"),
        ] {
            assert_eq!(without_marks(text), plain, "{text}");
        }
    }

    #[test]
    fn code_and_plain_text_keep_their_marks() {
        for text in [
            "2 ** 3 ** 4",
            "2**3**4",
            "Name: ________ Date: ________",
            "See __init__.py and my__own__name.",
            "#42 is open, and so is C# 12.",
            "####### seven",
            "Run `a **b** c` first.",
            "```sh\n# install\na **b** c\n```",
            "* one\n* two",
        ] {
            assert_eq!(without_marks(text), text);
        }
        assert_eq!(
            without_marks("```\n**a**\n```\n**b** and `**c**`"),
            "```\n**a**\n```\nb and `**c**`"
        );
    }

    #[test]
    fn subject_in_the_first_line_is_split_off() {
        for (text, subject, body) in [
            ("Subject: Re: Plan\n\nHello", " Re: Plan", "\n\nHello"),
            ("\n BETREFF : Plan\nHallo", " Plan", "\nHallo"),
            ("Objet\u{a0}: Plan\nBonjour", " Plan", "\nBonjour"),
            ("Asunto:\nHola", "", "\nHola"),
        ] {
            assert_eq!(split_subject(text), (Some(subject), body));
        }
        for text in [
            "Subject to approval: yes.",
            "Hello,\nSubject: Plan",
            "The subject: plans.",
        ] {
            assert_eq!(split_subject(text), (None, text));
        }
    }
}
