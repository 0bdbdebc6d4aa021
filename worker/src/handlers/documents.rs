//! Reads attached documents, [`read_documents`], and renders attachments for a model, [`attachment_lines`]. The parsers meet files of
//! strangers, so that they run apart, for a limited time, and a failure costs the text of the files alone.

use jobs::domain::mail::{DocumentText, Mail, MailFormat, document_texts, excerpt};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// For all documents of an email. No new one is begun after it; the one that is being read ends by its own limits.
const BUDGET: Duration = Duration::from_secs(10);
/// Limit of the text of all attachments together, in characters.
const ATTACHED: usize = 6_000;

/// Adds the text of the PDF and office files to the email's attachments.
pub(super) async fn read_documents(mail: &mut Mail, format: MailFormat, source: Vec<u8>) {
    if format != MailFormat::Rfc822 || !mail.may_have_documents() {
        return;
    }
    let until = Instant::now() + BUDGET;
    let work = tokio::task::spawn_blocking(move || document_texts(&source, until));
    let texts: Vec<DocumentText> = match timeout(BUDGET * 2, work).await {
        Ok(Ok(texts)) => texts,
        Ok(Err(_)) => {
            // The panic's message may quote the file.
            tracing::warn!("the parser of an attached document panicked; its text is not used");
            return;
        }
        Err(_) => {
            tracing::warn!("reading the attached documents took too long; their text is not used");
            return;
        }
    };
    mail.add_document_texts(texts);
}

/// Renders the names, types and sizes of attachments, and the text of those that have one. It is evidence.
pub(super) fn attachment_lines(mail: &Mail) -> String {
    let mut room = ATTACHED;
    let lines: Vec<String> = mail
        .attachments
        .iter()
        .map(|file| {
            let mut entry = format!(
                "{} ({}, {} bytes)",
                file.name.as_deref().unwrap_or("unnamed"),
                file.content_type,
                file.size
            );
            if let Some(text) = file.text.as_deref().filter(|_| room > 0) {
                let text = excerpt(text, room);
                room -= text.chars().count();
                entry.push_str(":\n");
                entry.push_str(&text);
            }
            entry
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: &[u8] = include_bytes!("../../../tests/mail/attachments-documents.eml");

    #[tokio::test]
    async fn documents_of_a_raw_email_are_read_and_others_cost_nothing() {
        let mut mail = Mail::parse(EMAIL).unwrap();
        read_documents(&mut mail, MailFormat::Envelope, EMAIL.to_vec()).await;
        assert!(mail.attachments.iter().all(|file| file.text.is_none()));
        read_documents(&mut mail, MailFormat::Rfc822, EMAIL.to_vec()).await;
        assert!(mail.attachments.iter().all(|file| file.text.is_some()));
    }
}
