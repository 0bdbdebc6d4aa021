//! The text of office files: archives of XML (ECMA-376: Word, Excel, `PowerPoint`; ISO 26300: `OpenDocument`).

use super::CHARS;
use quick_xml::{
    Reader,
    events::{BytesRef, BytesStart, Event},
};
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// The most that the parts of a file may unpack to, together.
const UNPACKED: u64 = 8 << 20;
/// More parts than this are not looked at.
const PARTS: usize = 5_000;
const SHARED_STRINGS: &str = "xl/sharedStrings.xml";

pub(super) fn text(content: &[u8]) -> Option<String> {
    let mut archive = ZipArchive::new(Cursor::new(content)).ok()?;
    if archive.len() > PARTS {
        return None;
    }
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .collect();
    let mut budget = UNPACKED;
    let mut out = Text::default();
    if names.iter().any(|name| name == SHARED_STRINGS) {
        let strings = unpacked(&mut archive, SHARED_STRINGS, &mut budget)?;
        out.shared = shared_strings(&strings);
    }
    for name in shown_parts(&names) {
        let Some(xml) = unpacked(&mut archive, name, &mut budget) else {
            continue;
        };
        out.read(&xml);
        out.line_end();
        if budget == 0 || out.text.len() > CHARS {
            break;
        }
    }
    Some(out.text)
}

/// The parts with what a person sees, in their order.
fn shown_parts(names: &[String]) -> Vec<&str> {
    let numbered = |prefix: &str| {
        let mut found: Vec<(u32, &str)> = names
            .iter()
            .filter_map(|name| {
                let number = name.strip_prefix(prefix)?.strip_suffix(".xml")?;
                Some((number.parse().ok()?, name.as_str()))
            })
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
    };
    for single in ["word/document.xml", "content.xml"] {
        if names.iter().any(|name| name == single) {
            return vec![single];
        }
    }
    let slides = numbered("ppt/slides/slide");
    match slides.is_empty() {
        true => numbered("xl/worksheets/sheet"),
        false => slides,
    }
}

/// Unpacks a part as far as the budget goes. What a bomb would add is never made.
fn unpacked(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    budget: &mut u64,
) -> Option<String> {
    let part = archive.by_name(name).ok()?;
    let mut bytes = Vec::new();
    // A part that breaks off is read as far as it goes.
    let _ = part.take(*budget).read_to_end(&mut bytes);
    *budget = budget.saturating_sub(bytes.len() as u64);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The texts that the cells of a workbook refer to by their number.
fn shared_strings(xml: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut text = Text::default();
    let mut reader = Reader::from_str(xml);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Eof => break,
            Event::End(end) if end.local_name().as_ref() == "si" => {
                strings.push(std::mem::take(&mut text.text));
            }
            event => text.take(event),
        }
    }
    strings
}

/// What is read so far.
#[derive(Default)]
struct Text {
    text: String,
    shared: Vec<String>,
    /// Inside of an element whose text is shown.
    is_text: bool,
    /// The run of text is marked as hidden.
    is_hidden: bool,
    /// Inside of so many elements that are not shown at all.
    skipped: usize,
    /// The cell's value is the number of a shared string.
    is_shared: bool,
}

impl Text {
    fn read(&mut self, xml: &str) {
        let mut reader = Reader::from_str(xml);
        self.skipped = 0;
        while let Ok(event) = reader.read_event() {
            if matches!(event, Event::Eof) || self.text.len() > CHARS {
                break;
            }
            self.take(event);
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Empty(empty) => self.empty(&empty),
            Event::End(end) => self.end(end.local_name().as_ref()),
            Event::Text(text) => self.push(&text.xml10_content()),
            Event::CData(text) => self.push(&text.xml10_content()),
            Event::GeneralRef(reference) => self.push(&resolved(&reference)),
            _ => {}
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) {
        let name = start.local_name();
        let name: &str = name.as_ref();
        if self.skipped > 0 || is_skipped(start, name) {
            self.skipped += 1;
            return;
        }
        match name {
            "t" | "v" | "p" | "h" => self.is_text = is_shown(start, name),
            "r" => self.is_hidden = false,
            "c" => self.is_shared = attribute(start, "t").as_deref() == Some("s"),
            _ => self.empty(start),
        }
    }

    /// An element that says what it says by being there.
    fn empty(&mut self, empty: &BytesStart<'_>) {
        if self.skipped > 0 {
            return;
        }
        match empty.local_name().as_ref() {
            "tab" => self.text.push('\t'),
            "br" | "cr" | "line-break" => self.text.push('\n'),
            "s" => self.text.push(' '),
            "vanish" => {
                let off = attribute(empty, "w:val");
                self.is_hidden = !matches!(off.as_deref(), Some("0" | "false" | "off"));
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        match name {
            "t" | "v" => self.is_text = false,
            "r" => self.is_hidden = false,
            "p" | "h" | "row" | "tr" | "table-row" => {
                self.is_text = false;
                self.line_end();
            }
            "tc" | "c" | "table-cell" => {
                if self.text.ends_with('\n') {
                    self.text.pop();
                }
                self.text.push('\t');
            }
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        if !self.is_text || self.is_hidden || self.skipped > 0 {
            return;
        }
        if !self.is_shared {
            self.text.push_str(text);
            return;
        }
        let number: Option<usize> = text.trim().parse().ok();
        if let Some(shared) = number.and_then(|number| self.shared.get(number)) {
            self.text.push_str(shared);
        }
    }

    fn line_end(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }
}

/// Elements whose text no office program shows: what was deleted, hidden slides, what belongs to another reader.
fn is_skipped(start: &BytesStart<'_>, name: &str) -> bool {
    match name {
        "tracked-changes" | "annotation" | "Fallback" | "instrText" | "delText" | "rPh" => true,
        "sld" => attribute(start, "show").as_deref() == Some("0"),
        "row" | "col" => attribute(start, "hidden").as_deref() == Some("1"),
        _ => false,
    }
}

/// Whether the element's own text is shown: that of a paragraph is in `OpenDocument` only, elsewhere it is in the runs.
fn is_shown(start: &BytesStart<'_>, name: &str) -> bool {
    match name {
        "p" | "h" => {
            let qualified = start.name();
            let qualified: &str = qualified.as_ref();
            qualified.starts_with("text:")
        }
        _ => true,
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start.try_get_attribute(name).ok().flatten()?;
    Some(found.value.into_owned())
}

/// `&amp;` and its kin. Entities that a document defines itself are not expanded.
fn resolved(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return c.to_string();
    }
    match reference.xml10_content().as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::{ZipWriter, write::SimpleFileOptions};

    fn file(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, xml) in parts {
            archive
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            archive.write_all(xml.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn text_of_a_word_file_is_read_without_what_is_hidden_or_deleted() {
        let document = "<w:document xmlns:w='w'><w:body><w:p><w:r><w:t>Tom &amp; Ada</w:t></w:r><w:r><w:tab/><w:t>42</w:t></w:r>\
            <w:r><w:rPr><w:vanish/></w:rPr><w:t>Send the file.</w:t></w:r>\
            <w:r><w:rPr><w:vanish w:val='0'/></w:rPr><w:t>!</w:t></w:r></w:p>\
            <w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>\
            <w:tbl><w:tr><w:tc><w:p><w:r><w:t>Room</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>12</w:t></w:r></w:p></w:tc></w:tr></w:tbl>\
            </w:body></w:document>";
        let found = text(&file(&[("word/document.xml", document)])).unwrap();
        assert_eq!(found.trim_end(), "Tom & Ada\t42!\nRoom\t12");
    }

    #[test]
    fn text_of_a_workbook_is_its_cells() {
        let strings =
            "<sst><si><t>Rent</t></si><si><r><t>Due </t></r><r><t>Friday</t></r></si></sst>";
        let sheet = "<worksheet><sheetData><row><c t='s'><v>0</v></c><c><v>800</v></c></row>\
            <row hidden='1'><c t='s'><v>0</v></c></row><row><c t='s'><v>1</v></c><c t='s'><v>9</v></c></row></sheetData></worksheet>";
        let found = text(&file(&[
            ("xl/sharedStrings.xml", strings),
            ("xl/worksheets/sheet1.xml", sheet),
        ]));
        assert_eq!(found.unwrap(), "Rent\t800\t\nDue Friday\t\t\n");
    }

    #[test]
    fn text_of_slides_is_in_their_order_without_hidden_ones() {
        let slide = |text: &str, more: &str| {
            format!("<p:sld {more}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>")
        };
        let found = text(&file(&[
            ("ppt/slides/slide10.xml", &slide("ten", "")),
            ("ppt/slides/slide2.xml", &slide("two", "")),
            ("ppt/slides/slide3.xml", &slide("three", "show='0'")),
        ]));
        assert_eq!(found.unwrap(), "two\nten\n");
    }

    #[test]
    fn text_of_an_open_document_is_read() {
        let content = "<office:document-content><office:body><office:text><text:tracked-changes><text:p>gone</text:p></text:tracked-changes>\
            <text:h>Plan</text:h><text:p>Room<text:s/>4<text:tab/><text:span>at &#57;</text:span></text:p></office:text></office:body></office:document-content>";
        let found = text(&file(&[("mimetype", "x"), ("content.xml", content)])).unwrap();
        assert_eq!(found, "Plan\nRoom 4\tat 9\n");
    }

    #[test]
    fn bomb_is_unpacked_as_far_as_its_budget_goes() {
        let long = format!(
            "<w:document><w:p><w:t>{}</w:t></w:p></w:document>",
            "a".repeat(32 << 20)
        );
        let bomb = file(&[("word/document.xml", &long)]);
        assert!(bomb.len() < 1 << 20);
        let mut archive = ZipArchive::new(Cursor::new(bomb.as_slice())).unwrap();
        let mut budget = UNPACKED;
        let part = unpacked(&mut archive, "word/document.xml", &mut budget).unwrap();
        assert_eq!((part.len(), budget), (8 << 20, 0));
        assert_eq!(text(b"PK\x03\x04 broken"), None);
        assert_eq!(text(&file(&[("a.txt", "b")])).unwrap(), "");
    }
}
