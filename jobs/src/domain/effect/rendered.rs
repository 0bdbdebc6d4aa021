//! An email as it is stored before it is sent: [`RenderedEmail`]. A repeat sends exactly the same bytes to the same recipients.

use crate::domain::mail::Mail;
use serde_json::{Value, json};

/// An email to be sent, or that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedEmail {
    /// The sender's address on the envelope.
    pub from: String,
    /// All recipients, those of Bcc too.
    pub recipients: Vec<String>,
    /// RFC 5322.
    pub bytes: Vec<u8>,
}

impl RenderedEmail {
    /// Returns the stored form: the envelope as JSON on the first line, then the bytes.
    pub fn pack(&self) -> Vec<u8> {
        let envelope = json!({ "from": self.from, "recipients": self.recipients });
        let mut packed = envelope.to_string().into_bytes();
        packed.push(b'\n');
        packed.extend_from_slice(&self.bytes);
        packed
    }

    /// Reads the stored form; `None` if it is none.
    pub fn unpack(mut packed: Vec<u8>) -> Option<Self> {
        let end = packed.iter().position(|byte| *byte == b'\n')?;
        let envelope: Value = serde_json::from_slice(&packed[..end]).ok()?;
        packed.drain(..=end);
        Some(Self {
            from: envelope["from"].as_str()?.to_owned(),
            recipients: serde_json::from_value(envelope["recipients"].clone()).ok()?,
            bytes: packed,
        })
    }

    /// Parses the email; `None` if it is none.
    pub fn parse(&self) -> Option<Mail> {
        Mail::parse(&self.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_email_is_unpacked_unchanged() {
        let email = RenderedEmail {
            from: "a@b.c".into(),
            recipients: vec!["d@e.f".into(), "g@h.i".into()],
            bytes: b"Subject: x\r\n\r\nhello\n".to_vec(),
        };
        let unpacked = RenderedEmail::unpack(email.pack()).unwrap();
        assert_eq!(unpacked, email);
        assert_eq!(unpacked.parse().unwrap().subject, "x");
        assert_eq!(RenderedEmail::unpack(b"no envelope".to_vec()), None);
    }
}
