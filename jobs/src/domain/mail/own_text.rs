//! What the writer of an email says in it: [`own_text`], without quoted lines, the email that is answered and the signature.

mod quote_words;

use quote_words::{FROM, OTHERS, SENT, WROTE};

/// Writer and date of an earlier email stand within so many lines.
const BLOCK: usize = 5;
/// The line above a quote is folded into so many lines at most, and as many characters.
const FOLDED: usize = 3;
const ATTRIBUTION: usize = 300;

/// The lines of a body that its writer wrote, up to the signature or the email that is answered below them. Below a quote that
/// is marked line by line they go on.
pub fn own_text(body_text: &str) -> String {
    let lines = without_pgp_headers(body_text);
    let mut own: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if line == "--" || is_rule_with_words(line) || begins_earlier_email(&lines[at..]) {
            break;
        }
        if let Some(length) = attribution(&lines[at..]) {
            let mut below = lines[at + length..].iter().filter(|line| !line.is_empty());
            if !below.next().is_some_and(|line| line.starts_with('>')) {
                break;
            }
            at += length;
            continue;
        }
        if !line.starts_with('>') {
            own.push(line);
        }
        at += 1;
    }
    own.join("\n")
}

/// How many lines the sentence has that a program puts above a quote: `On 23 Nov 2026 at 10:00, Ada <ada@x.example> wrote:`.
fn attribution(lines: &[&str]) -> Option<usize> {
    let first = *lines.first()?;
    let begins =
        !first.starts_with('>') && first.contains(|c: char| c.is_ascii_digit() || c == '<');
    let folded = lines
        .iter()
        .take(FOLDED)
        .take_while(|line| !line.is_empty());
    let mut sentence = String::new();
    for (n, line) in folded.enumerate().take_while(|_| begins) {
        sentence.push(' ');
        sentence.push_str(line);
        if is_attribution(sentence.trim()) {
            return Some(n + 1);
        }
    }
    None
}

fn is_attribution(sentence: &str) -> bool {
    let words = sentence.trim_matches(|c: char| matches!(c, '-' | '*' | '_') || c.is_whitespace());
    let ends = sentence.ends_with([':', '\u{ff1a}'])
        || words.ends_with(':')
        || sentence.starts_with("--") && sentence.ends_with("--");
    if !ends
        || sentence.chars().count() > ATTRIBUTION
        || !words.contains(|c: char| c.is_ascii_digit())
    {
        return false;
    }
    let lower = words.to_lowercase();
    let mut numbers = words.split(|c: char| !c.is_ascii_digit());
    let has_year = numbers.any(|number| number.len() == 4 && number.starts_with(['1', '2']));
    WROTE.iter().any(|verb| lower.contains(verb)) || words.contains('@') && has_year
}

/// The lines without those that begin a clear signature (RFC 9580 §7): they are neither text nor a mark of a quote.
fn without_pgp_headers(body_text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut in_header = false;
    for line in body_text.lines().map(str::trim) {
        let begins = line == "-----BEGIN PGP SIGNED MESSAGE-----";
        in_header = begins || in_header && line.starts_with("Hash:");
        if !in_header {
            lines.push(line);
        }
    }
    lines
}

/// `-----Original Message-----`, in whatever language.
fn is_rule_with_words(line: &str) -> bool {
    let inner = line.trim_start_matches('-');
    let closed = inner.split_once("---");
    // Yahoo goes on behind the rule.
    line.starts_with("----")
        && closed.is_some_and(|(words, _)| words.chars().any(char::is_alphabetic))
}

/// The header lines of an earlier email, in whatever order: its writer and its date stand near.
fn begins_earlier_email(lines: &[&str]) -> bool {
    let named = |line: &&str, names: &[&str]| {
        label(line).is_some_and(|label| names.contains(&label.as_str()))
    };
    let Some(first) = lines.first() else {
        return false;
    };
    if ![FROM, SENT, OTHERS].iter().any(|names| named(first, names)) {
        return false;
    }
    let near: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !line.is_empty())
        .take(BLOCK)
        .collect();
    let has = |names| near.iter().any(|line| named(line, names));
    has(FROM) && has(SENT)
}

/// What stands before the colon, in lower case and without the marks of bold text.
fn label(line: &str) -> Option<String> {
    let (label, _) = line.split_once([':', '\u{ff1a}'])?;
    Some(
        label
            .trim_matches(|c: char| c == '*' || c.is_whitespace())
            .to_lowercase(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_text_ends_above_the_email_that_is_answered_and_the_signature() {
        for below in [
            "-- \nNora\nQuestions? Call us.",
            "> Does Friday work?",
            "-----Original Message-----\nFrom: Bob\nDoes Friday work?",
            "-----Ursprüngliche Nachricht-----\nPasst es?",
            "Von: Bob <bob@x.example>\nGesendet: Montag, 23. November 2026 10:00\nAn: Nora\nBetreff: Plan\n\nPasst es?",
            "*From:* Bob\n*Sent:* Monday, November 23, 2026 10:00 AM\n\nDoes Friday work?",
            "De : Bob\nEnvoyé : lundi 23 novembre 2026\nÀ : Nora\n\nÇa va ?",
            "От: Bob\nОтправлено: 23 ноября 2026 г.\n\nХорошо?",
            "差出人: Bob\n送信日時: 2026年11月23日\n\nいいですか？",
            "Betreff: Plan\nDatum: Mon, 23 Nov 2026 10:00:00 +0100\nVon: Bob\nAn: Nora\n\nPasst es?",
            "Gesendet: Montag, 23. November 2026 um 10:00 Uhr\nVon: Bob\n\nPasst es?",
            "On Nov 23, 2026, at 10:00 AM, Bob <bob@x.example> wrote:\n\nDoes Friday work?",
            "On Mon, 23 Nov 2026 at 10:00, Bob\n<bob@x.example> wrote:\n\n> Does Friday work?",
            "Am 23.11.26 um 10:00 schrieb Bob:\nPasst es?",
            "W dniu 23.11.2026 o 10:00, Bob pisze:\n\nPasuje?",
            "في الاثنين 23 نوفمبر 2026 في 10:00 تمت كتابة ما يلي بواسطة Bob:\n\nهل يناسبك؟",
            "Le lun. 23 nov. 2026 à 10:00, Bob <bob@x.example> a écrit :\n\nÇa va ?",
            "---- On Mon, 23 Nov 2026 10:00:00 +0100 bob@x.example wrote ----\n\nDoes Friday work?",
            "2026年11月23日(月) 10:00 Bob <bob@x.example>:\n\nいいですか？",
        ] {
            assert_eq!(
                own_text(&format!("Thanks.\n\n{below}")).trim(),
                "Thanks.",
                "{below}"
            );
        }
    }

    #[test]
    fn frame_of_a_clear_signature_is_no_text_and_no_quote() {
        let signed = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nWhich room?\nHash: brown\n\
            -----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----";
        assert_eq!(own_text(signed).trim(), "Which room?\nHash: brown");
        let above = format!("Hi,\n{signed}");
        assert_eq!(own_text(&above).trim(), "Hi,\n\nWhich room?\nHash: brown");
    }

    #[test]
    fn own_text_goes_on_below_a_quote_that_is_marked() {
        let text = "On Mon, 23 Nov 2026 at 10:00, Bob <bob@x.example> wrote:\n> Does Friday work?\n\nYes. And for you?";
        assert_eq!(own_text(text).trim(), "Yes. And for you?");
    }

    #[test]
    fn text_with_colons_and_rules_is_the_writer_s_own() {
        for text in [
            "From: Berlin\nTo: Rome\nWhich train?",
            "-----\nWhich one?",
            "Note: the date\nDate: Friday?",
            "We meet at 10:00 in room 2026:\nwhich one is it?",
            "Ada wrote a letter. What is in it?",
        ] {
            assert_eq!(own_text(text), text);
        }
    }
}
