//! To whom a mail goes, under which subject and in which thread: built by code from the mail it answers, never by a model.

use super::DraftMode;
use crate::domain::mail::{Address, Mail, limits};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// Marks of answers and forwards in the languages of common mail programs, with or without a count.
static MARK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(re|aw|antw|sv|vs|ref|rif|res|odp|ynt|fwd?|wg|tr|rv|enc|doorst)(\[\d+\]|\(\d+\)|\^\d+)?\s*[::]\s*")
        .expect("a regular expression that compiles")
});

/// So that a chain of references stays within what mail servers take.
const REFERENCES: usize = 30;

/// Where a mail goes and which thread it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    pub subject: String,
    pub in_reply_to: Option<String>,
    pub references: Vec<String>,
}

/// Recipients that the caller names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipients {
    pub to: Vec<String>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
}

/// Nobody would get the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody would get this mail")]
pub struct NoRecipient;

/// The headers of an answer to `mail`, written by somebody with the addresses `own` (in lower case). To goes to Reply-To,
/// else to the sender; of a mail of their own, to those it went to.
///
/// # Errors
/// If nobody but the writer would get it.
pub fn answer(mail: &Mail, all: bool, own: &[String]) -> Result<Headers, NoRecipient> {
    let is_own = |addr: &str| own.iter().any(|own| own.eq_ignore_ascii_case(addr));
    let others = |addresses: &[Address], taken: &[String]| {
        let mut kept: Vec<String> = Vec::new();
        for address in addresses {
            let addr = address.addr.trim();
            let known = |list: &[String]| list.iter().any(|seen| seen.eq_ignore_ascii_case(addr));
            if is_address(addr) && !is_own(addr) && !known(taken) && !known(&kept) {
                kept.push(addr.to_owned());
            }
        }
        kept
    };
    let by_themselves = mail.from.as_ref().is_some_and(|from| is_own(&from.addr));
    let sender: Vec<Address> = mail.from.iter().cloned().collect();
    let to = if by_themselves {
        others(&mail.to, &[])
    } else {
        let asked = others(&mail.reply_to, &[]);
        if asked.is_empty() {
            others(&sender, &[])
        } else {
            asked
        }
    };
    if to.is_empty() {
        return Err(NoRecipient);
    }
    let cc = if all {
        let copied: Vec<Address> = mail.to.iter().chain(&mail.cc).cloned().collect();
        others(&copied, &to)
    } else {
        Vec::new()
    };
    Ok(Headers {
        to,
        cc,
        bcc: Vec::new(),
        subject: subject("Re", &mail.subject),
        in_reply_to: mail.message_id.as_deref().map(bracketed),
        references: references(mail),
    })
}

/// The headers of a forward of `mail`: a thread of its own.
///
/// # Errors
/// If nobody would get it.
pub fn forward(mail: &Mail, recipients: Recipients) -> Result<Headers, NoRecipient> {
    compose(subject("Fwd", &mail.subject), recipients)
}

/// The headers of a new mail.
///
/// # Errors
/// If nobody would get it.
pub fn compose(subject: String, recipients: Recipients) -> Result<Headers, NoRecipient> {
    let Recipients { to, cc, bcc } = recipients;
    if to.is_empty() {
        return Err(NoRecipient);
    }
    Ok(Headers {
        to,
        cc,
        bcc,
        subject,
        ..Headers::default()
    })
}

/// The headers for a mail in this mode.
///
/// # Errors
/// If nobody but the writer would get it.
pub fn of_mode(
    mode: DraftMode,
    mail: &Mail,
    recipients: Recipients,
    own: &[String],
) -> Result<Headers, NoRecipient> {
    match mode {
        DraftMode::Forward => forward(mail, recipients),
        DraftMode::Compose => compose(String::new(), recipients),
        DraftMode::ReplyAll | DraftMode::FollowUp => answer(mail, true, own),
        DraftMode::Reply | DraftMode::Revise => answer(mail, false, own),
    }
}

/// One mark, however many there were, in whatever language.
fn subject(mark: &str, former: &str) -> String {
    let mut rest = former.trim();
    while let Some(found) = MARK.find(rest) {
        rest = &rest[found.end()..];
    }
    let marked = format!("{mark}: {rest}");
    marked.trim_end().chars().take(limits::SUBJECT).collect()
}

/// The mail's own chain and the mail: the first stays, for it names the thread, and of the others the newest.
fn references(mail: &Mail) -> Vec<String> {
    let mut chain: Vec<String> = mail.references.iter().map(|id| bracketed(id)).collect();
    if chain.is_empty() {
        chain.extend(mail.in_reply_to.as_deref().map(bracketed));
    }
    if let Some(id) = mail.message_id.as_deref().map(bracketed) {
        chain.retain(|known| *known != id);
        chain.push(id);
    }
    let surplus = chain.len().saturating_sub(REFERENCES);
    if surplus > 0 {
        chain.drain(1..=surplus);
    }
    chain
}

fn bracketed(id: &str) -> String {
    format!("<{id}>")
}

/// Whether a letter can be sent there: one `@` with something on both sides, and nothing that could end a header.
pub fn is_address(text: &str) -> bool {
    let parts = text.split_once('@');
    let sound = |part: &str| {
        !part.is_empty()
            && !part
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "<>(),;:\"@[]\\".contains(c))
    };
    text.len() <= limits::ADDRESS
        && parts.is_some_and(|(local, domain)| {
            sound(local) && sound(domain) && !domain.starts_with('.') && !domain.ends_with('.')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(headers: &str) -> Mail {
        Mail::parse(format!("{headers}\n\nHello").as_bytes()).unwrap()
    }

    fn own() -> Vec<String> {
        vec!["me@acme.example".into()]
    }

    const ROUND: &str = "From: Ada <ada@x.example>\nTo: Me <ME@acme.example>, Bob <bob@x.example>\n\
        Cc: carol@x.example, ada@x.example, bob@x.example\nSubject: AW: Re[2]: Fwd: Plan\nMessage-ID: <3@x>\n\
        In-Reply-To: <2@x>\nReferences: <1@x> <2@x>";

    #[test]
    fn a_reply_goes_to_the_sender_with_one_mark_and_the_whole_chain() {
        let headers = answer(&mail(ROUND), false, &own()).unwrap();
        assert_eq!(headers.to, ["ada@x.example"]);
        assert!(headers.cc.is_empty());
        assert_eq!(headers.subject, "Re: Plan");
        assert_eq!(headers.in_reply_to.as_deref(), Some("<3@x>"));
        assert_eq!(headers.references, ["<1@x>", "<2@x>", "<3@x>"]);
    }

    #[test]
    fn reply_to_is_stronger_than_the_sender() {
        let mail =
            mail("From: a@x.example\nReply-To: desk@x.example\nTo: me@acme.example\nSubject: x");
        assert_eq!(answer(&mail, false, &own()).unwrap().to, ["desk@x.example"]);
    }

    #[test]
    fn everybody_else_is_copied_once_and_the_writer_never() {
        let headers = answer(&mail(ROUND), true, &own()).unwrap();
        assert_eq!(headers.to, ["ada@x.example"]);
        assert_eq!(headers.cc, ["bob@x.example", "carol@x.example"]);
    }

    #[test]
    fn after_a_mail_of_their_own_the_writer_reminds_those_it_went_to() {
        let sent = mail(
            "From: me@acme.example\nTo: ada@x.example\nCc: me@acme.example, bob@x.example\nSubject: Plan",
        );
        let headers = of_mode(DraftMode::FollowUp, &sent, Recipients::default(), &own()).unwrap();
        assert_eq!(headers.to, ["ada@x.example"]);
        assert_eq!(headers.cc, ["bob@x.example"]);
        let note = mail("From: me@acme.example\nTo: me@acme.example\nSubject: Note");
        assert_eq!(answer(&note, true, &own()), Err(NoRecipient));
    }

    #[test]
    fn a_forward_is_a_thread_of_its_own_with_one_mark() {
        let recipients = Recipients {
            to: vec!["dan@x.example".into()],
            ..Recipients::default()
        };
        let headers = forward(&mail(ROUND), recipients).unwrap();
        assert_eq!(headers.subject, "Fwd: Plan");
        assert_eq!((headers.in_reply_to, headers.references.len()), (None, 0));
        assert_eq!(
            forward(&mail(ROUND), Recipients::default()),
            Err(NoRecipient)
        );
    }

    #[test]
    fn a_long_chain_keeps_its_root_and_its_newest_links() {
        let ids: Vec<String> = (0..60).map(|n| format!("<{n}@x>")).collect();
        let chain = mail(&format!(
            "From: a@x.example\nSubject: x\nMessage-ID: <60@x>\nReferences: {}",
            ids.join(" ")
        ));
        let references = answer(&chain, false, &own()).unwrap().references;
        assert_eq!(references.len(), REFERENCES);
        assert_eq!(references.first().unwrap(), "<0@x>");
        assert_eq!(references.last().unwrap(), "<60@x>");
    }

    #[test]
    fn only_a_plain_address_is_one() {
        for (text, sound) in [
            ("a@b.example", true),
            ("a.b+c@b.example", true),
            ("", false),
            ("a@", false),
            ("a@b@c", false),
            ("a b@c.example", false),
            ("a@b.example\r\nBcc: x@y", false),
            ("<a@b.example>", false),
            ("a@b.example,c@d.example", false),
        ] {
            assert_eq!(is_address(text), sound, "{text:?}");
        }
    }
}
