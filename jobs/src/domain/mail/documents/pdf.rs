//! The text of a PDF file.

use super::CHARS;
use lopdf::{Document, LoadOptions};

/// The largest file that is read. What a file unpacks to in memory grows with its size.
const BYTES: usize = 2 << 20;
/// The most that one stream may unpack to.
const STREAM: usize = 1 << 20;
const PAGES: usize = 30;

pub(super) fn text(content: &[u8]) -> Option<String> {
    if content.len() > BYTES {
        return None;
    }
    let options = LoadOptions::with_max_decompressed_size(STREAM);
    let document = Document::load_mem_with_options(content, options).ok()?;
    let mut text = String::new();
    for page in document.get_pages().into_keys().take(PAGES) {
        // A page that cannot be read costs itself alone.
        let chunks = document.extract_text_chunks_with_limit(&[page], STREAM);
        for chunk in chunks.into_iter().flatten() {
            text.push_str(&chunk);
        }
        text.push('\n');
        if text.len() > CHARS {
            break;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lopdf::{
        Object, Stream,
        content::{Content, Operation},
        dictionary,
    };

    /// A file of one page with this content.
    fn file(operations: Vec<Operation>) -> Vec<u8> {
        let mut document = Document::with_version("1.5");
        let pages = document.new_object_id();
        let font = document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Courier",
        });
        let resources = document.add_object(dictionary! {
            "Font" => dictionary! { "F1" => font },
        });
        let content = Content { operations }.encode().unwrap();
        let content = document.add_object(Stream::new(dictionary! {}, content));
        let page = document.add_object(dictionary! {
            "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
        });
        let tree = dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 };
        document.objects.insert(pages, Object::Dictionary(tree));
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
        document.trailer.set("Root", catalog);
        document.compress();
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    fn shown(text: &str) -> Vec<Operation> {
        vec![
            Operation::new("BT", vec![]),
            Operation::new("Tf", vec!["F1".into(), 12.into()]),
            Operation::new("Td", vec![100.into(), 600.into()]),
            Operation::new("Tj", vec![Object::string_literal(text)]),
            Operation::new("ET", vec![]),
        ]
    }

    #[test]
    fn text_of_a_page_is_read() {
        let found = text(&file(shown("Invoice 42: EUR 12.50 by Friday"))).unwrap();
        assert!(found.contains("Invoice 42: EUR 12.50 by Friday"), "{found}");
    }

    #[test]
    fn page_that_unpacks_to_more_than_its_limit_is_left_out() {
        let bomb = file(shown(&"a".repeat(8 * STREAM)));
        assert!(bomb.len() < BYTES, "{}", bomb.len());
        let found = text(&bomb).unwrap_or_default();
        assert!(!found.contains("aaaa"));
        assert_eq!(text(b"%PDF-1.7 broken"), None);
        assert_eq!(text(&vec![b'%'; BYTES + 1]), None);
    }
}
