//! The name of an email that we sent: our Message-ID in a field of its own, [`OWN_ID`]. Mail servers such as Amazon SES and
//! Exchange Online replace a Message-ID, so that a copy in the sent folder would pass for an email of another program.

use super::{Mail, message_id};

/// The field.
pub const OWN_ID: &str = "X-Postroom-Id";

impl Mail {
    /// The Message-ID that we gave this email, in angle brackets, if we sent it. A claim, as all of an email is: who got one
    /// of ours can copy the field.
    pub fn own_id(&self) -> Option<String> {
        let id = message_id(self.header(&OWN_ID.to_ascii_lowercase())?)?;
        Some(format!("<{id}>"))
    }

    /// What it may be known by if we sent it, in angle brackets: its Message-ID, and the one that we gave it.
    pub fn known_ids(&self) -> Vec<String> {
        let bracketed = self.message_id.iter().map(|id| format!("<{id}>"));
        bracketed.chain(self.own_id()).collect()
    }

    /// The emails that it refers to, in angle brackets: the one that it answers and those of its thread.
    pub fn refers_to(&self) -> Vec<String> {
        let ids = self.in_reply_to.iter().chain(&self.references);
        ids.map(|id| format!("<{id}>")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_of_ours_is_known_by_the_field_whatever_its_message_id() {
        let mail = |headers: &str| Mail::parse(format!("{headers}\n\nYes.").as_bytes()).unwrap();
        let replaced = mail(
            "From: me@acme.example\nMessage-ID: <x@y.outlook.com>\nX-Postroom-Id: <1@acme.example>",
        );
        assert_eq!(replaced.own_id().as_deref(), Some("<1@acme.example>"));
        assert_eq!(
            replaced.known_ids(),
            ["<x@y.outlook.com>", "<1@acme.example>"]
        );
        let other = mail("From: me@acme.example\nMessage-ID: <2@acme.example>");
        assert_eq!(other.own_id(), None);
        assert_eq!(mail("From: a@b.example\nX-Postroom-Id: <>").own_id(), None);
    }
}
