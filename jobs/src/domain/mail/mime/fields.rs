//! The header section of a message or a part, taken apart leniently: [`Fields`].
//!
//! Values are bytes as sent, folded lines included; the caller decides what they mean.

use super::charset;
use std::borrow::Cow;

/// More header lines than this are not looked at when a line without a colon is met.
const LOOKAHEAD: usize = 100;
/// Fields of one section that are kept: nobody writes more, and each costs memory.
const FIELDS: usize = 10_000;

/// The fields in their order.
#[derive(Default)]
pub(super) struct Fields<'a>(Vec<(String, &'a [u8])>);

impl<'a> Fields<'a> {
    /// The fields of a message, and its body. Empty lines and an mbox separator in front are skipped, as what copies a
    /// message often puts there.
    pub(super) fn of_message(raw: &'a [u8]) -> (Self, &'a [u8]) {
        Self::split(skip_preamble(raw))
    }

    /// The fields, and the body after the empty line: one that comes first says that there are no fields.
    ///
    /// A line that is no field is skipped if fields follow it, and begins the body if none does.
    pub(super) fn split(raw: &'a [u8]) -> (Self, &'a [u8]) {
        let mut fields: Vec<(String, &'a [u8])> = Vec::new();
        let mut rest = raw;
        // Where the value of the last field begins, so that continuation lines extend it.
        let mut value_start: Option<usize> = None;
        // Up to here it is known that fields follow.
        let mut known = 0;
        loop {
            let (line, after) = take_line(rest);
            let offset = raw.len() - rest.len();
            if line.is_empty() {
                return (Self(fields), after);
            }
            let is_blank = line.iter().all(u8::is_ascii_whitespace);
            if is_blank && !continues(after) {
                return (Self(fields), after);
            }
            if is_blank || matches!(line[0], b' ' | b'\t') {
                if let (Some(start), Some((_, value))) = (value_start, fields.last_mut()) {
                    *value = &raw[start..offset + line.len()];
                }
            } else if let Some((name, value)) = field(line) {
                value_start = None;
                if fields.len() < FIELDS {
                    value_start = Some(offset + line.len() - value.len());
                    fields.push((name, value));
                }
            } else if offset < known {
                value_start = None;
            } else if let Some(left) = next_field(after) {
                known = raw.len() - left;
                value_start = None;
            } else {
                return (Self(fields), rest);
            }
            if after.is_empty() {
                return (Self(fields), after);
            }
            rest = after;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a [u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Every value of this field, by its lower-case name, first to last.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| *value)
    }

    /// The first value: what mail programs show if a field is repeated against RFC 5322.
    pub(super) fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The first value as text on one line, encoded words left as they are.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.first(name).map(charset::header)
    }
}

/// The first line without its end, and what follows.
pub(super) fn take_line(raw: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match raw.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&raw[..end], &raw[end + 1..]),
        None => (raw, &raw[raw.len()..]),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

fn skip_preamble(raw: &[u8]) -> &[u8] {
    let mut rest = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    loop {
        let (line, after) = take_line(rest);
        // `From : ada@x.example` is a field in its obsolete form.
        let separator = field(line).is_none_or(|(name, _)| name != "from")
            && (line.starts_with(b"From ") || line.starts_with(b">From "));
        let skipped = separator || line.iter().all(u8::is_ascii_whitespace);
        if !skipped || rest.is_empty() {
            return rest;
        }
        rest = after;
    }
}

/// `Name: value` with a name of printable ASCII, as RFC 5322 has it; blanks before the colon are its obsolete form.
fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let sound = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    sound.then(|| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        (name, &line[colon + 1..])
    })
}

/// Whether the header section goes on after a line of blanks.
fn continues(rest: &[u8]) -> bool {
    let (line, _) = take_line(rest);
    line.first()
        .is_some_and(|first| matches!(first, b' ' | b'\t'))
        || field(line).is_some_and(|(name, _)| is_usual(&name))
}

/// How much is left at the field that follows.
fn next_field(mut rest: &[u8]) -> Option<usize> {
    for _ in 0..LOOKAHEAD {
        let (line, after) = take_line(rest);
        if line.is_empty() {
            return None;
        }
        if field(line).is_some_and(|(name, _)| is_usual(&name)) {
            return Some(rest.len());
        }
        rest = after;
    }
    None
}

/// Names that hardly any text but a header section has in front of a colon.
fn is_usual(name: &str) -> bool {
    super::is_mail_header(name)
        || name.starts_with("x-")
        || name.starts_with("list-")
        || name.starts_with("content-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> (Vec<(String, String)>, String) {
        let (fields, body) = Fields::of_message(raw.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let fields = fields
            .iter()
            .map(|(name, value)| (name.to_owned(), text(value).trim().to_owned()));
        (fields.collect(), text(body))
    }

    #[test]
    fn fields_are_found_whatever_stands_before_and_between_them() {
        for raw in [
            "A: 1\nSubject: 2\n\nbody",
            "\n \r\nA: 1\nSubject: 2\n\nbody",
            "From mira@x Mon Nov 23 2026\nA: 1\nSubject: 2\n\nbody",
            "\u{feff}A: 1\r\nSubject : 2\r\n\r\nbody",
            "A: 1\nno colon here\nSubject: 2\n\nbody",
            "A: 1\nSubject: 2\n \t\nbody",
        ] {
            let (fields, body) = read(raw);
            let expected = [("a", "1"), ("subject", "2")];
            assert_eq!(
                fields,
                expected.map(|(name, value)| (name.into(), value.into())),
                "{raw:?}"
            );
            assert_eq!(body, "body", "{raw:?}");
        }
    }

    /// It took seconds when the next field was looked for at each line, and a gigabyte when each was kept.
    #[test]
    fn section_of_many_lines_is_soon_read() {
        let junk = format!("{}To: a\n", "x\n".repeat(99)).repeat(20_000);
        assert_eq!(read(&junk).0.len(), FIELDS);
        assert_eq!(read(&"a:\n".repeat(1_000_000)).0.len(), FIELDS);
    }

    #[test]
    fn sender_in_its_obsolete_form_is_no_mbox_separator() {
        let (fields, _) = read("From : ada@x.example\nSubject: 2\n\nbody");
        assert_eq!(fields[0], ("from".into(), "ada@x.example".into()));
    }

    #[test]
    fn folded_values_are_whole_and_a_body_may_lack_its_empty_line() {
        let (fields, body) = read("Subject: one\n two\n\tthree\nHello there,\nbye");
        assert_eq!(fields, [("subject".into(), "one\n two\n\tthree".into())]);
        assert_eq!(body, "Hello there,\nbye");
    }
}
