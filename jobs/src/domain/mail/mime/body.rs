//! The parts of a message → the text that an email program shows, and what is attached: [`Reader`].
//!
//! Of alternatives the last one counts that can be shown, as RFC 2046 §5.1.4 says and every mail program does: what only a
//! text part holds beside an HTML part is seen by nobody. Messages within the message are told by sender, subject and text.

use super::charset;
use super::part::Part;
use super::uuencode::InlineFile;
use super::{calendar, date, enriched, flowed, uuencode, yenc};
use crate::domain::mail::{Attachment, html, limits, text};
use sha2::{Digest, Sha256};

/// Parts nested deeper are told as attachments.
const DEPTH: usize = 32;
/// Messages within messages that are opened.
const MESSAGES: usize = 3;
/// What is said of an email whose text is in `winmail.dat` alone.
const TNEF: &str =
    "[This email is in Outlook's own format (winmail.dat). Its text cannot be read here.]";
/// What is said of an email that shows nothing but pictures, above the texts that mail programs show in their place.
const PICTURES: &str = "[This email shows only pictures. What it says of them:]";
/// So much of a file is looked at to tell whether it is a text.
const HEAD: usize = 4_096;
/// All text before it is tidied; a message of ten thousand parts stops here.
const RAW: usize = limits::BODY * 8;

/// Reads parts and keeps what is attached.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) attachments: Vec<Attachment>,
    depth: usize,
    messages: usize,
    chars: usize,
    /// The next part is to be shown though it has a file's name: it comes first, or is an alternative.
    shows_named: bool,
    /// Outlook put the text into a format of its own.
    has_tnef: bool,
    /// What HTML without any text says of its pictures.
    pictures: String,
}

impl Reader {
    /// What is shown of the whole message, or why nothing can be. Not yet sanitised.
    pub(super) fn read_whole(&mut self, message: &Part<'_>) -> String {
        let shown = self.read(message);
        match says_something(&shown) {
            true => shown,
            false if self.has_tnef => TNEF.to_owned(),
            false if self.pictures.is_empty() => shown,
            false => format!("{PICTURES}\n\n{}", self.pictures),
        }
    }

    /// What is shown of the part. Not yet sanitised.
    pub(super) fn read(&mut self, part: &Part<'_>) -> String {
        if self.chars > RAW {
            return String::new();
        }
        self.depth += 1;
        let shows_named = std::mem::take(&mut self.shows_named) || self.depth == 1;
        let text = match part.kind.main.as_str() {
            "multipart" if self.depth <= DEPTH => self.read_multipart(part),
            "message" => self.read_message(part),
            _ if part.is_saved_email() => self.read_email(part),
            "application" if part.is_calendar_file() && self.depth == 1 => {
                self.attach(part, None);
                calendar_text(part)
            }
            "application" if part.kind.is("application", "xhtml+xml") => {
                self.read_text(part, shows_named)
            }
            "text" => self.read_text(part, shows_named),
            "application" if part.is_smime() => {
                self.attach(part, None);
                smime(part).to_owned()
            }
            _ => {
                self.has_tnef |= part.is_tnef();
                self.attach_file(part);
                String::new()
            }
        };
        self.depth -= 1;
        self.chars += text.len();
        text
    }

    fn read_multipart(&mut self, part: &Part<'_>) -> String {
        let decoded = part.decoded();
        let children = part.children();
        let Some(children) = children.or_else(|| part.children_in(&decoded.bytes)) else {
            // Without its boundary the whole is the text, as far as one can be seen.
            return part.text();
        };
        self.read_children(part, &children)
    }

    fn read_children(&mut self, part: &Part<'_>, children: &[Part<'_>]) -> String {
        match part.kind.sub.as_str() {
            "alternative" => self.read_alternatives(children),
            "related" => self.read_related(part, children),
            "signed" => self.read_first(children),
            "encrypted" => {
                let text = self.read_all(children);
                let note = "[This email is encrypted (OpenPGP). Its text cannot be read here.]";
                joined([note.to_owned(), text])
            }
            _ => self.read_all(children),
        }
    }

    fn read_all(&mut self, parts: &[Part<'_>]) -> String {
        joined(parts.iter().enumerate().map(|(n, part)| {
            self.shows_named = n == 0;
            self.read(part)
        }))
    }

    /// The last alternative that shows something, and the calendars, which mail programs show beside it.
    fn read_alternatives(&mut self, parts: &[Part<'_>]) -> String {
        let (calendars, others): (Vec<_>, Vec<_>) =
            parts.iter().partition(|part| part.is_calendar());
        let (mut shown, mut shows_known) = (String::new(), false);
        let mut files = Vec::new();
        for part in others.into_iter().rev() {
            // Made for one program each, and shown by no other.
            let special = part.kind.is("text", "x-amp-html") || part.kind.is("text", "watch-html");
            if special {
                continue;
            }
            let known = self.attachments.len();
            self.shows_named = true;
            let text = self.read(part);
            // The files stay in the order in which they were sent, though the alternatives are asked backwards.
            files.splice(0..0, self.attachments.drain(known..));
            // A type that mail programs do not know loses against one that they know, wherever it stands.
            let is_better = shown.is_empty() || !shows_known && is_shown_by_all(part);
            if is_better && says_something(&text) {
                shown = text;
                shows_known = is_shown_by_all(part);
            }
        }
        self.attachments.append(&mut files);
        let calendars: Vec<String> = calendars.into_iter().map(|part| self.read(part)).collect();
        joined([shown].into_iter().chain(calendars))
    }

    /// The root of `multipart/related`; the others are pictures for it, or files.
    fn read_related(&mut self, part: &Part<'_>, children: &[Part<'_>]) -> String {
        let start = part.kind.parameter("start");
        let root = start.and_then(|start| {
            children.iter().position(|child| {
                let id = child.fields.text("content-id");
                id.is_some_and(|id| id.trim() == start.trim())
            })
        });
        let root = root.unwrap_or_default();
        let mut shown = String::new();
        for (n, child) in children.iter().enumerate() {
            match n == root {
                true => {
                    self.shows_named = true;
                    shown = self.read(child);
                }
                false if child.kind.main == "multipart" => {
                    shown = joined([shown, self.read(child)]);
                }
                false => self.attach_file(child),
            }
        }
        shown
    }

    /// The first part is what was signed; the signature is a file.
    fn read_first(&mut self, children: &[Part<'_>]) -> String {
        let mut children = children.iter();
        let shown = children
            .next()
            .map(|part| self.read(part))
            .unwrap_or_default();
        for part in children {
            self.attach(part, None);
        }
        shown
    }

    fn read_text(&mut self, part: &Part<'_>, shows_named: bool) -> String {
        let unread = matches!(
            part.kind.sub.as_str(),
            "vcard" | "x-vcard" | "directory" | "rfc822-headers" | "css" | "x-amp-html"
        );
        // RFC 8621 §4.1.4: a named text is a file unless it comes first or says that it is to be shown. What is all there is
        // was sent to be read, whatever it says.
        let named =
            !part.disposition.is_inline && part.file_name().is_some() && !part.is_calendar();
        let decoded = part.decoded();
        let is_file =
            self.depth > 1 && (part.disposition.is_attachment || unread || named && !shows_named);
        if is_file || is_binary(&decoded.bytes) {
            self.attach_file(part);
            return String::new();
        }
        if part.is_calendar() {
            self.attach(part, None);
        }
        let (text, files) = yenc::split(&decoded.bytes);
        for file in files {
            self.attach_content(file);
        }
        let mut shown = readable(part, &text);
        if part.kind.is("text", "html") && !says_something(&shown) {
            let pictures = html::picture_texts(&part.text());
            self.pictures = joined([std::mem::take(&mut self.pictures), pictures]);
        }
        if part.kind.is("text", "plain") {
            let (text, files) = uuencode::split(&shown);
            shown = text;
            for file in files {
                self.attach_content(file);
            }
        }
        let around = |bytes: &[u8]| charset::decode(bytes, None).into_owned();
        let (banner, footer) = (around(decoded.banner), around(decoded.footer));
        match says_something(&banner) || says_something(&footer) {
            true => joined([banner, shown, footer]),
            false => shown,
        }
    }

    fn read_message(&mut self, part: &Part<'_>) -> String {
        match part.kind.sub.as_str() {
            "rfc822" | "global" | "news" => self.read_email(part),
            "delivery-status"
            | "global-delivery-status"
            | "disposition-notification"
            | "feedback-report" => {
                self.attach(part, None);
                part.text()
            }
            _ => {
                self.attach_file(part);
                String::new()
            }
        }
    }

    /// An email within the email: who wrote it, about what, and what it says.
    fn read_email(&mut self, part: &Part<'_>) -> String {
        if self.messages >= MESSAGES || self.depth > DEPTH {
            self.attach(part, None);
            return String::new();
        }
        self.messages += 1;
        let decoded = part.decoded();
        let inner = Part::of_message(&decoded.bytes);
        let subject = super::subject(&inner);
        let date = inner.fields.text("date").and_then(|date| date::read(&date));
        let date = date.map(|date| date.format("%Y-%m-%d %H:%M UTC").to_string());
        let mut lines = vec!["[Attached email]".to_owned()];
        for (name, value) in [
            ("From", super::people(&inner.fields, "from")),
            ("To", super::people(&inner.fields, "to")),
            ("Date", date.unwrap_or_default()),
            ("Subject", subject.clone()),
        ] {
            if !value.is_empty() {
                lines.push(format!("{name}: {value}"));
            }
        }
        self.attach_named(part, part.file_name().or(Some(subject)), None);
        let text = self.read(&inner);
        self.messages -= 1;
        let (text, _) = text::body(&text, limits::EARLIER_BODY);
        joined([lines.join("\n"), text])
    }

    /// Attaches a file, with its text if it is one.
    fn attach_file(&mut self, part: &Part<'_>) {
        let content = part.decoded().bytes;
        let calendar = part.is_calendar_file();
        // Any file may be called a text by its sender.
        let is_text = !is_binary(&content)
            && (part.kind.main == "text"
                || calendar
                || matches!(
                    part.kind.sub.as_str(),
                    "json" | "xml" | "x-yaml" | "yaml" | "csv"
                )
                || part.kind.is("application", "octet-stream")
                    && part
                        .file_name()
                        .is_some_and(|name| has_text_extension(&name)));
        let raw = match (is_text, calendar) {
            (false, _) => None,
            (true, true) => Some(calendar_text(part)),
            (true, false) => Some(readable(part, &content)),
        };
        let text = raw.map(|raw| text::body(&raw, limits::ATTACHMENT_TEXT).0);
        self.attach(part, text.filter(|text| !text.is_empty()));
    }

    /// Attaches a file that stood in a text.
    fn attach_content(&mut self, file: InlineFile) {
        let text = has_text_extension(&file.name)
            .then(|| charset::decode(&file.content, None).into_owned())
            .map(|raw| text::body(&raw, limits::ATTACHMENT_TEXT).0);
        self.push(Attachment {
            name: Some(text::line(&file.name, limits::HEADER)),
            content_type: "application/octet-stream".to_owned(),
            size: file.content.len() as u64,
            text: text.filter(|text| !text.is_empty()),
            sha256: Some(Sha256::digest(&file.content).into()),
        });
    }

    fn attach(&mut self, part: &Part<'_>, text: Option<String>) {
        self.attach_named(part, part.file_name(), text);
    }

    fn attach_named(&mut self, part: &Part<'_>, name: Option<String>, text: Option<String>) {
        let content = part.decoded().bytes;
        self.push(Attachment {
            name: name.filter(|name| !name.is_empty()),
            content_type: part.kind.name(),
            size: content.len() as u64,
            text,
            sha256: Some(Sha256::digest(&content).into()),
        });
    }

    fn push(&mut self, attachment: Attachment) {
        if self.attachments.len() < limits::ATTACHMENTS {
            self.attachments.push(attachment);
        }
    }
}

/// Whether a file of this name is text.
fn has_text_extension(name: &str) -> bool {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(
        extension.as_deref(),
        Some("txt" | "csv" | "md" | "json" | "xml" | "log" | "yaml" | "yml")
    )
}

/// A text part in words; `bytes` are its content.
fn readable(part: &Part<'_>, bytes: &[u8]) -> String {
    if part.is_calendar() {
        return calendar_text(part);
    }
    let text = part.text_of(bytes);
    match part.kind.sub.as_str() {
        "html" | "xhtml" | "xhtml+xml" => html::visible_text(&text),
        "enriched" | "richtext" => enriched::plain(&text),
        _ => {
            let is = |name, value: &str| {
                part.kind
                    .parameter(name)
                    .is_some_and(|said| said.trim().eq_ignore_ascii_case(value))
            };
            match is("format", "flowed") {
                true => flowed::unfold(&text, is("delsp", "yes")),
                false => text,
            }
        }
    }
}

/// A calendar in words, or as it is written.
fn calendar_text(part: &Part<'_>) -> String {
    let unfolded = calendar::unfolded(&part.decoded().bytes);
    let text = charset::decode(&unfolded, part.kind.parameter("charset"));
    calendar::rendered(&text, part.kind.parameter("method")).unwrap_or_else(|| text.into_owned())
}

/// Whether every mail program can show the part as a text.
fn is_shown_by_all(part: &Part<'_>) -> bool {
    let kind = &part.kind;
    kind.main == "multipart" || kind.is("text", "html") || kind.is("text", "plain")
}

/// Whether the content is that of a file which is no text in any charset.
fn is_binary(content: &[u8]) -> bool {
    let marks = [
        &b"%PDF-"[..],
        b"PK\x03\x04",
        b"\x89PNG",
        b"GIF87a",
        b"GIF89a",
        b"\xff\xd8\xff",
        b"\xd0\xcf\x11\xe0",
        b"\x1f\x8b\x08",
    ];
    let head = &content[..content.len().min(HEAD)];
    // UTF-32 has three zeros in a row.
    marks.iter().any(|mark| content.starts_with(mark)) || head.windows(4).any(|part| part == [0; 4])
}

fn smime(part: &Part<'_>) -> &'static str {
    match part.kind.parameter("smime-type") {
        Some("signed-data") => {
            "[This email is signed (S/MIME) in a form whose text cannot be read here.]"
        }
        _ => "[This email is encrypted (S/MIME). Its text cannot be read here.]",
    }
}

/// Whether any of it can be seen: senders put zero-width characters into parts that are to look empty.
fn says_something(text: &str) -> bool {
    text.chars()
        .any(|c| !c.is_whitespace() && !text::is_invisible(c))
}

/// Texts one below the other, with an empty line between two.
fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let mut all = String::new();
    for text in texts.into_iter().filter(|text| says_something(text)) {
        if !all.is_empty() {
            all.push_str("\n\n");
        }
        all.push_str(&text);
        if all.len() > RAW {
            break;
        }
    }
    all
}
