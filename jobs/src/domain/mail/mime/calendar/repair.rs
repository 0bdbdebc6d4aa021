//! Calendars as programs write them → what the parser takes: [`repaired`] closes what was left open and drops lines that are no
//! property, and [`without_encodings`] reads the values of vCalendar 1.0.

use crate::domain::mail::mime::{charset, transfer};

/// The source with every component closed, and without lines that are no property.
pub(super) fn repaired(source: &str) -> String {
    let mut open: Vec<String> = Vec::new();
    let mut kept = String::with_capacity(source.len());
    let mut keep = |line: &str| {
        kept.push_str(line);
        kept.push_str("\r\n");
    };
    for line in source.lines().map(str::trim_end) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let component = value.trim().to_ascii_uppercase();
        match name.to_ascii_uppercase().as_str() {
            "BEGIN" => open.push(component),
            "END" => match open.iter().rposition(|name| *name == component) {
                Some(at) => {
                    for name in open.drain(at + 1..).rev() {
                        keep(&format!("END:{name}"));
                    }
                    open.truncate(at);
                }
                None => continue,
            },
            _ if !line.starts_with(|c: char| c.is_ascii_alphabetic()) => continue,
            _ => {}
        }
        keep(line);
    }
    for name in open.into_iter().rev() {
        keep(&format!("END:{name}"));
    }
    kept
}

/// The source with its quoted-printable values decoded, each in its charset: `SUMMARY;ENCODING=QUOTED-PRINTABLE:Gr=C3=BC`.
pub(super) fn without_encodings(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        match encoded(line) {
            Some((name, charset, value)) => {
                let mut value = value.to_owned();
                while value.ends_with('=') {
                    value.pop();
                    match lines.next() {
                        Some(next) => value.push_str(next),
                        None => break,
                    }
                }
                let bytes = transfer::quoted_printable(value.as_bytes());
                let text = charset::decode(&bytes, charset).replace("\r\n", "\n");
                plain.extend([name, ":", &text.replace('\n', "\\n")]);
            }
            None => plain.push_str(line),
        }
        plain.push_str("\r\n");
    }
    plain
}

/// A property's name, charset and value, if the value is encoded.
fn encoded(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let (property, value) = line.split_once(':')?;
    let mut parameters = property.split(';');
    let name = parameters.next()?;
    let (mut is_encoded, mut charset) = (false, None);
    for parameter in parameters {
        let (key, said) = parameter.split_once('=').unwrap_or(("ENCODING", parameter));
        is_encoded |=
            key.eq_ignore_ascii_case("ENCODING") && said.eq_ignore_ascii_case("QUOTED-PRINTABLE");
        if key.eq_ignore_ascii_case("CHARSET") {
            charset = Some(said);
        }
    }
    is_encoded.then_some((name, charset, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_closed_and_what_is_no_property_dropped() {
        let broken = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:Plan\nno property\nBEGIN:VALARM\nEND:VEVENT\nEND:VTIMEZONE\n";
        let lines = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Plan\r\nBEGIN:VALARM\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        assert_eq!(repaired(broken), lines);
    }

    #[test]
    fn values_of_the_first_version_are_decoded() {
        for (source, plain) in [
            (
                "SUMMARY;ENCODING=QUOTED-PRINTABLE;CHARSET=UTF-8:Gr=C3=B6=\n=C3=9Fe",
                "SUMMARY:Größe\r\n",
            ),
            (
                "SUMMARY;QUOTED-PRINTABLE:T=C3=BCr=0D=0AZwei",
                "SUMMARY:Tür\\nZwei\r\n",
            ),
            (
                "SUMMARY;CHARSET=ISO-8859-1;ENCODING=quoted-printable:T=FCr",
                "SUMMARY:Tür\r\n",
            ),
            ("SUMMARY;LANGUAGE=de:a=3Db", "SUMMARY;LANGUAGE=de:a=3Db\r\n"),
        ] {
            assert_eq!(without_encodings(source), plain, "{source}");
        }
    }
}
