//! Patterns with `*` and `?` for senders, recipients, lists and file names.
//!
//! An address pattern (with `@`) matches the address alone, never the display name: anyone can call themselves
//! `boss@client.com`. A pattern without `@` matches a display name; one with `<` the whole `Name <address>`.

use crate::domain::mail::Address;

/// A compiled pattern. Case-insensitive; a dot is a dot; always matches as a whole.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    parts: Box<[Part]>,
    form: Form,
    exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Any number of characters.
    Star,
    /// One character.
    Any,
    /// This character, in lower case.
    Char(char),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Address,
    Name,
    NameAndAddress,
}

/// Longer than any address (RFC 5321 §4.5.3.1) with a name before it.
const MAX_LENGTH: usize = 400;
/// Each star multiplies what the matcher has to try.
const MAX_STARS: usize = 8;

impl Glob {
    /// # Errors
    /// Why the pattern is not valid, for the person who wrote it.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let pattern = pattern.trim();
        if pattern.is_empty() {
            return Err("the pattern is blank".into());
        }
        if pattern.chars().count() > MAX_LENGTH {
            return Err(format!(
                "the pattern is longer than {MAX_LENGTH} characters"
            ));
        }
        if pattern.chars().any(char::is_control) {
            return Err("the pattern holds control characters".into());
        }
        if let Some(bracket) = pattern.chars().find(|c| "[]{}".contains(*c)) {
            return Err(format!(
                "`{bracket}` has no meaning here; only * and ? are wildcards"
            ));
        }
        if pattern.matches('*').count() > MAX_STARS {
            return Err(format!("more than {MAX_STARS} stars"));
        }
        if pattern.chars().all(|c| matches!(c, '*' | '?' | '@' | '.')) {
            return Err("the pattern matches everybody; leave the field out instead".into());
        }
        let form = match (pattern.contains('<'), pattern.matches('@').count()) {
            (true, _) => Form::NameAndAddress,
            (false, 0) => Form::Name,
            (false, 1) => Form::Address,
            (false, _) => return Err("an address has one @".into()),
        };
        let parts = lower(pattern).map(|c| match c {
            '*' => Part::Star,
            '?' => Part::Any,
            c => Part::Char(c),
        });
        Ok(Self {
            parts: parts.collect(),
            form,
            exact: !pattern.contains(['*', '?']),
        })
    }

    pub(super) fn matches_address(&self, address: &Address) -> bool {
        match self.form {
            Form::Address => self.matches_text(&address.addr),
            Form::Name => address
                .name
                .as_deref()
                .is_some_and(|name| self.matches_text(name)),
            Form::NameAndAddress => self.matches_text(&address.to_string()),
        }
    }

    /// Tries each star with as little as possible and returns only to the last one: the time is the product of both lengths
    /// at most, and nothing is allocated but the text in lower case.
    pub(super) fn matches_text(&self, text: &str) -> bool {
        let text: Vec<char> = lower(text).collect();
        let (mut part, mut at) = (0, 0);
        // The last star, and where the text after it begins.
        let mut star = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Star) => {
                    star = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(Part::Any) => {}
                Some(Part::Char(c)) if *c == text[at] => {}
                Some(Part::Char(_)) | None => {
                    let Some((of_star, from)) = star else {
                        return false;
                    };
                    star = Some((of_star, from + 1));
                    (part, at) = (of_star + 1, from + 1);
                    continue;
                }
            }
            part += 1;
            at += 1;
        }
        self.parts[part..].iter().all(|part| *part == Part::Star)
    }

    /// Reports whether it stands for exactly one address: only such a sender's message may cause a message.
    pub(super) fn is_one_address(&self) -> bool {
        self.exact && self.form == Form::Address
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str, addr: &str) -> Address {
        Address {
            name: (!name.is_empty()).then(|| name.to_owned()),
            addr: addr.to_owned(),
        }
    }

    #[test]
    fn patterns_match_as_the_table_says() {
        for (pattern, name, addr, matches) in [
            ("*@client.com", "", "alice@client.com", true),
            ("*@client.com", "Alice A.", "ALICE@Client.COM", true),
            ("*@client.com", "", "alice@clientXcom", false),
            ("*@client.com", "", "alice@client.com.evil.org", false),
            ("*@client.com", "boss@client.com", "boss@evil.org", false),
            ("*@*.client.com", "", "a@mail.client.com", true),
            ("*@*.client.com", "", "a@client.com", false),
            ("alice@client.com", "", "alice@client.com", true),
            ("alice@client.com", "", "malice@client.com", false),
            ("a?ice@client.com", "", "alice@client.com", true),
            ("Alice*", "alice Adams", "x@y.z", true),
            ("Alice*", "", "alice@client.com", false),
            ("Booking.com", "booking.com", "x@y.z", true),
            ("Alice <*@client.com>", "Alice", "a@client.com", true),
            ("Alice <*@client.com>", "Bob", "a@client.com", false),
            ("*a*b@x.y", "", "cabaab@x.y", true),
            ("*a*b@x.y", "", "cabaac@x.y", false),
            ("a*", "A\nB", "x@y.z", true),
            ("ä?", "ÄÖ", "x@y.z", true),
        ] {
            let glob = Glob::compile(pattern).unwrap();
            assert_eq!(
                glob.matches_address(&address(name, addr)),
                matches,
                "{pattern} on {name} <{addr}>"
            );
        }
    }

    #[test]
    fn only_a_written_out_address_is_one_address() {
        for (pattern, one) in [
            ("a@b.c", true),
            ("*@b.c", false),
            ("a?@b.c", false),
            ("Alice", false),
            ("A <a@b.c>", false),
        ] {
            assert_eq!(
                Glob::compile(pattern).unwrap().is_one_address(),
                one,
                "{pattern}"
            );
        }
    }

    #[test]
    fn bad_patterns_are_refused_with_a_reason() {
        let long = "x".repeat(500);
        for bad in [
            "",
            "  ",
            "*",
            "*@*",
            "*@*.*",
            "a@b@c",
            "a{b,c}@d.e",
            "[ab]@c.d",
            "a*a*a*a*a*a*a*a*a*@x.y",
            &long,
            "a\nb",
        ] {
            assert!(Glob::compile(bad).is_err(), "{bad:?}");
        }
    }
}
