//! Reads attached documents: [`read_documents`]. Their parsers meet files of strangers, so that they run apart, for a limited
//! time, and a failure costs the text of the files alone.

use jobs::domain::mail::{DocumentText, Mail, MailFormat, document_texts};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// For all documents of an email. No new one is begun after it; the one that is being read ends by its own limits.
const BUDGET: Duration = Duration::from_secs(10);

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
