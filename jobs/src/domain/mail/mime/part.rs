//! The parts of a message: [`Part`], one header section and its body, and how a multipart is split (RFC 2046 §5.1.1).

use super::fields::{Fields, take_line};
use super::parameters::{Parameters, structured};
use super::{charset, encoded_word, transfer};
use crate::domain::mail::{limits, text};

/// More parts than this of one multipart are not told apart.
const PARTS: usize = 2_000;

/// A message or a part of one.
pub(super) struct Part<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) kind: Kind,
    pub(super) disposition: Disposition,
    pub(super) body: &'a [u8],
}

/// A content type with the parameters that matter. Text unless said otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// In lower case.
    pub(super) main: String,
    pub(super) sub: String,
    parameters: Parameters,
}

/// Where a part wants to be shown.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) is_attachment: bool,
    pub(super) is_inline: bool,
    file_name: Option<String>,
}

impl<'a> Part<'a> {
    /// Reads a whole message, which is text where it names no type.
    pub(super) fn of_message(raw: &'a [u8]) -> Self {
        Self::new(Fields::of_message(raw), "text/plain")
    }

    /// Reads a part; `default` is its type where it names none, or one that cannot be read.
    fn read(raw: &'a [u8], default: &str) -> Self {
        Self::new(Fields::split(raw), default)
    }

    fn new((fields, body): (Fields<'a>, &'a [u8]), default: &str) -> Self {
        let kind = Kind::of(&fields).unwrap_or_else(|| Kind::parse(default.as_bytes()));
        let disposition = Disposition::of(&fields);
        Self {
            fields,
            kind,
            disposition,
            body,
        }
    }

    pub(super) fn decoded(&self) -> transfer::Decoded<'a> {
        let encoding = self
            .fields
            .text("content-transfer-encoding")
            .unwrap_or_default();
        transfer::decode(self.body, &encoding)
    }

    /// The parts of a multipart; `None` if there are none to be seen.
    pub(super) fn children(&self) -> Option<Vec<Part<'a>>> {
        self.children_in(self.body)
    }

    /// As [`Part::children`], in the body once it was decoded: some programs encode a multipart as a whole, against RFC 2045
    /// §6.4.
    pub(super) fn children_in<'b>(&self, body: &'b [u8]) -> Option<Vec<Part<'b>>> {
        let boundary = self.kind.parameter("boundary").unwrap_or_default();
        let mut slices = split(body, boundary.trim_end().as_bytes());
        if slices.is_empty()
            && let Some(boundary) = unnamed_boundary(body)
        {
            slices = split(body, boundary);
        }
        let default = match self.kind.sub.as_str() {
            "digest" => "message/rfc822",
            _ => "text/plain",
        };
        let parts = slices.into_iter().map(|raw| Part::read(raw, default));
        Some(parts.collect()).filter(|parts: &Vec<_>| !parts.is_empty())
    }

    /// Whether it is an email that was saved as a file and attached as one, without its type.
    pub(super) fn is_saved_email(&self) -> bool {
        let is_file = self.kind.main == "application" || self.disposition.is_attachment;
        is_file && self.kind.main != "message" && self.is_named(".eml")
    }

    /// Whether its file's name ends so, whatever the capitals.
    fn is_named(&self, end: &str) -> bool {
        let name = self.file_name().unwrap_or_default();
        name.to_ascii_lowercase().ends_with(end)
    }

    pub(super) fn is_calendar(&self) -> bool {
        let sub = self.kind.sub.as_str();
        self.kind.main == "text" && matches!(sub, "calendar" | "x-vcalendar" | "vcalendar")
    }

    /// Whether it is a calendar by a type that mail programs do not show, or by its name alone.
    pub(super) fn is_calendar_file(&self) -> bool {
        let by_type = matches!(self.kind.sub.as_str(), "ics" | "calendar" | "x-vcalendar");
        self.kind.main == "application" && by_type || self.is_named(".ics")
    }

    pub(super) fn is_smime(&self) -> bool {
        let by_type = matches!(self.kind.sub.as_str(), "pkcs7-mime" | "x-pkcs7-mime");
        by_type || self.kind.is("application", "octet-stream") && self.is_named("smime.p7m")
    }

    /// Whether it is in Outlook's own format.
    pub(super) fn is_tnef(&self) -> bool {
        let by_type = matches!(self.kind.sub.as_str(), "ms-tnef" | "vnd.ms-tnef");
        by_type || self.is_named("winmail.dat")
    }

    /// The name that an email program would save it under.
    pub(super) fn file_name(&self) -> Option<String> {
        let name = self
            .disposition
            .file_name
            .as_deref()
            .or_else(|| self.kind.parameter("name"))?;
        let name = text::line(&encoded_word::decode(name), limits::HEADER);
        (!name.is_empty()).then_some(name)
    }

    /// The text of a text part, in the charset that it or its document names.
    pub(super) fn text(&self) -> String {
        self.text_of(&self.decoded().bytes)
    }

    /// The text that these bytes of its decoded body are.
    pub(super) fn text_of(&self, bytes: &[u8]) -> String {
        let label = self.kind.parameter("charset");
        let is_html = self.kind.is("text", "html") || self.kind.is("application", "xhtml+xml");
        let text = match is_html {
            true => charset::decode_html(bytes, label),
            false => charset::decode(bytes, label),
        };
        text.into_owned()
    }
}

impl Kind {
    fn of(fields: &Fields<'_>) -> Option<Self> {
        let kind = Self::parse(fields.first("content-type")?);
        (!kind.main.is_empty()).then_some(kind)
    }

    fn parse(value: &[u8]) -> Self {
        let (main, sub, parameters) = structured(value);
        let sub = sub.filter(|sub| !sub.is_empty());
        // RFC 2045 §5.2 has no type without a subtype. Some words mean text; `pdf` or `octet-stream` name a file.
        let (main, sub) = match (main.as_str(), sub) {
            (_, Some(sub)) => (main, sub),
            ("html", None) => ("text".to_owned(), "html".to_owned()),
            ("text" | "plain" | "txt" | "unknown", None) => ("text".to_owned(), "plain".to_owned()),
            (_, None) => (main, String::new()),
        };
        Self {
            main,
            sub,
            parameters,
        }
    }

    pub(super) fn is(&self, main: &str, sub: &str) -> bool {
        self.main == main && self.sub == sub
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// `main/sub`, or what there is of it.
    pub(super) fn name(&self) -> String {
        let name = match self.sub.as_str() {
            "" => self.main.clone(),
            sub => format!("{}/{sub}", self.main),
        };
        text::line(&name, limits::HEADER)
    }
}

impl Disposition {
    fn of(fields: &Fields<'_>) -> Self {
        let Some(value) = fields.first("content-disposition") else {
            return Self::default();
        };
        let (main, _, parameters) = structured(value);
        let mut names: Vec<_> = parameters
            .into_iter()
            .filter(|(name, value)| name == "filename" && !value.trim().is_empty())
            .collect();
        // Of a plain name and one with its charset, the latter is the real one (RFC 6266 §4.3); only it is not ASCII.
        let place = names.iter().position(|(_, value)| !value.is_ascii());
        let file_name = (!names.is_empty()).then(|| names.swap_remove(place.unwrap_or_default()));
        Self {
            is_inline: main == "inline",
            // RFC 2183 §2.8: an unknown disposition is an attachment.
            is_attachment: !main.is_empty() && main != "inline",
            file_name: file_name.map(|(_, value)| value),
        }
    }
}

/// The slices between the delimiter lines. A delimiter starts a line and has nothing but blanks behind it, or the two
/// hyphens of the last one; the line break before it is its own. A multipart that is never closed ends with its container.
fn split<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut slices = Vec::new();
    if boundary.is_empty() {
        return slices;
    }
    let mut start = None;
    let mut rest = body;
    while !rest.is_empty() {
        let offset = body.len() - rest.len();
        let (line, after) = take_line(rest);
        rest = after;
        let Some(tail) = line
            .strip_prefix(b"--")
            .and_then(|line| line.strip_prefix(boundary))
        else {
            continue;
        };
        let closing = tail.strip_prefix(b"--");
        let closes = closing.is_some();
        // A longer boundary may begin with this one and two hyphens.
        let padding = closing.unwrap_or(tail);
        if !padding.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if let Some(start) = start {
            slices.push(without_line_end(&body[start..offset.max(start)]));
        }
        start = Some(body.len() - rest.len());
        if closes || slices.len() >= PARTS {
            return slices;
        }
    }
    slices.extend(start.map(|start| &body[start..]));
    slices
}

/// The boundary of a multipart whose type does not name it rightly: what the first line that begins with two hyphens says, if a
/// field of a part follows.
fn unnamed_boundary(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = take_line(rest);
        rest = after;
        let boundary = line.strip_prefix(b"--").map(<[u8]>::trim_ascii_end);
        let is_field = |line: &[u8]| {
            line.get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
        };
        if let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty())
            && is_field(take_line(after).0)
        {
            return Some(boundary);
        }
    }
    None
}

fn without_line_end(slice: &[u8]) -> &[u8] {
    let slice = slice.strip_suffix(b"\n").unwrap_or(slice);
    slice.strip_suffix(b"\r").unwrap_or(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(body: &str) -> Vec<String> {
        split(body.as_bytes(), b"b")
            .into_iter()
            .map(|slice| String::from_utf8_lossy(slice).into_owned())
            .collect()
    }

    #[test]
    fn delimiter_is_a_line_of_its_own() {
        for (body, parts) in [
            (
                "pre\n--b\none\n--b  \r\ntwo\r\n--b--\nafter",
                vec!["one", "two"],
            ),
            (
                "--b\nflag --b here\n--bc\n--b--",
                vec!["flag --b here\n--bc"],
            ),
            ("--b\nnever closed\n", vec!["never closed\n"]),
            ("--b\n--b--", vec![""]),
            ("--b\none\n--b--x\ntwo\n--b-- \n", vec!["one\n--b--x\ntwo"]),
            ("nothing", vec![]),
        ] {
            assert_eq!(slices(body), parts, "{body:?}");
        }
    }

    #[test]
    fn parts_are_found_though_the_boundary_is_not_named_rightly() {
        for (parameter, body) in [
            (
                "",
                "--b\nContent-Type: text/plain\n\none\n--b\n\ntwo\n--b--",
            ),
            (
                "; boundary=B",
                "--b\nContent-Type: text/plain\n\none\n--b\n\ntwo\n--b--",
            ),
            (
                "; boundary=b",
                "--c\nContent-Type: text/plain\n\none\n--c\n\ntwo\n--c--",
            ),
        ] {
            let raw = format!("Content-Type: multipart/mixed{parameter}\n\n{body}");
            let part = Part::read(raw.as_bytes(), "text/plain");
            let texts: Vec<String> = part.children().unwrap().iter().map(Part::text).collect();
            assert_eq!(texts, ["one", "two"], "{parameter}");
        }
        let text = Part::read(
            b"Content-Type: multipart/mixed\n\nHi\n--\nNora",
            "text/plain",
        );
        assert!(text.children().is_none());
    }

    #[test]
    fn part_that_begins_with_an_empty_line_has_no_fields() {
        let part = Part::read(b"\nNote: bring the keys\n\nand the map", "text/plain");
        assert_eq!(part.text(), "Note: bring the keys\n\nand the map");
    }

    #[test]
    fn types_are_read_leniently() {
        for (value, name, charset) in [
            ("text/HTML; charset=\"utf-8\"", "text/html", Some("utf-8")),
            ("text; charset=latin1", "text/plain", Some("latin1")),
            (
                "text/plain;\r\n charset*0=utf;\r\n charset*1=-8",
                "text/plain",
                Some("utf-8"),
            ),
            ("application/pdf", "application/pdf", None),
            ("text/html charset=utf-8", "text/html", Some("utf-8")),
            (
                "text/html\r\n charset=\"utf-8\"",
                "text/html",
                Some("utf-8"),
            ),
            ("text/html, charset=utf-8", "text/html", Some("utf-8")),
            (
                "text/html (a; b) ; charset=utf-8",
                "text/html",
                Some("utf-8"),
            ),
            (" text/html ; charset=utf-8", "text/html", Some("utf-8")),
            ("text / html; charset=utf-8", "text/html", Some("utf-8")),
            ("\"text/html\"; charset=utf-8", "text/html", Some("utf-8")),
            ("\"text/html; charset=utf-8\"", "text/html", Some("utf-8")),
            ("html", "text/html", None),
            ("pdf; name=a.pdf", "pdf", None),
            ("plain", "text/plain", None),
            ("unknown; charset=latin1", "text/plain", Some("latin1")),
            ("multipart; boundary=x", "multipart", None),
        ] {
            let kind = Kind::parse(value.as_bytes());
            assert_eq!(
                (kind.name().as_str(), kind.parameter("charset")),
                (name, charset),
                "{value}"
            );
        }
        let part = Part::read(
            b"Content-Disposition: attachment;\n filename*=utf-8''%c3%bc.pdf\n\nx",
            "text/plain",
        );
        assert_eq!(part.file_name().as_deref(), Some("ü.pdf"));
        assert!(part.disposition.is_attachment);
        for (value, name) in [
            (
                "filename=\"=?utf-8?Q?Gr=C3=BC=C3?=\n =?utf-8?Q?=9Fe.pdf?=\"",
                "Grüße.pdf",
            ),
            (
                "filename=\"Mu_ll.pdf\"; filename*=utf-8''M%C3%BCll.pdf",
                "Müll.pdf",
            ),
            (
                "filename*=utf-8''M%C3%BCll.pdf; filename=\"Mu_ll.pdf\"",
                "Müll.pdf",
            ),
            (
                "filename*0*=windows-1251''%D1%F7%B8;\n filename*1*=%F2.pdf",
                "Счёт.pdf",
            ),
            (
                "filename*1=\"%C3.pdf\"; filename*0*=utf-8'de'Gr%C3%BC",
                "Grü%C3.pdf",
            ),
            (
                "filename*0*=utf-8''Gr%C3;\n filename*1*=%BC%C3%9Fe.pdf",
                "Grüße.pdf",
            ),
            ("filename*=Gr%FC%zz.pdf", "Grü%zz.pdf"),
            ("filename=report(1).pdf", "report(1).pdf"),
            ("filename=report (1).pdf; size=3", "report (1).pdf"),
            ("filename=report.pdf (a; copy)", "report.pdf"),
            (
                "filename=\"a;b \\\"c\\\" (1).pdf\"; size=3",
                "a;b \"c\" (1).pdf",
            ),
            ("filename=a.pdf size=3", "a.pdf"),
            (
                "filename==?utf-8?Q?Gr=C3=BC=C3?= =?utf-8?Q?=9Fe.pdf?=",
                "Grüße.pdf",
            ),
            ("filename=\"open.pdf", "open.pdf"),
        ] {
            let raw = format!("Content-Disposition: attachment; {value}\n\n");
            let part = Part::read(raw.as_bytes(), "text/plain");
            assert_eq!(part.file_name().as_deref(), Some(name), "{value}");
        }
        let part = Part::read(
            b"Content-Type: x; name=\"=?utf-8?q?=C3=BC?=.pdf\"\n\n",
            "text/plain",
        );
        assert_eq!(part.file_name().as_deref(), Some("ü.pdf"));
    }
}
