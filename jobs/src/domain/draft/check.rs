//! Checks whether a text may be sent in a person's name: [`check`], pure, and the same for every text a model writes.
//!
//! Finds what models get wrong and what they could be talked into: placeholders, another language, links that were not
//! given, secrets.

mod secrets;

use regex::Regex;
use std::{collections::HashMap, sync::LazyLock};
use uuid::Uuid;

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[[\p{L}][^\]\n]{0,60}\]|\{\{|\}\}|<(?i:your|name|date|insert|recipient)[^>\n]{0,40}>|(?i:\blorem ipsum\b)|\b(?:TO-?DO|TBD|XXX+)\b")
        .expect("a regular expression that compiles")
});
static URL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?:https?://|www\.)[^\s<>"'\)\]]+"#)
        .expect("a regular expression that compiles")
});
/// A line that closes a message and says nothing else.
static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?im)^\s*(?:(?:(?:best|kind|warm|many) )?(?:regards|wishes|thanks)|best|sincerely|cheers|yours(?: \w+)?|viele grüße|(?:mit )?(?:freundlichen|besten|lieben|herzlichen) grüßen|(?:beste|liebe|freundliche) grüße|cordialement|saludos(?: cordiales)?|cordiali saluti)\s*[,.!]?\s*$",
    )
    .expect("a regular expression that compiles")
});
static SIGNATURE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^(?:-- ?|_{3,})$").expect("a regular expression that compiles")
});

/// Fewer letters than this say nothing about a language.
const LANGUAGE_LETTERS: usize = 40;
/// The same words repeated this often mean that the model is stuck.
const REPEATS: usize = 3;
const REPEATED_WORDS: usize = 4;

/// A text and what it is checked against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked<'a> {
    pub text: &'a str,
    /// The longest text that was asked for, in words.
    pub max_words: usize,
    /// The text it replies to, whose language it must have; empty if there is none.
    pub answers: &'a str,
    /// Everything that may name a link: the thread, and the user's instructions.
    pub known: &'a [&'a str],
    /// The memories that it claims to use, and those it was given.
    pub memories: (&'a [Uuid], &'a [Uuid]),
}

/// A fault of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextFault {
    Empty,
    TooLong,
    Placeholder,
    SecondSignature,
    OtherLanguage,
    Repetition,
    UnknownLink,
    Secret,
    UnknownMemory,
}

impl TextFault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::Placeholder => "placeholder",
            Self::SecondSignature => "second_signature",
            Self::OtherLanguage => "other_language",
            Self::Repetition => "repetition",
            Self::UnknownLink => "unknown_link",
            Self::Secret => "secret",
            Self::UnknownMemory => "unknown_memory",
        }
    }

    /// Returns the instruction to correct it, for the model.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Empty => "The text is empty.",
            Self::TooLong => "The text has too many words: say the same in fewer.",
            Self::Placeholder => {
                "The text has gaps to be filled in, such as [Name]: write it without them, and ask in open_questions."
            }
            Self::SecondSignature => {
                "The text has a signature or more than one closing: end with one closing at most."
            }
            Self::OtherLanguage => "The text is in another language than the message it answers.",
            Self::Repetition => "The text says the same again and again.",
            Self::UnknownLink => {
                "The text has a link that stands neither in the thread nor in the instructions."
            }
            Self::Secret => {
                "The text holds what looks like a password, a key or a card number: leave it out."
            }
            Self::UnknownMemory => "used_memory_ids names a memory that was not given.",
        }
    }
}

/// Lists all faults of the text, in the order of [`TextFault`].
pub fn check(checked: &Checked<'_>) -> Vec<TextFault> {
    let text = checked.text;
    if text.trim().is_empty() {
        return vec![TextFault::Empty];
    }
    let (used, offered) = checked.memories;
    let found = [
        (TextFault::TooLong, too_long(text, checked.max_words)),
        (TextFault::Placeholder, PLACEHOLDER.is_match(text)),
        (TextFault::SecondSignature, signed_twice(text)),
        (
            TextFault::OtherLanguage,
            other_language(text, checked.answers),
        ),
        (TextFault::Repetition, repeats(text)),
        (TextFault::UnknownLink, unknown_link(text, checked.known)),
        (TextFault::Secret, secrets::holds_one(text)),
        (
            TextFault::UnknownMemory,
            used.iter().any(|id| !offered.contains(id)),
        ),
    ];
    found
        .into_iter()
        .filter_map(|(fault, is)| is.then_some(fault))
        .collect()
}

/// Allows some excess: models count badly.
fn too_long(text: &str, max_words: usize) -> bool {
    text.split_whitespace().count() * 10 > max_words * 13
}

fn signed_twice(text: &str) -> bool {
    SIGNATURE.is_match(text) || CLOSING.find_iter(text).count() > 1
}

/// Returns the English name of a text's language, if the text is long enough to tell.
pub fn language_name(text: &str) -> Option<&'static str> {
    language(text).map(|language| language.eng_name())
}

fn language(text: &str) -> Option<whatlang::Lang> {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    whatlang::detect(text)
        .filter(|found| letters >= LANGUAGE_LETTERS && found.is_reliable())
        .map(|found| found.lang())
}

/// Compares languages only where both texts are long enough to tell.
fn other_language(text: &str, answers: &str) -> bool {
    match (language(text), language(answers)) {
        (Some(written), Some(expected)) => written != expected,
        _ => false,
    }
}

/// Finds a sentence that is repeated.
fn repeats(text: &str) -> bool {
    let mut seen: HashMap<String, usize> = HashMap::new();
    text.split(['.', '!', '?', '\n', ';'])
        .map(|sentence| {
            let words: Vec<String> = sentence.split_whitespace().map(str::to_lowercase).collect();
            words
        })
        .filter(|words| words.len() >= REPEATED_WORDS)
        .any(|words| {
            let times = seen.entry(words.join(" ")).or_default();
            *times += 1;
            *times >= REPEATS
        })
}

fn unknown_link(text: &str, known: &[&str]) -> bool {
    let allowed: Vec<String> = known.iter().flat_map(|text| links(text)).collect();
    links(text).iter().any(|link| !allowed.contains(link))
}

/// Extracts links as they are compared: host and path, without the marks that end a sentence.
fn links(text: &str) -> Vec<String> {
    URL.find_iter(text)
        .map(|found| {
            let link = found
                .as_str()
                .trim_end_matches(['.', ',', ';', ':', '!', '?', '/', '*', '_']);
            let bare = link.split_once("://").map_or(link, |(_, rest)| rest);
            let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
            format!("{}/{path}", host.to_lowercase())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<TextFault> {
        check(&Checked {
            text,
            max_words: 100,
            ..Checked::default()
        })
    }

    #[test]
    fn an_ordinary_answer_is_fit() {
        let text =
            "Hello Ada,\n\nThursday at ten suits me; see [1] for the room.\n\nBest regards,\nSam";
        assert_eq!(faults(text), []);
    }

    #[test]
    fn an_empty_text_is_not() {
        assert_eq!(faults(" \n\t"), [TextFault::Empty]);
    }

    #[test]
    fn a_third_over_the_limit_is_too_long() {
        let fits = "word ".repeat(130);
        let over = "word ".repeat(131);
        assert!(!faults(&fits).contains(&TextFault::TooLong));
        assert!(faults(&over).contains(&TextFault::TooLong));
    }

    #[test]
    fn gaps_to_be_filled_in_are_found() {
        for text in [
            "Dear [Name], yes.",
            "Dear {{first_name}}, yes.",
            "See you on <date>.",
            "Dear Ada, lorem ipsum.",
            "The price is TBD.",
            "Regards, [Your full name]",
        ] {
            assert_eq!(faults(text), [TextFault::Placeholder], "{text}");
        }
    }

    #[test]
    fn one_closing_is_enough() {
        for text in [
            "Yes.\n\nBest regards,\nSam\n\nKind regards,\nSam",
            "Ja.\n\nViele Grüße\nSam\n\nMit freundlichen Grüßen\nSam",
            "Yes.\n-- \nSam Porter, Acme",
        ] {
            assert_eq!(faults(text), [TextFault::SecondSignature], "{text}");
        }
        assert_eq!(
            faults("Best regards from Lisbon, and many thanks for the plan."),
            []
        );
    }

    #[test]
    fn an_answer_has_the_language_of_the_message() {
        let german = "Guten Tag, können Sie mir bitte bis Freitag sagen, welche Fassung der Zeichnung gültig ist?";
        let english = "Good morning, the version of the drawing that is valid is the one we sent you on Friday.";
        let answered = |text, answers| {
            check(&Checked {
                text,
                answers,
                max_words: 100,
                ..Checked::default()
            })
        };
        assert_eq!(answered(english, german), [TextFault::OtherLanguage]);
        assert_eq!(answered(german, german), []);
        // Too short to tell.
        assert_eq!(answered("Yes, of course.", german), []);
    }

    #[test]
    fn a_text_that_goes_round_in_circles_is_found() {
        let text = "I will send the plan. I will send the plan! i will send the plan";
        assert_eq!(faults(text), [TextFault::Repetition]);
        assert_eq!(faults("Yes. Yes. Yes. I will send the plan."), []);
    }

    #[test]
    fn a_link_must_have_been_named_before() {
        let known = ["See https://Acme.example/plan/ for more."];
        let linked = |text| {
            check(&Checked {
                text,
                known: &known,
                max_words: 100,
                ..Checked::default()
            })
        };
        assert_eq!(linked("It is at http://acme.example/plan."), []);
        for text in [
            "It is at https://acme.example/plan2.",
            "It is at https://evil.example/plan.",
            "It is at www.evil.example.",
        ] {
            assert_eq!(linked(text), [TextFault::UnknownLink], "{text}");
        }
    }

    #[test]
    fn memories_that_were_not_shown_cannot_have_been_used() {
        let (shown, made_up) = (Uuid::now_v7(), Uuid::now_v7());
        let used = |id: &[Uuid]| {
            check(&Checked {
                text: "Yes.",
                max_words: 10,
                memories: (id, &[shown]),
                ..Checked::default()
            })
        };
        assert_eq!(used(&[shown]), []);
        assert_eq!(used(&[shown, made_up]), [TextFault::UnknownMemory]);
    }
}
