//! Bounces: [`Bounce`], the report that an email could not be delivered (RFC 3464, and the reports of servers that have only
//! header fields for it).
//!
//! What a bounce says is a claim, as all of an email is. Whether it is about an email of ours is known by Message-IDs that
//! only we made, and by the mailbox that it came to.

use super::{Mail, keyword, limits, text};
use std::fmt;

/// More recipients of one report are not told apart.
const RECIPIENTS: usize = 100;

/// What a report says in parts that programs read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// It has a part with the status of each recipient (`message/delivery-status`).
    pub has_status: bool,
    /// The recipients who do not get the email. Those whose server is only late are not among them.
    pub failed: Vec<FailedRecipient>,
    /// The Message-ID of the email that came back, without angle brackets.
    pub returned: Option<String>,
}

/// A recipient who does not get the email.
#[derive(Clone, PartialEq, Eq)]
pub struct FailedRecipient {
    pub address: String,
    /// The status code of RFC 3463, such as `5.1.1`.
    pub status: Option<String>,
}

/// A report that an email was not delivered.
#[derive(Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The emails that it may be about, in angle brackets, the most certain first.
    pub message_ids: Vec<String>,
    /// Empty if the report does not name them in a way that programs read.
    pub failed: Vec<FailedRecipient>,
}

impl Bounce {
    /// `None` for every other email, for reports of delays and receipts, and for what its sender's domain disowns.
    pub fn of(mail: &Mail) -> Option<Self> {
        if mail.dmarc_failed() {
            return None;
        }
        let report = &mail.delivery_report;
        let failed = match report.has_status {
            true => Some(report.failed.clone()).filter(|failed| !failed.is_empty())?,
            false => named_in_header(mail)?,
        };
        let mut message_ids: Vec<String> = Vec::new();
        let named = report.returned.iter().chain(&mail.in_reply_to);
        for id in named.chain(mail.references.iter().rev()) {
            let id = format!("<{id}>");
            if !message_ids.contains(&id) {
                message_ids.push(id);
            }
        }
        (!message_ids.is_empty()).then_some(Self {
            message_ids,
            failed,
        })
    }
}

/// What servers say that send no status part: Exim and Gmail name the recipients, Exchange only that it is a report.
fn named_in_header(mail: &Mail) -> Option<Vec<FailedRecipient>> {
    if let Some(named) = mail.header("x-failed-recipients") {
        let addresses = named.split(',').filter_map(address);
        let failed = addresses.map(|address| FailedRecipient {
            address,
            status: None,
        });
        return Some(failed.take(RECIPIENTS).collect());
    }
    mail.header("x-ms-exchange-message-is-ndr")
        .map(|_| Vec::new())
}

impl DeliveryReport {
    /// Adds a recipient as a group of fields names it: `field` returns the value of a field by its lower-case name.
    pub(super) fn add<'a>(&mut self, field: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) {
        let action = field("action").unwrap_or_default();
        let is_failed = keyword(action.trim()).eq_ignore_ascii_case("failed");
        // The one that the sender wrote to; the final one may be unknown to the sender.
        let named = ["original-recipient", "final-recipient"]
            .into_iter()
            .find_map(|name| address(&field(name)?));
        let (Some(address), true) = (named, is_failed && self.failed.len() < RECIPIENTS) else {
            return;
        };
        let code = |name| field(name).and_then(|value| status_code(&value));
        let status = code("status");
        let is_general = status.as_deref().is_none_or(|code| code.ends_with(".0.0"));
        let said = code("diagnostic-code").filter(|_| is_general);
        self.failed.push(FailedRecipient {
            address,
            status: said.or(status),
        });
    }
}

/// `rfc822; <ada@x.example>` → `ada@x.example`.
fn address(value: &str) -> Option<String> {
    let address = value.rsplit_once(';').map_or(value, |(_, address)| address);
    let address = text::line(address, limits::ADDRESS);
    let address = address.trim_matches(['<', '>', ' ']);
    (address.contains('@') && !address.contains(' ')).then(|| address.to_owned())
}

/// The first status code in a text (RFC 3463 §2): `smtp; 550 5.1.1 User unknown` → `5.1.1`.
fn status_code(text: &str) -> Option<String> {
    let is_code = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        let is_number = |part: &&str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        parts.len() == 3 && matches!(parts[0], "4" | "5") && parts.iter().all(is_number)
    };
    let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.find(is_code).map(str::to_owned)
}

impl FailedRecipient {
    /// Returns why, in plain words. The server's own words are not repeated: anybody can write them.
    pub fn reason(&self) -> &'static str {
        let mut numbers = self
            .status
            .as_deref()
            .unwrap_or_default()
            .split('.')
            .skip(1);
        let (subject, detail) = (numbers.next(), numbers.next());
        match (subject.unwrap_or_default(), detail.unwrap_or_default()) {
            ("1", "1" | "3" | "4" | "6") => "The address does not exist.",
            ("1", "2" | "10") | ("4", "3" | "4") => "Its domain takes no email.",
            ("2", "1") => "The mailbox is disabled.",
            ("2", "2") => "The mailbox is full.",
            ("2", "3") | ("3", "4") => "The email is too large for it.",
            ("4", "1" | "2" | "7") => "Its server could not be reached in time.",
            ("4", "6") => "Its servers send the email in a circle.",
            ("7", _) => "Its server refuses such email, or takes it for spam.",
            _ => "Its server did not accept the email.",
        }
    }
}

/// Says nothing of the recipients: an address must not reach a log.
impl fmt::Debug for DeliveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryReport")
            .field("failed", &self.failed.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FailedRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedRecipient")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Bounce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounce")
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DSN: &[u8] = include_bytes!("../../../../tests/mail/bounce-dsn.eml");
    const EXCHANGE: &[u8] = include_bytes!("../../../../tests/mail/dsn-exchange-sender.eml");

    fn bounce(raw: &[u8]) -> Option<Bounce> {
        Bounce::of(&Mail::parse(raw).unwrap())
    }

    fn failed(bounce: &Bounce) -> Vec<(&str, Option<&str>)> {
        let failed = bounce.failed.iter();
        failed
            .map(|one| (one.address.as_str(), one.status.as_deref()))
            .collect()
    }

    #[test]
    fn report_names_the_email_and_who_does_not_get_it() {
        let dsn = bounce(DSN).unwrap();
        assert_eq!(dsn.message_ids, ["<offer-2@postroom.example>"]);
        assert_eq!(failed(&dsn), [("gone@client.example", Some("5.1.1"))]);
        assert_eq!(dsn.failed[0].reason(), "The address does not exist.");
        let exchange = bounce(EXCHANGE).unwrap();
        assert_eq!(exchange.message_ids, ["<offer1@acme.example>"]);
        assert_eq!(failed(&exchange), [("carl@client.example", Some("5.1.1"))]);
        assert!(!format!("{dsn:?} {exchange:?}").contains('@'));
    }

    #[test]
    fn email_that_came_back_under_another_message_id_is_named_by_ours() {
        let renamed = String::from_utf8_lossy(DSN).replace(
            "Message-ID: <offer-2@postroom.example>",
            "Message-ID: <1@eu-west-1.amazonses.com>\nX-Postroom-Id: <offer-2@postroom.example>",
        );
        assert!(renamed.contains("amazonses"));
        let bounce = bounce(renamed.as_bytes()).unwrap();
        assert_eq!(bounce.message_ids, ["<offer-2@postroom.example>"]);
    }

    #[test]
    fn report_of_a_delay_or_a_delivery_is_no_bounce() {
        let text = std::str::from_utf8(DSN).unwrap();
        for action in ["delayed", "delivered", "relayed", "expanded"] {
            let other = text.replace("Action: failed", &format!("Action: {action}"));
            assert_eq!(bounce(other.as_bytes()), None, "{action}");
        }
        let disowned = format!("Authentication-Results: mx.acme.example; dmarc=fail\n{text}");
        assert_eq!(bounce(disowned.as_bytes()), None);
        let nothing = text.replace("Message-ID: <offer-2@postroom.example>", "X-Other: 1");
        assert_eq!(bounce(nothing.as_bytes()), None);
    }

    #[test]
    fn report_of_several_recipients_names_those_who_failed() {
        let text = std::str::from_utf8(DSN).unwrap();
        let more = "Final-Recipient: rfc822; late@client.example\nAction: delayed\nStatus: 4.4.1\n\n\
            Original-Recipient: rfc822;<full@client.example>\nFinal-Recipient: rfc822; box7@mx.example\n\
            Action: Failed (for good)\nStatus: 5.0.0\nDiagnostic-Code: smtp; 552-5.2.2 over quota\n\nFinal-Recipient: rfc822; gone@";
        let several = text.replace("Final-Recipient: rfc822; gone@", more);
        let found = bounce(several.as_bytes()).unwrap();
        assert_eq!(
            failed(&found),
            [
                ("full@client.example", Some("5.2.2")),
                ("gone@client.example", Some("5.1.1"))
            ]
        );
        assert_eq!(found.failed[0].reason(), "The mailbox is full.");
    }

    #[test]
    fn servers_without_a_status_part_say_it_in_the_header() {
        let exim = "From: Mail Delivery System <mailer-daemon@x.example>\nX-Failed-Recipients: gone@y.example, b@y.example\n\
            In-Reply-To: <1@acme.example>\n\nIt failed.";
        let found = bounce(exim.as_bytes()).unwrap();
        assert_eq!(found.message_ids, ["<1@acme.example>"]);
        assert_eq!(
            failed(&found),
            [("gone@y.example", None), ("b@y.example", None)]
        );
        let ndr = "From: postmaster@x.example\nX-MS-Exchange-Message-Is-Ndr:\nReferences: <0@x> <1@acme.example>\n\nNo.";
        let found = bounce(ndr.as_bytes()).unwrap();
        assert_eq!(found.message_ids, ["<1@acme.example>", "<0@x>"]);
        assert!(found.failed.is_empty());
        let answer = "From: ada@x.example\nIn-Reply-To: <1@acme.example>\n\nYes.";
        assert_eq!(bounce(answer.as_bytes()), None);
    }

    #[test]
    fn report_of_qmail_names_the_email_that_it_holds_and_who_failed() {
        let qmail = "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.example.\n\
            I'm afraid I wasn't able to deliver your message to the following addresses.\n\n<gone@y.example>:\n\
            192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 no such user\n\n<full@y.example>:\n\
            Over quota. (#5.2.2)\n\n--- Below this line is a copy of the message.\n\nReturn-Path: <me@acme.example>\n\
            Message-ID: <1@acme.example>\nTo: gone@y.example\n\nHello";
        let found = bounce(qmail.as_bytes()).unwrap();
        assert_eq!(found.message_ids, ["<1@acme.example>"]);
        assert_eq!(
            failed(&found),
            [
                ("gone@y.example", Some("5.1.1")),
                ("full@y.example", Some("5.2.2"))
            ]
        );
        let other = qmail.replace("Hi. This is the", "This is not the");
        assert_eq!(bounce(other.as_bytes()), None);
    }

    #[test]
    fn report_as_text_is_read_to_the_copy_of_the_email() {
        let exim = "From: Mail Delivery System <mailer-daemon@x.example>\nX-Failed-Recipients: gone@y.example\n\n\
            A message that you sent could not be delivered.\n\n------ This is a copy of your message. ------\n\n\
            Message-ID: <1@acme.example>\nSubject: Plan\n\nHello";
        assert_eq!(
            bounce(exim.as_bytes()).unwrap().message_ids,
            ["<1@acme.example>"]
        );
    }

    #[test]
    fn part_of_a_report_that_is_the_whole_email_is_one() {
        let bare = "From: MAILER-DAEMON@mx.example\nIn-Reply-To: <1@acme.example>\nContent-Type: message/delivery-status\n\n\
            Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; gone@y.example\nAction: failed\nStatus: 5.1.1\n";
        let found = bounce(bare.as_bytes()).unwrap();
        assert_eq!(failed(&found), [("gone@y.example", Some("5.1.1"))]);
    }

    #[test]
    fn status_code_differs_from_addresses_and_versions() {
        for (text, code) in [
            ("5.1.1", Some("5.1.1")),
            ("smtp;550-5.7.26 refused", Some("5.7.26")),
            ("host 5.9.1.2 said: 554 no", None),
            ("2.0.0 ok", None),
            ("5.1", None),
        ] {
            assert_eq!(status_code(text).as_deref(), code, "{text}");
        }
    }
}
