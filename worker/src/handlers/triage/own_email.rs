//! Emails of the tenant's users: those that other programs sent, as far as they may wait for an answer ([`of`]), and copies of
//! those that we sent ([`copy_of`]).

use super::load::Case;
use jobs::{
    domain::{
        follow_up::expects_answer,
        inbox::title_of,
        mail::{Direction, Mail, is_automatic},
    },
    store::{follow_ups::OwnEmail, thread_answers::OwnCopy},
};

/// Returns the email if a user of the tenant asks somebody something with it.
pub(super) fn of(case: &Case) -> Option<OwnEmail> {
    let mail = &case.mail;
    let is_own = case.correspondents.own_sender || mail.direction == Direction::Out;
    if !is_own || is_automatic(mail) || mail.dmarc_failed() || !expects_answer(&mail.body_text) {
        return None;
    }
    let sender = mail.from.as_ref()?.addr.to_lowercase();
    goes_to_others(mail, &sender).then_some(())?;
    Some(OwnEmail {
        rfc_message_id: format!("<{}>", mail.message_id.as_ref()?),
        own_id: mail.own_id(),
        thread: mail.refers_to(),
        title: title_of(&mail.subject).as_str().to_owned(),
        sent_at: mail.date?,
        sender,
    })
}

/// Returns the two names of an email that we sent and that a mail server renamed.
pub(super) fn copy_of(mail: &Mail) -> Option<OwnCopy> {
    let (own_id, server_id) = (mail.own_id()?, format!("<{}>", mail.message_id.as_ref()?));
    let is_renamed = own_id != server_id && !mail.dmarc_failed();
    is_renamed.then_some(OwnCopy {
        own_id,
        server_id,
        sender: mail.from.as_ref()?.addr.to_lowercase(),
    })
}

fn goes_to_others(mail: &Mail, sender: &str) -> bool {
    let mut recipients = mail.to.iter().chain(&mail.cc);
    recipients.any(|recipient| !recipient.addr.eq_ignore_ascii_case(sender))
}
