//! The text of attached documents: PDF, and the files of office programs. [`text`] reads one file.
//!
//! Files come from strangers, so that everything has a limit: the size of a file, what it unpacks to, the pages, the
//! characters. A parser that panics or takes long is the caller's matter: it reads documents where they block nobody.

mod office;
mod pdf;

/// Characters of a document that are read at all; what is kept is less.
const CHARS: usize = 20_000;

/// Returns the text of a document; `None` if it is none that can be read, or has no text.
pub(super) fn text(content: &[u8]) -> Option<String> {
    let text = if content.starts_with(b"PK\x03\x04") {
        office::text(content)?
    } else if is_pdf(content) {
        pdf::text(content)?
    } else {
        return None;
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Whether the content is that of a file which [`text`] may read.
pub(super) fn is_document(content: &[u8]) -> bool {
    content.starts_with(b"PK\x03\x04") || is_pdf(content)
}

/// The mark may stand behind other bytes, as every PDF program allows.
fn is_pdf(content: &[u8]) -> bool {
    let head = &content[..content.len().min(1024)];
    head.windows(5).any(|bytes| bytes == b"%PDF-")
}

#[cfg(test)]
mod tests {
    use crate::domain::mail::{Mail, document_texts};
    use std::time::{Duration, Instant};

    const EMAIL: &[u8] = include_bytes!("../../../../tests/mail/attachments-documents.eml");

    #[test]
    fn text_of_documents_is_added_to_their_attachments() {
        let mut mail = Mail::parse(EMAIL).unwrap();
        assert!(mail.may_have_documents());
        mail.add_document_texts(document_texts(
            EMAIL,
            Instant::now() + Duration::from_secs(60),
        ));
        let texts: Vec<_> = mail
            .attachments
            .iter()
            .map(|file| file.text.as_deref().unwrap_or_default())
            .collect();
        assert_eq!(
            texts,
            [
                "The lease ends on 31 March.",
                "Invoice 8841: EUR 120.00, due on Friday"
            ]
        );
        assert!(!mail.body_text.contains("lease ends"));
        assert!(document_texts(EMAIL, Instant::now()).is_empty());
    }
}
