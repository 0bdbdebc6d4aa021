//! Finds what a text gives away or agrees to beyond its task: [`promises_money`], [`quotes`], [`speaks_of_itself`].

use regex::Regex;
use std::{collections::HashSet, sync::LazyLock};

/// Words in a row that are no coincidence.
const QUOTED_WORDS: usize = 7;

/// Names from the schema and the frame of the prompt, which no email contains.
const OWN_WORDS: [&str; 7] = [
    "untrusted",
    "body_text",
    "used_memory_ids",
    "open_questions",
    "system prompt",
    "as an ai language model",
    "<<<",
];

static AMOUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:[$€£¥]|\b(?:usd|eur|gbp|chf|euros?|dollars?|pounds?|franken)\b)\s?\d|\d[\d.,' ]*\s?(?:[$€£¥%]|\b(?:usd|eur|gbp|chf|euros?|dollars?|pounds?|franken|k)\b)")
        .expect("a regular expression that compiles")
});
static PROMISE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:i|we)(?:'ll|’ll| will| shall| can| would| agree| promise| confirm| guarantee| commit| am happy| are happy)\b|\b(?:ich|wir)\s+(?:werden?|zahlen?|überweisen?|erstatten?|bestätigen?|garantieren?|sagen?)\b|\b(?:nous|je)\s+(?:allons|vais|paierons|confirmons?)\b|\byou(?:'ll| will| get| receive)\b|\b(?:sie|du)\s+(?:bekommen|bekommst|erhalten|erhältst)\b")
        .expect("a regular expression that compiles")
});
static PAYMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)\b(?:pay|paying|payment|refund\w*|reimburse\w*|transfer\w*|wire|compensat\w*|discount\w*|credit|voucher|deposit|offer|zahle\w*|zahlung|überweise\w*|überweisung|erstatt\w*|gutschrift|rabatt|rembours\w*|payer\w*|virement)\b")
        .expect("a regular expression that compiles")
});

/// Words of payment that have other meanings, so that they allow nothing without an amount: "Offer Tuesday".
const OTHER_MEANINGS: [&str; 4] = ["offer", "credit", "deposit", "transfer"];

/// Returns whether a sentence promises an amount of money of which `allowed`, the owner's own words, say nothing.
pub(super) fn promises_money(text: &str, allowed: &[&str]) -> bool {
    let owner_speaks_of_it = allowed.iter().any(|said| {
        AMOUNT.is_match(said) || PAYMENT.find_iter(said).any(|word| is_plain(word.as_str()))
    });
    // A point ends a sentence only before a space, so that 1.250 stays whole.
    let mut sentences = text
        .split(['!', '?', '\n'])
        .flat_map(|line| line.split(". "));
    !owner_speaks_of_it
        && sentences.any(|sentence| {
            AMOUNT.is_match(sentence) && PROMISE.is_match(sentence) && PAYMENT.is_match(sentence)
        })
}

/// Returns whether a word of payment can mean nothing else.
fn is_plain(word: &str) -> bool {
    let word = word.to_lowercase();
    !OTHER_MEANINGS.iter().any(|other| word.starts_with(other))
}

/// Returns whether the text repeats a run of words of `source` that `known` does not contain. A source shorter than the run
/// counts if all of it is repeated and it has at least four words.
pub(super) fn quotes(text: &str, source: &str, known: &[&str]) -> bool {
    let wanted = words(source);
    let length = wanted.len().min(QUOTED_WORDS);
    if length < 4 {
        return false;
    }
    let runs = |words: &[String]| -> HashSet<String> {
        words.windows(length).map(|run| run.join(" ")).collect()
    };
    let mut shared = runs(&wanted);
    let said = runs(&words(text));
    shared.retain(|run| said.contains(run));
    if shared.is_empty() {
        return false;
    }
    for known in known {
        let known = runs(&words(known));
        shared.retain(|run| !known.contains(run));
    }
    !shared.is_empty()
}

/// Returns whether the text speaks of the prompt or the answer's form.
pub(super) fn speaks_of_itself(text: &str, known: &[&str]) -> bool {
    let lower = text.to_lowercase();
    OWN_WORDS.iter().any(|word| {
        lower.contains(word)
            && !known
                .iter()
                .any(|known| known.to_lowercase().contains(word))
    })
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promise_of_money_is_found_unless_the_owner_speaks_of_it() {
        for text in [
            "We will refund you EUR 500 by Friday.",
            "I'll pay the $1,200 tomorrow.",
            "Wir überweisen Ihnen 1.250 € bis Freitag.",
            "You will receive a discount of 20%.",
        ] {
            assert!(promises_money(text, &[]), "{text}");
            assert!(
                !promises_money(text, &["Offer them 20 % off, or pay."]),
                "{text}"
            );
            for said in [
                "Offer Tuesday or Wednesday.",
                "Give Ann credit for it.",
                "Transfer the call, and mention the deposit box.",
            ] {
                assert!(promises_money(text, &[said]), "{text} {said}");
            }
            for said in ["Refund it.", "Offer EUR 500.", "A deposit of $5 is fine."] {
                assert!(!promises_money(text, &[said]), "{text} {said}");
            }
        }
        for text in [
            "Thank you for the invoice of EUR 500.",
            "I will read it by Friday.",
            "Did you pay the 500 EUR? We will see on Friday.",
        ] {
            assert!(!promises_money(text, &[]), "{text}");
        }
    }

    #[test]
    fn run_of_words_is_a_quote_unless_it_is_known() {
        let source = "Never pass on what the evidence does not need in an answer";
        assert!(quotes(
            "My rules: never pass on what the evidence does not need!",
            source,
            &[]
        ));
        assert!(!quotes(
            "I pass on what you need in an answer.",
            source,
            &[]
        ));
        let known = ["They said: never pass on what the evidence does not need."];
        assert!(!quotes(
            "Never pass on what the evidence does not need.",
            source,
            &known
        ));
        assert!(quotes(
            "Note that salary is ninety thousand.",
            "salary is ninety thousand",
            &[]
        ));
        assert!(!quotes("I am brief.", "brief", &[]));
    }

    #[test]
    fn words_of_the_prompt_are_found() {
        assert!(speaks_of_itself("My system prompt says no.", &[]));
        assert!(speaks_of_itself("used_memory_ids: none", &[]));
        assert!(!speaks_of_itself(
            "The source is untrusted.",
            &["an Untrusted source"]
        ));
    }
}
