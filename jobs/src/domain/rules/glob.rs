//! Patterns with `*` and `?` for senders, recipients, lists and file names.
//!
//! An address pattern (with `@`) matches the address alone, never the display name: anyone can call themselves
//! `boss@client.com`. A pattern without `@` matches a display name; one with `<` the whole `Name <address>`.

use crate::domain::mail::Address;
use regex::{Regex, RegexBuilder};

/// A compiled pattern. Case-insensitive; a dot is a dot; always matches as a whole.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    regex: Regex,
    form: Form,
    exact: bool,
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
        let mut source = String::from("^");
        for c in pattern.chars() {
            match c {
                '*' => source.push_str(".*"),
                '?' => source.push('.'),
                c => source.push_str(&regex::escape(&c.to_string())),
            }
        }
        source.push('$');
        let regex = RegexBuilder::new(&source)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .size_limit(1 << 20)
            .build()
            .map_err(|_| "the pattern is too complex".to_owned())?;
        Ok(Self {
            regex,
            form,
            exact: !pattern.contains(['*', '?']),
        })
    }

    pub(super) fn matches_address(&self, address: &Address) -> bool {
        match self.form {
            Form::Address => self.regex.is_match(&address.addr),
            Form::Name => address
                .name
                .as_deref()
                .is_some_and(|name| self.regex.is_match(name)),
            Form::NameAndAddress => self.regex.is_match(&address.to_string()),
        }
    }

    pub(super) fn matches_text(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Reports whether it stands for exactly one address: only such a sender's message may cause a message.
    pub(super) fn is_one_address(&self) -> bool {
        self.exact && self.form == Form::Address
    }
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
