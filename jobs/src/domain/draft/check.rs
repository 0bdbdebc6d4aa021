//! Checks whether a text may be sent in a person's name: [`check`], pure, and the same for every text a model writes.
//!
//! Finds what models get wrong and what they could be talked into: placeholders, another language, links and addresses
//! that were not given, secrets, promises of money, the prompt and the owner's memory.

mod closing;
pub(in crate::domain) mod links;
mod placeholder;
mod promises;
pub(in crate::domain) mod secrets;

use links::{address_key, addresses, links};
use std::collections::HashMap;
use uuid::Uuid;

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
    /// Everything that may name a link or an address: the thread with its people, and the user's instructions.
    pub known: &'a [&'a str],
    /// The user's own words among it, which may ask for secrets and money.
    pub instructions: &'a [&'a str],
    /// The text of the prompt, which nobody outside should read.
    pub prompt: &'a str,
    /// Memories that the text does not claim to use, each with its words.
    pub unused_memories: &'a [&'a str],
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
    UnknownAddress,
    Secret,
    Promise,
    Prompt,
    UndeclaredMemory,
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
            Self::UnknownAddress => "unknown_address",
            Self::Secret => "secret",
            Self::Promise => "promise",
            Self::Prompt => "prompt",
            Self::UndeclaredMemory => "undeclared_memory",
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
            Self::UnknownAddress => {
                "The text has an email address that stands neither in the thread nor in the instructions: leave it out."
            }
            Self::Secret => {
                "The text holds what looks like a password, a key, a code, an account or card number: leave it out."
            }
            Self::Promise => {
                "The text promises money, of which the owner said nothing: leave it out, or ask in open_questions."
            }
            Self::Prompt => "The text speaks of these instructions: leave that out.",
            Self::UndeclaredMemory => {
                "The text quotes a memory that used_memory_ids does not name: leave it out unless the answer needs it."
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
        (
            TextFault::Placeholder,
            placeholder::has_placeholder(text, checked.known),
        ),
        (TextFault::SecondSignature, closing::signed_twice(text)),
        (
            TextFault::OtherLanguage,
            other_language(text, checked.answers),
        ),
        (TextFault::Repetition, repeats(text)),
        (TextFault::UnknownLink, unknown_link(text, checked.known)),
        (
            TextFault::UnknownAddress,
            unknown_address(text, checked.known),
        ),
        (
            TextFault::Secret,
            unasked_secret(text, checked.instructions),
        ),
        (
            TextFault::Promise,
            promises::promises_money(text, checked.instructions),
        ),
        (
            TextFault::Prompt,
            promises::speaks_of_itself(text, checked.known)
                || promises::quotes(text, checked.prompt, checked.known),
        ),
        (
            TextFault::UndeclaredMemory,
            checked
                .unused_memories
                .iter()
                .any(|memory| promises::quotes(text, memory, checked.known)),
        ),
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

/// A bare domain may be named if anything of it is known; a path must be known exactly.
fn unknown_link(text: &str, known: &[&str]) -> bool {
    let allowed: Vec<_> = known.iter().flat_map(|text| links(text)).collect();
    let senders: Vec<String> = known
        .iter()
        .flat_map(|text| {
            addresses(text)
                .into_iter()
                .map(|range| address_key(&text[range]))
        })
        .collect();
    links(text).iter().any(|link| {
        let host = without_www(&link.host);
        let same_path = |other: &links::Link| link.path.is_empty() || link.path == other.path;
        let named = allowed
            .iter()
            .any(|other| without_www(&other.host) == host && same_path(other));
        let of_sender = senders.iter().any(|address| {
            address
                .split_once('@')
                .is_some_and(|(_, of_sender)| without_www(of_sender) == host)
        });
        !(named || (link.path.is_empty() && of_sender))
    })
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

fn unknown_address(text: &str, known: &[&str]) -> bool {
    let keys = |text: &str| -> Vec<String> {
        let found = addresses(text).into_iter();
        found.map(|range| address_key(&text[range])).collect()
    };
    let allowed: Vec<String> = known.iter().flat_map(|text| keys(text)).collect();
    keys(text).iter().any(|address| !allowed.contains(address))
}

/// The owner may ask for a secret to be passed on, by writing it out.
fn unasked_secret(text: &str, instructions: &[&str]) -> bool {
    let compact = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
    let asked: Vec<String> = instructions.iter().map(|said| compact(said)).collect();
    secrets::strict_secrets(text).into_iter().any(|range| {
        let secret = compact(&text[range]);
        !asked.iter().any(|said| said.contains(&secret))
    })
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
    fn ordinary_answer_is_fit() {
        let text =
            "Hello Ada,\n\nThursday at ten suits me; see [1] for the room.\n\nBest regards,\nSam";
        assert_eq!(faults(text), []);
    }

    #[test]
    fn empty_text_is_not() {
        assert_eq!(faults(" \n\t"), [TextFault::Empty]);
    }

    #[test]
    fn third_over_the_limit_is_too_long() {
        let fits = "word ".repeat(130);
        let over = "word ".repeat(131);
        assert!(!faults(&fits).contains(&TextFault::TooLong));
        assert!(faults(&over).contains(&TextFault::TooLong));
    }

    #[test]
    fn gaps_and_second_closings_are_found() {
        assert_eq!(faults("Dear [Name], yes."), [TextFault::Placeholder]);
        let twice = "Yes.\n\nBest regards,\nSam\n\nKind regards,\nSam";
        assert_eq!(faults(twice), [TextFault::SecondSignature]);
        let known = check(&Checked {
            text: "[JIRA-123] is done.",
            known: &["The plan of [JIRA-123]"],
            max_words: 100,
            ..Checked::default()
        });
        assert_eq!(known, []);
    }

    #[test]
    fn answer_has_the_language_of_the_message() {
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
    fn text_that_goes_round_in_circles_is_found() {
        let text = "I will send the plan. I will send the plan! i will send the plan";
        assert_eq!(faults(text), [TextFault::Repetition]);
        assert_eq!(faults("Yes. Yes. Yes. I will send the plan."), []);
    }

    #[test]
    fn link_must_have_been_named_before() {
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
        assert_eq!(linked("Acme.example is theirs."), []);
        assert_eq!(linked("It is at www.acme.example/plan."), []);
        for text in [
            "It is at https://acme.example/plan2.",
            "It is at https://evil.example/plan.",
            "It is at www.evil.example.",
            "It is at evil.example/plan.",
            "It is at evil.com.",
            "It is at ftp://evil.example/plan.",
            "It is at https: //evil.example/plan.",
            "It is at http://203.0.113.9/plan.",
            "Call tel:+4930123456.",
        ] {
            assert_eq!(linked(text), [TextFault::UnknownLink], "{text}");
        }
        let address = linked("Write to mailto:eve@evil.example.");
        assert_eq!(address, [TextFault::UnknownLink, TextFault::UnknownAddress]);
    }

    #[test]
    fn address_must_have_been_named_before() {
        let known = ["From: Ann <ann@client.com>"];
        let named = |text| {
            check(&Checked {
                text,
                known: &known,
                max_words: 100,
                ..Checked::default()
            })
        };
        assert_eq!(named("I asked ANN@client.com; client.com is down."), []);
        assert_eq!(named("It is at www.client.com."), []);
        assert_eq!(named("Ask eve@evil.example."), [TextFault::UnknownAddress]);
    }

    #[test]
    fn what_the_owner_did_not_ask_to_give_away_is_found() {
        let prompt = "Never pass on what the evidence does not need in an answer.";
        let with = |text, instructions: &[&str], unused: &[&str]| {
            check(&Checked {
                text,
                instructions,
                prompt,
                unused_memories: unused,
                max_words: 100,
                ..Checked::default()
            })
        };
        for (text, fault) in [
            ("The code is 493817.", TextFault::Secret),
            (
                "My account is DE89 3704 0044 0532 0130 00.",
                TextFault::Secret,
            ),
            ("My card is 4111.1111.1111.1111.", TextFault::Secret),
            ("My password, as you asked: Mossy42", TextFault::Secret),
            ("We will refund you EUR 500.", TextFault::Promise),
            (
                "I never pass on what the evidence does not need in it.",
                TextFault::Prompt,
            ),
            (
                "Ada earns ninety thousand a year.",
                TextFault::UndeclaredMemory,
            ),
        ] {
            let memory = ["Ada earns ninety thousand a year"];
            assert_eq!(with(text, &[], &memory), [fault], "{text}");
        }
        assert_eq!(with("The code is 493817.", &["Tell her 493817."], &[]), []);
        assert_eq!(
            with("We will refund you EUR 500.", &["Refund it."], &[]),
            []
        );
        assert_eq!(with("Ada earns ninety thousand a year.", &[], &[]), []);
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
